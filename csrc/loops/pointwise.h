// The loop under every pointwise operator.
//
// An operator arrives as a body (a callable on Vec lanes or scalars), a list of the dtypes it
// computes in, and the TensorIterator that PyTorch's front-end built. The typed part is small: one
// loop over contiguous operands of the compute dtype (`PointwiseLoop`), and for cheap operators one
// over operands of each half type. Everything that varies with layout and dtype is in pointwise.cpp
// and compiled once: an operand that is strided, broadcast or of another dtype passes through a
// block buffer in the loop's dtype. That is where operands are cast on load and on store.
#pragma once

#include <ATen/TensorIterator.h>
#include <c10/core/Scalar.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "loops/cuda/pointwise.h"
#include "loops/dtype.h"
#include "loops/function.h"
#include "loops/lanes.h"
#include "loops/vec.h"
#include "runtime/cuda/engine.h"

namespace alt {

/// Rows of `n` elements. In a row an operand is contiguous in the loop's own types, or it is an
/// input that is one number there.
struct Strip {
  int64_t n;
  int64_t rows;
  void* const* outputs;
  const void* const* inputs;
  const int64_t* row_strides;  // bytes, outputs first; read where there are several rows
  uint32_t numbers = 0;        // a bit for each input that is one number in a row
};

using InnerLoop = void (*)(const void* parameters, const Strip& strip);

struct PointwisePlan {
  at::ScalarType input_dtype;   // what the loop reads
  at::ScalarType output_dtype;  // what the loop writes, to each output
  InnerLoop loop;
  const void* parameters;  // the operator's scalar arguments
  int64_t cost = 1;        // of an element, in units of an addition: sets the parallel grain
};

/// Runs `plan` over all elements of `iter`, whatever the strides and dtypes of its operands.
void run_pointwise(at::TensorIteratorBase& iter, const PointwisePlan& plan);

/// The half type that all inputs have; Undefined where there is none.
at::ScalarType half_of_inputs(const at::TensorIteratorBase& iter);

/// What costs less than this is not worth passing halves through buffers of float: the loop reads
/// and writes them itself. (Above it is, since a loop a type takes its time to compile.)
inline constexpr int64_t kCostOfBuffers = 4;

namespace detail {

/// An argument of a stub as the body receives it: a Scalar in the compute type, the rest as is.
template <class T, class P>
auto parameter(const P& value) {
  using Plain = std::remove_cvref_t<P>;
  if constexpr (std::is_same_v<Plain, at::Scalar>) {
    return value.template to<T>();
  } else if constexpr (std::is_same_v<Plain, double>) {
    return static_cast<T>(value);
  } else {
    return value;
  }
}

/// A parameter inside the vector loop: numbers of the compute type become lanes.
template <class T, class P>
auto lanes(const P& value) {
  if constexpr (std::is_same_v<T, P>) {
    return Vec<T>(value);
  } else {
    return value;
  }
}

template <class T, size_t>
using Repeat = T;

template <class Result>
struct OutputOf {
  using type = Result;
};
template <class T>
struct OutputOf<Vec<T>> {
  using type = T;
};
template <class T>
struct OutputOf<Mask<T>> {
  using type = bool;
};
/// Lanes from memory of T, or of a half type.
template <class T, class Stored, class... Count>
Vec<T> load_lanes(const Stored* from, Count... count) {
  if constexpr (std::is_same_v<T, Stored>) {
    return Vec<T>::load(from, count...);
  } else {
    return read_widened(from, count...);
  }
}

/// Where the results of a loop go: numbers as T, or as the half type that is Stored for it.
template <class Result, class T, class Stored>
class Outputs {
  using Computed = typename OutputOf<Result>::type;

 public:
  using Element = std::conditional_t<std::is_same_v<Computed, T>, Stored, Computed>;
  static constexpr size_t count = 1;
  explicit Outputs(void* const* outputs) : to_(static_cast<Element*>(outputs[0])) {}

  /// `count` of the lanes of `result` (of a scalar, the one), from element `i` on.
  template <class... Count>
  void store(int64_t i, const Result& result, Count... count) const {
    if constexpr (std::is_same_v<Result, Element>) {
      to_[i] = result;
    } else if constexpr (std::is_same_v<Computed, Element>) {
      result.store(to_ + i, count...);
    } else {
      write_narrowed(result, to_ + i, count...);
    }
  }

 private:
  Element* to_;
};

template <class Result, class T, class Stored>
class Outputs<Two<Result>, T, Stored> {
  using One = Outputs<Result, T, Stored>;

 public:
  using Element = typename One::Element;
  static constexpr size_t count = 2;
  explicit Outputs(void* const* outputs) : first_(outputs), second_(outputs + 1) {}

  template <class... Count>
  void store(int64_t i, const Two<Result>& results, Count... count) const {
    first_.store(i, results.first, count...);
    second_.store(i, results.second, count...);
  }

 private:
  One first_;
  One second_;
};

template <class Body, class T, class Stored, class Indices, class... P>
struct PointwiseLoop;

template <class Body, class T, class Stored, size_t... I, class... P>
struct PointwiseLoop<Body, T, Stored, std::index_sequence<I...>, P...> {
  static constexpr bool vectorized = has_vec_v<T>;
  using Lane = std::conditional_t<vectorized, Vec<T>, T>;
  using Result =
      std::invoke_result_t<Body, Repeat<Lane, I>...,
                           std::conditional_t<vectorized && std::is_same_v<T, P>, Vec<T>, P>...>;
  using To = Outputs<Result, T, Stored>;

  static void run(const void* parameters, const Strip& given) {
    const Strip strip = given;  // a copy of our own: no store can change it
    std::apply(
        [&](const P&... p) {
          constexpr size_t kOutputs = To::count;
          void* outputs[kOutputs];
          std::copy_n(strip.outputs, kOutputs, outputs);
          const Stored* inputs[] = {static_cast<const Stored*>(strip.inputs[I])...};
          for (int64_t row = 0;;) {
            if constexpr (vectorized) {
              run_lanes(strip.n, strip.numbers, To(outputs), inputs, lanes<T>(p)...);
            } else {
              run_elements(strip.n, strip.numbers, To(outputs), inputs, p...);
            }
            if (++row == strip.rows) break;
            for (size_t k = 0; k < kOutputs; ++k) {
              outputs[k] = static_cast<char*>(outputs[k]) + strip.row_strides[k];
            }
            ((inputs[I] = reinterpret_cast<const Stored*>(reinterpret_cast<const char*>(inputs[I]) +
                                                          strip.row_strides[kOutputs + I])),
             ...);
          }
        },
        *static_cast<const std::tuple<P...>*>(parameters));
  }

 private:
  /// A row in vectors. A number is a vector in memory that the loop does not move on from.
  template <class... L>
  static void run_lanes(int64_t n, uint32_t marked, To out, const Stored* const* inputs, L... p) {
    constexpr int64_t kStep = Vec<T>::size;
    alignas(kVectorBytes) Stored numbers[sizeof...(I)][kStep];
    const Stored* at[] = {inputs[I]...};
    int64_t step[] = {(static_cast<void>(I), kStep)...};
    const auto hold = [&](size_t k) {
      if (!(marked >> k & 1)) return;
      std::fill_n(numbers[k], kStep, *inputs[k]);
      at[k] = numbers[k];
      step[k] = 0;
    };
    (hold(I), ...);
    int64_t i = 0;
    for (; i + kStep <= n; i += kStep) {
      out.store(i, Body{}(load_lanes<T>(at[I])..., p...));
      ((at[I] += step[I]), ...);
    }
    if (const int rest = static_cast<int>(n - i); rest > 0) {
      out.store(i, Body{}(load_lanes<T>(at[I], rest)..., p...), rest);
    }
  }

  /// A row of what has no lanes of ours, but that the compiler may find some for: a number is
  /// spread over a stretch.
  static void run_elements(int64_t total, uint32_t marked, const To& out, const T* const* inputs,
                           const P&... p) {
    constexpr int64_t kSpread = 256;
    T numbers[sizeof...(I)][kSpread];
    const T* at[] = {inputs[I]...};
    const auto spread = [&](size_t k) {
      if (!(marked >> k & 1)) return;
      std::fill_n(numbers[k], std::min(kSpread, total), *inputs[k]);
      at[k] = numbers[k];
    };
    (spread(I), ...);
    const int64_t stretch = marked == 0 ? total : kSpread;
    for (int64_t begin = 0; begin < total; begin += stretch) {
      const int64_t n = std::min(stretch, total - begin);
      for (int64_t i = 0; i < n; ++i) out.store(begin + i, Body{}(at[I][i]..., p...));
      ((at[I] += marked >> I & 1 ? 0 : n), ...);
    }
  }
};

/// The same on the GPU. Whether the dtype is one of the operator's and the arguments are numbers of
/// it is seen here, with the host's errors.
template <class Body, class Types, class... Args>
void pointwise_on_gpu(at::TensorIteratorBase& iter, at::ScalarType dtype, const Args&... args) {
  alt::visit<Types>(dtype, Body::name, [&]<class T>() {
    if constexpr (sizeof...(Args) > 0) {
      cuda::pointwise(iter, Body::row, {at::Scalar(parameter<T>(args))...}, dtype);
    }
  });
  if constexpr (sizeof...(Args) == 0) cuda::pointwise(iter, Body::row, {}, dtype);
}

}  // namespace detail

/// What the loop computes in: the operands' common dtype, that of the output or of the first input,
/// or double whatever the common dtype is, for functions that float's own rounding would spoil.
enum class ComputeDtype { kCommon, kOutput, kInput, kDouble };

/// Runs `Body` (callable on lanes and scalars, with a `name`, and the `row` of ops.yaml that has
/// it) over `iter`. `args` are the operator's scalar arguments: Scalars and doubles reach the body
/// in the compute type, the rest as they are.
template <class Body, class Types, size_t arity, ComputeDtype compute = ComputeDtype::kCommon,
          int64_t cost = 1, class... Args>
void pointwise(at::TensorIteratorBase& iter, const Args&... args) {
  const at::ScalarType given = compute == ComputeDtype::kOutput  ? iter.dtype(0)
                               : compute == ComputeDtype::kInput ? iter.input_dtype(0)
                                                                 : iter.common_dtype();
  const at::ScalarType dtype = opmath_dtype(given);
  if (cuda::on_gpu()) {
    detail::pointwise_on_gpu<Body, Types>(iter, dtype, args...);
    return;
  }
  visit<Types>(dtype, Body::name, [&]<class Given>() {
    using T = std::conditional_t<compute == ComputeDtype::kDouble, double, Given>;
    const auto parameters = std::make_tuple(detail::parameter<T>(args)...);
    const auto run = [&]<class Stored, class... P>(const std::tuple<P...>& tuple) {
      using Loop = detail::PointwiseLoop<Body, T, Stored, std::make_index_sequence<arity>, P...>;
      using Output = typename Loop::To::Element;
      run_pointwise(iter, {c10::CppTypeToScalarType<Stored>::value,
                           c10::CppTypeToScalarType<Output>::value, &Loop::run, &tuple, cost});
    };
    if constexpr (std::is_same_v<T, float> && cost < kCostOfBuffers) {
      const at::ScalarType half = given == dtype ? at::ScalarType::Undefined : half_of_inputs(iter);
      if (half == at::kHalf) return run.template operator()<at::Half>(parameters);
      if (half == at::kBFloat16) return run.template operator()<at::BFloat16>(parameters);
    }
    run.template operator()<T>(parameters);
  });
}

/// A pointwise operator as a DispatchStub calls it: `call` has the stub's own signature.
template <class Function, class Body, class Types, size_t arity, ComputeDtype compute, int64_t cost>
struct PointwiseStub;

template <class Iterator, class... Args, class Body, class Types, size_t arity,
          ComputeDtype compute, int64_t cost>
struct PointwiseStub<void (*)(Iterator&, Args...), Body, Types, arity, compute, cost> {
  static void call(Iterator& iter, Args... args) {
    pointwise<Body, Types, arity, compute, cost>(iter, args...);
  }
};

}  // namespace alt
