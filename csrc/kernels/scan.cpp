// cumsum, cumprod, logcumsumexp, cummax and cummin.
//
// A scan is sequential along its dimension: threads split the lanes, of which four are scanned in
// step. A single long lane is cut in segments. Where the dimension is not the innermost one in
// memory, neighbouring lanes are scanned together, one running value for each, so that memory is
// read in order. float accumulates in double and half types in float, as in stock.
#include <ATen/NumericUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/native/cpu/LogAddExp.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/WrapDimMinimal.h>

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/cuda/array.h"
#include "kernels/lane_offsets.h"
#include "kernels/scan_lanes.h"
#include "kernels/slices.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/rounding.h"
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

constexpr int kTogether = 4;  // lanes, or segments of one: an addition takes three or four cycles
constexpr int64_t kSegment = 4096;  // elements of a long lane
constexpr int64_t kGrain = 8192;    // elements of a task

/// Contiguous tensors cut at `dim`: [outer, n, inner], inner > 1. Blocks of columns go together.
template <class T, class State, class Step>
void scan_columns(T* out, const T* in, int64_t outer, int64_t n, int64_t inner, State initial,
                  Step step) {
  constexpr int64_t width = 64;
  const int64_t blocks = divide_up(inner, width);
  parallel_for(0, outer * blocks, lane_grain(n * width, kGrain), [&](int64_t begin, int64_t end) {
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

template <class T>
struct Lane {
  const T* from;
  T* to;
  int64_t from_stride, to_stride;
};

/// Lanes in step with each other: while one waits for its sum, the others compute theirs.
template <bool stores = true, class T, class State, size_t count, class Step>
void scan_together(const std::array<Lane<T>, count>& lanes, int64_t n,
                   std::array<State, count>& states, Step step) {
  std::array<State, count> state = states;
  for (int64_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < count; ++i) {
      state[i] = step(state[i], lanes[i].from[k * lanes[i].from_stride]);
      if constexpr (stores) lanes[i].to[k * lanes[i].to_stride] = static_cast<T>(state[i]);
    }
  }
  states = state;
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
  parallel_for(0, lanes.count(), lane_grain(n, kGrain), [&](int64_t begin, int64_t end) {
    const auto lane_at = [&](int64_t lane) {
      return Lane<T>{from + lanes.start(self, lane), to + lanes.start(out, lane), in_stride,
                     out_stride};
    };
    for (; begin + kTogether <= end; begin += kTogether) {
      std::array<Lane<T>, kTogether> four;
      std::array<State, kTogether> states;
      for (int i = 0; i < kTogether; ++i) four[i] = lane_at(begin + i);
      states.fill(initial);
      scan_together(four, n, states, step);
    }
    for (; begin < end; ++begin) {
      std::array<State, 1> state{initial};
      scan_together(std::array{lane_at(begin)}, n, state, step);
    }
  });
}

/// A long contiguous lane of sums or products, in segments: the totals of all, then each from where
/// the one before it ends. Segments are cut by the length alone, so that results do not depend on
/// the threads.
template <class T, class State, class Step, class Join>
void scan_segments(T* to, const T* from, int64_t n, State initial, Step step, Join join) {
  const int64_t groups = n / (kSegment * kTogether), segments = groups * kTogether;
  using Four = std::array<Lane<T>, kTogether>;
  using States = std::array<State, kTogether>;
  const auto for_groups = [&](auto&& body) {
    parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t first = begin * kTogether; first < end * kTogether; first += kTogether) {
        Four four;
        for (int64_t i = 0; i < kTogether; ++i) {
          const int64_t at = (first + i) * kSegment;
          four[i] = {from + at, to + at, 1, 1};
        }
        body(four, first);
      }
    });
  };
  std::vector<State> starts(static_cast<size_t>(segments) + 1, initial);
  for_groups([&](const Four& four, int64_t first) {
    States totals;
    totals.fill(initial);
    scan_together<false>(four, kSegment, totals, step);
    std::copy(totals.begin(), totals.end(), starts.begin() + first + 1);
  });
  for (int64_t s = 1; s <= segments; ++s) starts[s] = join(starts[s - 1], starts[s]);
  for_groups([&](const Four& four, int64_t first) {
    States states;
    std::copy_n(starts.begin() + first, kTogether, states.begin());
    scan_together(four, kSegment, states, step);
  });
  const int64_t done = segments * kSegment;
  std::array<State, 1> last{starts[segments]};
  scan_together(std::array{Lane<T>{from + done, to + done, 1, 1}}, n - done, last, step);
}

/// Sums or products along `dim`: steps that may be grouped.
template <class T, class State, class Step, class Join>
void scan_joining(const at::Tensor& out, const at::Tensor& self, int64_t dim, State initial,
                  Step step, Join join) {
  if (self.numel() >= kTogether * kSegment && self.is_contiguous() && out.is_contiguous() &&
      self.numel() == self.size(dim)) {
    scan_segments(out.mutable_data_ptr<T>(), self.const_data_ptr<T>(), self.numel(), initial, step,
                  join);
  } else {
    scan<T>(out, self, dim, initial, step);
  }
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
    parallel_for(0, lanes.count(), lane_grain(n, kGrain), [&](int64_t begin, int64_t end) {
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
  const Slices cut(self, dim);
  constexpr int64_t kShortRow = 32;  // better four together
  if (self.scalar_type() == at::kFloat && self.is_contiguous() && result.is_contiguous() &&
      (cut.inner > 1 || cut.dim >= kShortRow)) {
    cumsum_floats(result.mutable_data_ptr<float>(), self.const_data_ptr<float>(), cut.outer,
                  cut.dim, cut.inner);
    return;
  }
  visit<AllTypesAndComplexAndHalf>(self.scalar_type(), "cumsum_out_cpu", [&]<class T>() {
    using State = Accumulator<T>;
    scan_joining<T>(
        result, self, dim, State(0),
        [](State sum, T value) { return static_cast<State>(sum + static_cast<State>(value)); },
        [](State a, State b) { return static_cast<State>(a + b); });
  });
}

void cumprod(const at::Tensor& result, const at::Tensor& self, int64_t dim) {
  visit<AllTypesAndComplexAndHalf>(self.scalar_type(), "cumprod_out_cpu", [&]<class T>() {
    using State = Accumulator<T>;
    scan_joining<T>(
        result, self, dim, State(1),
        [](State product, T value) {
          return static_cast<State>(product * static_cast<State>(value));
        },
        [](State a, State b) { return static_cast<State>(a * b); });
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
  if (alt::cuda::on_gpu()) {
    visit<Types>(self.scalar_type(), "logcumsumexp_out_cpu", []<class T>() {});
    const auto wide = self.is_complex() ? at::kComplexDouble : at::kDouble;  // as on the host
    cuda::call_array("scan.logcumsumexp", {self.to(wide)}, {out}, {{"dim", dim}});
    return out;
  }
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
