// The loop under every pointwise operator on CUDA: the twin of csrc/loops/pointwise.h.
//
// A kernel is an operator's function and the dtypes of its operands. Two entries: `contiguous`
// reads and writes up to 16 bytes at once, `strided` finds each element by its coordinates. Both
// cast on load and on store, and both stride over the grid, so that any grid is right.
#pragma once

#include "loops/arguments.h"
#include "loops/divide.cuh"
#include "loops/dtype.cuh"
#include "loops/function.h"

namespace alt {

template <class... Ts>
struct Types {
  static constexpr int count = sizeof...(Ts);
  /// The bytes of the largest.
  static constexpr int largest() {
    int result = 1;
    ((result = static_cast<int>(sizeof(Ts)) > result ? static_cast<int>(sizeof(Ts)) : result), ...);
    return result;
  }
};

template <int index, class First, class... Rest>
struct TypeAt : TypeAt<index - 1, Rest...> {};
template <class First, class... Rest>
struct TypeAt<0, First, Rest...> {
  using type = First;
};

template <int... I>
struct Indices {};
template <int count, int... I>
struct MakeIndices : MakeIndices<count - 1, count - 1, I...> {};
template <int... I>
struct MakeIndices<0, I...> {
  using type = Indices<I...>;
};
template <int count>
using indices = typename MakeIndices<count>::type;

/// `count` neighbours in memory, moved at once.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T values[count];
};

template <class... Outputs, int... O, class Result>
ALT_FN void store_results(Types<Outputs...>, Indices<O...>, void* const* data,
                          const int64_t* offsets, const Result& result) {
  if constexpr (sizeof...(Outputs) == 1) {
    ((static_cast<Outputs*>(data[0])[offsets[0]] = convert<Outputs>(result)), ...);
  } else {
    using First = typename TypeAt<0, Outputs...>::type;
    using Second = typename TypeAt<1, Outputs...>::type;
    static_cast<First*>(data[0])[offsets[0]] = convert<First>(result.first);
    static_cast<Second*>(data[1])[offsets[1]] = convert<Second>(result.second);
  }
}

template <class Body, class T, class Outs, class Ins, class Scalars>
struct Pointwise;

/// Body(inputs as T..., scalars as P...) to outputs, stored as O.
template <class Body, class T, class... O, class... I, class... P>
struct Pointwise<Body, T, Types<O...>, Types<I...>, Types<P...>> {
  using Outs = Types<O...>;
  static constexpr int kOutputs = sizeof...(O);
  static constexpr int kOperands = kOutputs + sizeof...(I);
  static constexpr int kLanes = 16 / Types<O..., I...>::largest();

  template <int... X, int... S>
  ALT_FN static auto compute(const PointwiseArgs& a, const T* x, Indices<X...>, Indices<S...>) {
    return Body{}(x[X]..., scalar<P>(a.scalars[S])...);
  }
  ALT_FN static auto compute(const PointwiseArgs& a, const T* x) {
    return compute(a, x, indices<sizeof...(I)>{}, indices<sizeof...(P)>{});
  }

  /// Where an input begins: in memory, or a number in the arguments.
  template <class S>
  ALT_FN static const S* input(const PointwiseArgs& a, int k) {
    const void* data = a.data[k];
    return static_cast<const S*>(data != nullptr ? data : a.numbers[k]);
  }

  template <int... X>
  ALT_FN static void load(const PointwiseArgs& a, const int64_t* offsets, T* x, Indices<X...>) {
    ((x[X] = convert<T>(input<I>(a, kOutputs + X)[offsets[kOutputs + X]])), ...);
  }

  ALT_FN static void element(const PointwiseArgs& a, const int64_t* offsets) {
    T x[sizeof...(I)];
    load(a, offsets, x, indices<sizeof...(I)>{});
    store_results(Outs{}, indices<kOutputs>{}, a.data, offsets, compute(a, x));
  }

  /// Elements at any stride.
  ALT_FN static void strided(const PointwiseArgs& a) {
    const uint32_t step = gridDim.x * blockDim.x;
    const uint32_t n = static_cast<uint32_t>(a.numel);
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
      int64_t offsets[kOperands] = {};
      uint32_t left = i;
      for (int d = 0; d < a.ndim; ++d) {
        uint32_t quotient, coordinate;
        divide(left, a.sizes[d], quotient, coordinate);
        left = quotient;
#pragma unroll
        for (int k = 0; k < kOperands; ++k) {
          offsets[k] += static_cast<int64_t>(coordinate) * a.strides[k][d];
        }
      }
      element(a, offsets);
    }
  }

  /// The `lane`-th elements of a pack of each input; of an input that is one number throughout, it.
  template <int... X>
  ALT_FN static void load_packs(const PointwiseArgs& a, uint32_t pack, T (*x)[sizeof...(I)],
                                Indices<X...>) {
    (load_pack<I, X>(a, pack, x), ...);
  }
  template <class S, int X>
  ALT_FN static void load_pack(const PointwiseArgs& a, uint32_t pack, T (*x)[sizeof...(I)]) {
    const S* from = input<S>(a, kOutputs + X);
    if (a.strides[kOutputs + X][0] == 0) {
      const T value = convert<T>(*from);
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) x[lane][X] = value;
      return;
    }
    const auto taken = reinterpret_cast<const Pack<S, kLanes>*>(from)[pack];
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) x[lane][X] = convert<T>(taken.values[lane]);
  }

  template <class S, int index, class Result>
  ALT_FN static void store_pack(const PointwiseArgs& a, uint32_t pack, const Result* results) {
    Pack<S, kLanes> given;
#pragma unroll
    for (int lane = 0; lane < kLanes; ++lane) {
      if constexpr (kOutputs == 1) {
        given.values[lane] = convert<S>(results[lane]);
      } else if constexpr (index == 0) {
        given.values[lane] = convert<S>(results[lane].first);
      } else {
        given.values[lane] = convert<S>(results[lane].second);
      }
    }
    static_cast<Pack<S, kLanes>*>(a.data[index])[pack] = given;
  }
  template <class Result, int... K>
  ALT_FN static void store_packs(const PointwiseArgs& a, uint32_t pack, const Result* results,
                                 Indices<K...>) {
    (store_pack<O, K>(a, pack, results), ...);
  }

  /// Operands that lie alike, from addresses that are multiples of kLanes elements; an input of
  /// stride 0 is one number.
  ALT_FN static void contiguous(const PointwiseArgs& a) {
    const uint32_t step = gridDim.x * blockDim.x;
    const uint32_t n = static_cast<uint32_t>(a.numel);
    const uint32_t packs = n / kLanes;
    const uint32_t first = blockIdx.x * blockDim.x + threadIdx.x;
    for (uint32_t pack = first; pack < packs; pack += step) {
      T x[kLanes][sizeof...(I)];
      load_packs(a, pack, x, indices<sizeof...(I)>{});
      decltype(compute(a, x[0])) results[kLanes];
#pragma unroll
      for (int lane = 0; lane < kLanes; ++lane) results[lane] = compute(a, x[lane]);
      store_packs(a, pack, results, indices<kOutputs>{});
    }
    for (uint32_t i = packs * kLanes + first; i < n; i += step) {
      int64_t offsets[kOperands];
#pragma unroll
      for (int k = 0; k < kOperands; ++k) offsets[k] = i * a.strides[k][0];
      element(a, offsets);
    }
  }
};

}  // namespace alt
