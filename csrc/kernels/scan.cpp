// cumsum, cumprod, logcumsumexp, cummax and cummin.
//
// A scan is sequential along its dimension: threads split the lanes. Where the dimension is not the
// innermost one in memory, neighbouring lanes are scanned together, one running value for each, so
// that memory is read in order. float accumulates in double and half types in float, as in stock.
#include <ATen/NumericUtils.h>
#include <ATen/WrapDimUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/native/cpu/LogAddExp.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernels/lane_offsets.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

template <class T>
struct AccumulatorOf {
  using type = std::conditional_t<std::is_same_v<T, float>, double,
                                  std::conditional_t<std::is_integral_v<T>, int64_t, opmath_t<T>>>;
};
template <>
struct AccumulatorOf<bool> {
  using type = bool;
};
template <>
struct AccumulatorOf<c10::complex<float>> {
  using type = c10::complex<double>;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

int64_t lane_grain(int64_t length) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, length));
}

/// Contiguous tensors cut at `dim`: [outer, n, inner], inner > 1. Blocks of columns go together.
template <class T, class State, class Step>
void scan_columns(T* out, const T* in, int64_t outer, int64_t n, int64_t inner, State initial,
                  Step step) {
  constexpr int64_t width = 64;
  const int64_t blocks = (inner + width - 1) / width;
  parallel_for(0, outer * blocks, lane_grain(n * width), [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t column = block % blocks * width;
      const int64_t columns = std::min(width, inner - column);
      const int64_t start = block / blocks * n * inner + column;
      State states[width];
      std::fill_n(states, width, initial);
      for (int64_t k = 0; k < n; ++k) {
        const T* from = in + start + k * inner;
        T* to = out + start + k * inner;
        for (int64_t j = 0; j < columns; ++j) {
          states[j] = step(states[j], from[j]);
          to[j] = static_cast<T>(states[j]);
        }
      }
    }
  });
}

/// out[k] = state after k + 1 steps along `dim`.
template <class T, class State, class Step>
void scan(const at::Tensor& out, const at::Tensor& self, int64_t dim, State initial, Step step) {
  const LaneOffsets lanes(self.sizes(), dim);
  const int64_t n = lanes.length();
  T* to = out.mutable_data_ptr<T>();
  const T* from = self.const_data_ptr<T>();
  if (self.is_contiguous() && out.is_contiguous() && self.dim() > 0 && self.stride(dim) > 1) {
    const int64_t inner = self.stride(dim);
    scan_columns(to, from, self.numel() / (n * inner), n, inner, initial, step);
    return;
  }
  const int64_t out_stride = lanes.stride(out);
  const int64_t in_stride = lanes.stride(self);
  parallel_for(0, lanes.count(), lane_grain(n), [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane) {
      const T* source = from + lanes.start(self, lane);
      T* target = to + lanes.start(out, lane);
      State state = initial;
      for (int64_t k = 0; k < n; ++k) {
        state = step(state, source[k * in_stride]);
        target[k * out_stride] = static_cast<T>(state);
      }
    }
  });
}

/// The position of the best value so far; equal values move it on, and NaN stays once met.
template <class Better>
void scan_best(const char* name, const at::Tensor& self, at::Tensor& values, at::Tensor& indices,
               int64_t dim, Better better) {
  if (self.numel() == 0) {
    return;
  }
  const LaneOffsets lanes(self.sizes(), dim);
  const int64_t n = lanes.length();
  visit<AllTypesAndHalf>(self.scalar_type(), name, [&]<class T>() {
    parallel_for(0, lanes.count(), lane_grain(n), [&](int64_t begin, int64_t end) {
      for (int64_t lane = begin; lane < end; ++lane) {
        const T* source = self.const_data_ptr<T>() + lanes.start(self, lane);
        T* value = values.mutable_data_ptr<T>() + lanes.start(values, lane);
        int64_t* index = indices.mutable_data_ptr<int64_t>() + lanes.start(indices, lane);
        T best = source[0];
        int64_t best_index = 0;
        for (int64_t k = 0; k < n; ++k) {
          const T current = source[k * lanes.stride(self)];
          if (at::_isnan(current) || (!at::_isnan(best) && better(current, best))) {
            best = current;
            best_index = k;
          }
          value[k * lanes.stride(values)] = best;
          index[k * lanes.stride(indices)] = best_index;
        }
      }
    });
  });
}

}  // namespace

void cumsum(const at::Tensor& result, const at::Tensor& self, int64_t dim) {
  visit<AllTypesAndComplexAndHalf>(self.scalar_type(), "cumsum_out_cpu", [&]<class T>() {
    using State = Accumulator<T>;
    scan<T>(result, self, dim, State(0),
            [](State sum, T value) { return static_cast<State>(sum + static_cast<State>(value)); });
  });
}

void cumprod(const at::Tensor& result, const at::Tensor& self, int64_t dim) {
  visit<AllTypesAndComplexAndHalf>(self.scalar_type(), "cumprod_out_cpu", [&]<class T>() {
    using State = Accumulator<T>;
    scan<T>(result, self, dim, State(1), [](State product, T value) {
      return static_cast<State>(product * static_cast<State>(value));
    });
  });
}

at::Tensor& logcumsumexp_out(const at::Tensor& self, int64_t dim, at::Tensor& out) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  at::native::resize_output(out, self.sizes());
  if (self.dim() == 0) {
    out.fill_(self);
    return out;
  }
  if (self.numel() == 0) {
    return out;
  }
  using Types = concat_t<FloatingAndHalfTypes, ComplexTypes>;
  visit<Types>(self.scalar_type(), "logcumsumexp_out_cpu", [&]<class T>() {
    using State = Accumulator<T>;
    scan<T>(out, self, dim, State(-std::numeric_limits<float>::infinity()),
            [](State state, T value) {
              return at::native::_log_add_exp_helper(static_cast<State>(value), state);
            });
  });
  return out;
}

at::Tensor logcumsumexp(const at::Tensor& self, int64_t dim) {
  auto out = at::empty_like(self, at::MemoryFormat::Contiguous);
  logcumsumexp_out(self, dim, out);
  return out;
}

void cummax_helper(const at::Tensor& self, at::Tensor& values, at::Tensor& indices, int64_t dim) {
  scan_best("cummax_cpu", self, values, indices, dim, [](auto a, auto b) { return a >= b; });
}

void cummin_helper(const at::Tensor& self, at::Tensor& values, at::Tensor& indices, int64_t dim) {
  scan_best("cummin_cpu", self, values, indices, dim, [](auto a, auto b) { return a <= b; });
}

}  // namespace alt::kernels
