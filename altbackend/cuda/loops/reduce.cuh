// The loop under every reduction on CUDA: the twin of csrc/loops/reduce.h, which says what the
// members of an operator mean.
//
// The threads of a block are lanes x rows: the lanes share the elements of an output, each row has
// an output of its own. Where elements are neighbours in memory (along), threadIdx.x counts lanes;
// where outputs are (across), it counts rows: either way neighbours read neighbours. A lane steps
// through its elements with kSteps accumulators, whose loads are in flight together; then a tree of
// the accumulators, one of the lanes, and for few outputs one of the blocks that share them. The
// order of summation depends on the launch's shape alone, so results are reproducible.
#pragma once

#include "loops/arguments.h"
#include "loops/divide.cuh"
#include "loops/dtype.cuh"
#include "loops/function.h"
#include "loops/math.h"

namespace alt {

inline constexpr int kReduceThreads = 256;

template <class Op>
constexpr bool is_ordered() {
  return requires { Op::ordered; };
}

/// Two accumulators whose elements are mixed: an operator that asks for the order has indices.
template <class Op>
ALT_FN typename Op::Acc combine(const Op& op, typename Op::Acc a, typename Op::Acc b) {
  if constexpr (is_ordered<Op>()) {
    if (b.index >= 0 && (a.index < 0 || b.index < a.index)) return op.combine(b, a);
  }
  return op.combine(a, b);
}

ALT_FN int64_t offset_of(uint32_t index, const DividerArgs* sizes, const int64_t* strides,
                         int64_t dims) {
  int64_t offset = 0;
  for (int d = 0; d < dims; ++d) {
    uint32_t quotient, coordinate;
    divide(index, sizes[d], quotient, coordinate);
    offset += static_cast<int64_t>(coordinate) * strides[d];
    index = quotient;
  }
  return offset;
}

/// An element as the operator takes it; norms take complex numbers as their magnitudes.
template <class Input, bool magnitudes, class S>
ALT_FN Input load_element(const S* from) {
  if constexpr (magnitudes && is_complex_v<S>) {
    return convert<Input>(math::abs(*from));
  } else {
    return convert<Input>(*from);
  }
}

/// S is what memory holds, A and B what the outputs hold (B is void where there is one).
template <class Op, class S, class A, class B = void, bool magnitudes = false>
struct Reduce {
  using Acc = typename Op::Acc;
  using Input = typename Op::Input;
  static constexpr int kSteps = 4;
  static_assert(sizeof(Acc) <= 32, "csrc/loops/cuda/reduce.cpp: kAccumulatorBytes");

  ALT_FN static void store(const ReduceArgs& a, const Op& op, uint32_t output, const Acc& acc) {
    const auto result = op.project(acc, a.count);
    const int64_t to = offset_of(output, a.kept_sizes, a.kept_out[0], a.kept_dims);
    if constexpr (!requires { result.first; }) {
      static_cast<A*>(a.out[0])[to] = convert<A>(result);
    } else if constexpr (std::is_same_v<B, void>) {
      static_cast<A*>(a.out[0])[to] = convert<A>(result.first);  // asked for the first alone
    } else {
      static_cast<A*>(a.out[0])[to] = convert<A>(result.first);
      const int64_t second = offset_of(output, a.kept_sizes, a.kept_out[1], a.kept_dims);
      static_cast<B*>(a.out[1])[second] = convert<B>(result.second);
    }
  }

  /// The elements first, first + step, ... below end.
  ALT_FN static Acc lane(const ReduceArgs& a, const Op& op, const S* base, uint32_t first,
                         uint32_t step, uint32_t end) {
    Acc acc[kSteps];
#pragma unroll
    for (int k = 0; k < kSteps; ++k) acc[k] = op.identity();
    const auto at = [&](uint32_t i) {
      const int64_t offset = a.reduced_dims == 1
                                 ? static_cast<int64_t>(i) * a.reduced_in[0]
                                 : offset_of(i, a.reduced_sizes, a.reduced_in, a.reduced_dims);
      return load_element<Input, magnitudes>(base + offset);
    };
    uint32_t i = first;
    for (; i + (kSteps - 1) * step < end; i += kSteps * step) {
      Input x[kSteps];
#pragma unroll
      for (int k = 0; k < kSteps; ++k) x[k] = at(i + k * step);
#pragma unroll
      for (int k = 0; k < kSteps; ++k) acc[k] = op.step(acc[k], x[k], i + k * step);
    }
    for (; i < end; i += step) acc[0] = op.step(acc[0], at(i), i);
    return combine(op, combine(op, acc[0], acc[1]), combine(op, acc[2], acc[3]));
  }

  /// The lanes of each row, in a tree. All threads of the block come here.
  ALT_FN static Acc across_lanes(const Op& op, Acc acc, uint32_t lane, uint32_t lanes,
                                 uint32_t distance) {
    __shared__ Acc shared[kReduceThreads];
    const uint32_t self = threadIdx.y * blockDim.x + threadIdx.x;
    shared[self] = acc;
    for (uint32_t width = lanes / 2; width > 0; width /= 2) {
      __syncthreads();
      if (lane < width) {
        acc = combine(op, acc, shared[self + width * distance]);
        shared[self] = acc;
      }
    }
    return acc;
  }

  /// Blocks: x over outputs, y over the splits. The number of lanes is a power of 2.
  ALT_FN static void reduce(const ReduceArgs& a, const Op& op) {
    const bool across = a.across != 0;
    const uint32_t lane_index = across ? threadIdx.y : threadIdx.x;
    const uint32_t lanes = across ? blockDim.y : blockDim.x;
    const uint32_t rows = across ? blockDim.x : blockDim.y;
    const uint32_t output = blockIdx.x * rows + (across ? threadIdx.x : threadIdx.y);
    const uint32_t splits = static_cast<uint32_t>(a.splits);
    const uint32_t count = static_cast<uint32_t>(a.count);
    const uint32_t share = (count + splits - 1) / splits;
    const uint32_t begin = blockIdx.y * share;
    const uint32_t end = begin + share < count ? begin + share : count;

    Acc acc = op.identity();
    if (output < a.outputs && begin < end) {
      const S* base =
          static_cast<const S*>(a.in) + offset_of(output, a.kept_sizes, a.kept_in, a.kept_dims);
      acc = lane(a, op, base, begin + lane_index, lanes, end);
    }
    acc = across_lanes(op, acc, lane_index, lanes, across ? blockDim.x : 1);
    if (lane_index != 0 || output >= a.outputs) return;
    if (splits == 1) {
      store(a, op, output, acc);
    } else {
      static_cast<Acc*>(a.parts)[output * static_cast<uint64_t>(splits) + blockIdx.y] = acc;
    }
  }

  /// Joins what the splits left: a thread an output.
  ALT_FN static void finish(const ReduceArgs& a, const Op& op) {
    const uint32_t output = blockIdx.x * blockDim.x + threadIdx.x;
    if (output >= a.outputs) return;
    const Acc* parts = static_cast<const Acc*>(a.parts) + output * static_cast<uint64_t>(a.splits);
    Acc acc = parts[0];
    for (int64_t i = 1; i < a.splits; ++i) acc = combine(op, acc, parts[i]);
    store(a, op, output, acc);
  }
};

}  // namespace alt
