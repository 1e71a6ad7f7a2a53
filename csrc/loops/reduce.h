// The machinery of reductions: walks what is reduced, at any stride and dtype, in vector lanes and
// in parallel, for an operator that is a struct of four small functions (csrc/ops/reduction.h):
//
//   struct Operator {
//     using Input;                                // what an element becomes on load
//     using Acc;                                  // what is kept while reducing
//     Acc identity() const;
//     Acc step(Acc, Input, int64_t index) const;  // one more element, the index-th of its output
//     Acc combine(Acc, Acc) const;                // the left one's elements come first
//     A or Two<A, B> project(Acc, int64_t count) const;  // one output or two, cast on store
//   };
//
// An operator whose Acc is its Input and whose functions take Vec<T> as well says
// `static constexpr bool lanes = true`. One that knows better how to reduce a contiguous run has
// `Acc block(const Input*, int64_t n, int64_t index) const`. One whose Acc is more than a number
// says how a vector of columns goes down a group of rows: `Columns<V> columns() const` to begin
// with, `void step(Columns<V>&, V x, int64_t row) const`, and `void merge(Acc*, const Columns<V>&,
// int64_t count, int64_t index) const` into the accumulators of its lanes, where the group is of
// `count` rows, the first of them the index-th. `group` says how many at most. `static constexpr
// bool ordered = true`: elements come in order, and combining rounds nothing.
//
// Order of summation, the same for every thread count and every split, so results are reproducible:
//   the reduced extent is cut in chunks of a size that only the shape decides, a chunk in blocks of
//   at most kBlock elements (or group_size rows), and blocks, then chunks, are combined pairwise as
//   a binary counter does. Inside a block, lanes and kChains accumulators a lane, and the blocks of
//   a run in lanes are added chain to chain, one after another: where each met its neighbour, 200
//   ns went by in which no memory was read. The error of a float sum grows with kBlock / 128 +
//   kChunk / kBlock + log2(n), not with n.
//
// Two ways to walk, by which dimension has the smaller stride:
//   along:  the reduced dimension is the near one: an output at a time, its elements as runs
//           (reduce_along.h).
//   across: the kept dimension is the near one: a row of outputs at a time, one reduced index after
//           another stepped into a row of accumulators (reduce_across.h).
// Elements that are not contiguous in the operator's Input type are gathered and cast, kGather at a
// time, into a buffer that stays in the first cache level.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "dispatch/host_call.h"
#include "loops/cuda/reduce.h"
#include "loops/dtype.h"
#include "loops/reduce_across.h"
#include "loops/reduce_along.h"
#include "loops/reduce_shape.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt {

namespace reduce {

inline bool walks_across(const Reduction& shape) {
  if (shape.kept.empty() || shape.reduced.empty()) return false;
  const auto& kept = shape.kept[0];
  const auto& reduced = shape.reduced[0];
  if (std::abs(kept.in) < std::abs(reduced.in)) return kept.size > 4 || kept.size > reduced.size;
  return reduced.size < kShortRun && kept.size > reduced.size;
}

}  // namespace reduce

/// Reduces `shape` by `op`, whose kernel on a GPU is `on_gpu`; where there is nothing to reduce,
/// nothing is written. `special` replaces the cast on load, for what is reduced as something else
/// than itself (complex numbers as magnitudes).
template <class Op>
void run_reduction(const Reduction& shape, const Op& op, const cuda::ReductionKernel& on_gpu,
                   ConvertFunction special = nullptr) {
  using namespace reduce;
  using Acc = typename Op::Acc;
  if (shape.count * shape.outputs == 0) return;
  if (cuda::on_gpu()) {
    cuda::reduce(shape, on_gpu);
    return;
  }
  const Loader<typename Op::Input> load(shape, special);
  const Storer<Op> storer(shape);
  const bool is_across = walks_across(shape);
  const int64_t work = shape.count * shape.outputs;
  const int64_t width =
      is_across ? row_width<Op>(work) : std::clamp<int64_t>(kSerial / shape.count, 1, kRow);
  const Rows rows(shape, width);
  const int64_t chunk =
      is_across ? std::max<int64_t>(group_size<Op>(), kChunk / rows.width) : kChunk;
  const int64_t chunks = (shape.count + chunk - 1) / chunk;

  auto reduce_chunk = [&](const Rows::Row& row, int64_t index, Acc* to) {
    const int64_t begin = index * chunk, end = std::min(begin + chunk, shape.count);
    if (is_across) {
      across(op, shape, load, row.in, row.width, begin, end, to);
      return;
    }
    const int64_t apart = shape.kept.empty() ? 0 : shape.kept[0].in;
    if (end - begin <= longest_run<Op>() && is_one_run<Op>(shape, load)) {
      const int64_t offset = begin * load.element_size;
      for (int64_t i = 0; i < row.width; ++i) {
        to[i] = block_as_it_lies(op, load, row.in + i * apart + offset, end - begin, begin);
      }
      return;
    }
    for (int64_t i = 0; i < row.width; ++i) {
      to[i] = along(op, shape, load, row.in + i * apart, begin, end);
    }
  };
  auto finish_row = [&](const Rows::Row& row, auto&& chunk_result) {
    Acc result[kRow];
    if (chunks == 1) {
      storer.store(op, chunk_result(0, result), row.width, row.out, rows.stride());
      return;
    }
    Cascade<Op> cascade(op, row.width);
    for (int64_t index = 0; index < chunks; ++index) cascade.push(chunk_result(index, result));
    cascade.finish(result);
    storer.store(op, result, row.width, row.out, rows.stride());
  };
  auto whole_rows = [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const auto row = rows[r];
      finish_row(row, [&](int64_t index, Acc* buffer) -> const Acc* {
        reduce_chunk(row, index, buffer);
        return buffer;
      });
    }
  };

  if (work <= kSerial) {
    whole_rows(0, rows.count);
  } else if (chunks == 1 || rows.count >= 4 * num_threads()) {
    const int64_t grain = std::max<int64_t>(1, kSerial / (shape.count * rows.width));
    parallel_for(0, rows.count, grain, whole_rows);
  } else {
    // Few outputs: threads share the reduced extent, and the chunks meet in the order they have.
    std::vector<Acc> parts(static_cast<size_t>(rows.count * chunks * rows.width), op.identity());
    auto part = [&](int64_t r, int64_t index) {
      return &parts[static_cast<size_t>((r * chunks + index) * rows.width)];
    };
    parallel_for(0, rows.count * chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t unit = first; unit < last; ++unit) {
        const int64_t r = unit / chunks, index = unit % chunks;
        reduce_chunk(rows[r], index, part(r, index));
      }
    });
    for (int64_t r = 0; r < rows.count; ++r) {
      finish_row(rows[r], [&](int64_t index, Acc*) -> const Acc* { return part(r, index); });
    }
  }
}

/// The dtype that elements of `dtype` are reduced in.
inline at::ScalarType reduction_dtype(at::ScalarType dtype) {
  if (dtype == at::kHalf || dtype == at::kBFloat16) return at::kFloat;
  // int64 holds every integer but the largest of uint64.
  return at::isIntegralType(dtype, /*includeBool=*/true) && dtype != at::kUInt64 ? at::kLong
                                                                                 : dtype;
}

using RealReduction = TypeList<float, double, int64_t>;
using RealAndComplexReduction = concat_t<RealReduction, ComplexTypes>;

/// Reduces what the iterator holds; an output of no elements is the operator's identity.
template <class Op>
void run_reduction(at::TensorIteratorBase& iter, const Op& op, const cuda::ReductionKernel& on_gpu,
                   ConvertFunction special = nullptr) {
  if (iter.numel() != 0) {
    const Reduction shape(iter);
    if (cuda::on_gpu() && !cuda::fits(shape)) {
      HostCall host_call(on_gpu.name);
      host_call.operands(iter);
      host_call.run([&] { run_reduction(iter, op, on_gpu, special); });
      return;
    }
    run_reduction(shape, op, on_gpu, special);
    return;
  }
  const auto result = op.project(op.identity(), 0);
  if constexpr (reduce::is_two_v<std::remove_const_t<decltype(result)>>) {
    iter.tensor(0).fill_(result.first);
    if (iter.noutputs() == 2) iter.tensor(1).fill_(result.second);
  } else {
    iter.tensor(0).fill_(result);
  }
}

/// A reduction as a DispatchStub calls it; `row` is its name in ops.yaml, or on a GPU.
template <template <class> class Op, class Types>
void reduction_stub(at::TensorIterator& iter, const char* row) {
  visit<Types>(reduction_dtype(iter.input_dtype()), Op<float>::name,
               [&]<class T>() { run_reduction(iter, Op<T>{}, {row}); });
}
template <template <class> class Op>
void truth_reduction_stub(at::TensorIterator& iter, const char* row) {
  run_reduction(iter, Op<bool>{}, {row});
}

}  // namespace alt
