// searchsorted, bucketize, isin and bincount.
#include <ATen/core/Tensor.h>
#include <ATen/native/BucketizationUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/cuda/array.h"
#include "kernels/operands.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using Side = std::optional<std::string_view>;

constexpr int64_t kGrain = 512;
constexpr int64_t kTogether = 16;  // searches

/// How many of the `n` boundaries lie below each value (or are equal, from the right). NaN lies
/// above all numbers. Halves without a branch, several searches side by side: the steps of one wait
/// for each other.
template <class T>
void search_together(const T* boundary, int64_t n, const T* value, bool right, int64_t* found) {
  const auto is_before = [&](int64_t position, T x) -> int64_t {
    const T edge = boundary[position];
    // Not && and ||, which compilers make branches of.
    return int{!(edge > x)} & (int{right} | int{edge != x});
  };
  std::fill_n(found, kTogether, 0);
  for (int64_t size = n; size > 1;) {
    const int64_t half = size / 2;
    for (int64_t i = 0; i < kTogether; ++i) {
      found[i] += half & -is_before(found[i] + half - 1, value[i]);
    }
    size -= half;
  }
  for (int64_t i = 0; n > 0 && i < kTogether; ++i) found[i] += is_before(found[i], value[i]);
}

template <class T, class Out>
void search_all(const at::Tensor& boundaries, const at::Tensor& values, const at::Tensor& out,
                bool right) {
  const int64_t n = boundaries.size(-1);
  const int64_t row_length = boundaries.dim() == 1 ? values.numel() : values.size(-1);
  const T* boundary = boundaries.const_data_ptr<T>();
  const T* value = values.const_data_ptr<T>();
  Out* result = out.mutable_data_ptr<Out>();
  parallel_for(0, values.numel(), kGrain, [&](int64_t begin, int64_t end) {
    int64_t found[kTogether];
    T wanted[kTogether] = {};
    while (begin < end) {
      const int64_t row = begin / row_length;
      const int64_t count = std::min({kTogether, end - begin, (row + 1) * row_length - begin});
      std::copy_n(value + begin, count, wanted);
      search_together(boundary + row * n, n, wanted, right, found);
      for (int64_t i = 0; i < count; ++i) result[begin + i] = static_cast<Out>(found[i]);
      begin += count;
    }
  });
}

at::Tensor empty_result(const at::TensorOptions& options, bool out_int32) {
  return at::empty({0}, options.dtype(out_int32 ? at::kInt : at::kLong));
}

at::Tensor as_tensor(const at::Scalar& value, const at::Tensor& like) {
  return at::native::searchsorted_scalar_tensor(value, like.device());
}

/// The least and the greatest of n > 0 integers.
template <class T>
std::pair<T, T> extremes(const T* value, int64_t n) {
  std::mutex mutex;
  std::pair<T, T> all{value[0], value[0]};
  parallel_for(0, n, 1 << 15, [&](int64_t begin, int64_t end) {
    T least = value[begin], greatest = value[begin];
    for (int64_t i = begin; i < end; ++i) {
      const T x = value[i];  // by value: of std::min's references compilers make no vectors
      least = x < least ? x : least;
      greatest = x > greatest ? x : greatest;
    }
    const std::lock_guard lock(mutex);
    all = {std::min(all.first, least), std::max(all.second, greatest)};
  });
  return all;
}

/// Counts in a few parts, each into counters of its own, so that those stay in the caches; counters
/// must not cost more than elements.
template <class T>
void count_values(const T* value, int64_t n, int64_t* count, int64_t bins) {
  const int64_t parts =
      std::clamp<int64_t>(n / std::max<int64_t>(4 * bins, 1 << 15), 1, 4 * num_threads());
  if (parts == 1) {
    for (int64_t i = 0; i < n; ++i) {
      ++count[value[i]];
    }
    return;
  }
  const int64_t part = divide_up(n, parts);
  std::vector<int64_t> counts(static_cast<size_t>(parts * bins), 0);
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      int64_t* const own = counts.data() + p * bins;
      const T* const last = value + std::min(n, (p + 1) * part);
      for (const T* next = value + p * part; next < last; ++next) {
        ++own[*next];
      }
    }
  });
  for (int64_t p = 0; p < parts; ++p) {
    const int64_t* const own = counts.data() + p * bins;
    for (int64_t bin = 0; bin < bins; ++bin) count[bin] += own[bin];
  }
}

}  // namespace

at::Tensor& searchsorted_out(const at::Tensor& sorted_sequence, const at::Tensor& self,
                             bool out_int32, bool right, Side side,
                             const std::optional<at::Tensor>& sorter_argument, at::Tensor& out) {
  const at::Tensor sorter = sorter_argument.value_or(at::Tensor());
  at::native::searchsorted_pre_check(sorted_sequence, self, out, out_int32, right, side, sorter);
  at::native::resize_output(out, self.sizes());
  const bool from_right = right || (side.has_value() && *side == "right");
  if (self.numel() == 0) {
    return out;
  }
  const auto dtype = self.scalar_type() == sorted_sequence.scalar_type()
                         ? self.scalar_type()
                         : at::result_type(sorted_sequence, self);
  const auto unsorted = sorted_sequence.to(dtype).contiguous();
  const auto boundaries = sorter.defined() ? unsorted.gather(-1, sorter) : unsorted;
  const auto values = self.to(dtype).contiguous();
  if (alt::cuda::on_gpu()) {
    check_type<RealTypes>(dtype, "searchsorted_out_cpu");
    cuda::call_array("sort.searchsorted", {boundaries, values}, {out}, {{"right", from_right}});
    return out;
  }
  visit<RealTypes>(dtype, "searchsorted_out_cpu", [&]<class T>() {
    write_dense(out, [&](const at::Tensor& target) {
      if (out_int32) {
        search_all<T, int32_t>(boundaries, values, target, from_right);
      } else {
        search_all<T, int64_t>(boundaries, values, target, from_right);
      }
    });
  });
  return out;
}

at::Tensor& searchsorted_scalar_out(const at::Tensor& sorted_sequence, const at::Scalar& self,
                                    bool out_int32, bool right, Side side,
                                    const std::optional<at::Tensor>& sorter, at::Tensor& out) {
  return searchsorted_out(sorted_sequence, as_tensor(self, sorted_sequence), out_int32, right, side,
                          sorter, out);
}

at::Tensor searchsorted(const at::Tensor& sorted_sequence, const at::Tensor& self, bool out_int32,
                        bool right, Side side, const std::optional<at::Tensor>& sorter) {
  auto out = empty_result(self.options(), out_int32);
  searchsorted_out(sorted_sequence, self, out_int32, right, side, sorter, out);
  return out;
}

at::Tensor searchsorted_scalar(const at::Tensor& sorted_sequence, const at::Scalar& self,
                               bool out_int32, bool right, Side side,
                               const std::optional<at::Tensor>& sorter) {
  return searchsorted(sorted_sequence, as_tensor(self, sorted_sequence), out_int32, right, side,
                      sorter);
}

at::Tensor& bucketize_out(const at::Tensor& self, const at::Tensor& boundaries, bool out_int32,
                          bool right, at::Tensor& out) {
  TORCH_CHECK(boundaries.dim() == 1, "boundaries tensor must be 1 dimension, but got dim(",
              boundaries.dim(), ")");
  return searchsorted_out(boundaries, self, out_int32, right, std::nullopt, std::nullopt, out);
}

at::Tensor bucketize(const at::Tensor& self, const at::Tensor& boundaries, bool out_int32,
                     bool right) {
  auto out = empty_result(self.options(), out_int32);
  bucketize_out(self, boundaries, out_int32, right, out);
  return out;
}

at::Tensor bucketize_scalar(const at::Scalar& self, const at::Tensor& boundaries, bool out_int32,
                            bool right) {
  return bucketize(as_tensor(self, boundaries), boundaries, out_int32, right);
}

void isin_default(const at::Tensor& elements, const at::Tensor& test_elements, bool invert,
                  const at::Tensor& out) {
  const auto source = elements.contiguous();
  const auto tests = test_elements.contiguous();
  auto target = out.is_contiguous() ? out : at::empty(out.sizes(), out.options());
  visit<RealTypes>(source.scalar_type(), "isin_default_cpu", [&]<class T>() {
    const T* element = source.const_data_ptr<T>();
    const T* test = tests.const_data_ptr<T>();
    bool* result = target.mutable_data_ptr<bool>();
    parallel_for(0, source.numel(), 1 << 12, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        result[i] =
            (std::find(test, test + tests.numel(), element[i]) != test + tests.numel()) != invert;
      }
    });
  });
  if (!target.is_same(out)) {
    out.copy_(target);
  }
}

at::Tensor bincount(const at::Tensor& self, const std::optional<at::Tensor>& weights_argument,
                    int64_t minlength) {
  const at::Tensor weights = weights_argument.value_or(at::Tensor());
  at::Tensor out;
  visit<IntegralTypes>(self.scalar_type(), "bincount_cpu", [&]<class T>() {
    TORCH_CHECK(minlength >= 0, "minlength should be >= 0");
    const auto zeros = [&](int64_t bins, at::ScalarType dtype) {
      return at::zeros({bins}, self.options().dtype(dtype));
    };
    if (self.dim() == 1 && self.numel() == 0) {
      out = zeros(minlength, at::kLong);
      return;
    }
    const auto values = self.contiguous();
    const T* value = values.const_data_ptr<T>();
    const int64_t n = values.numel();
    const auto range = [&]() -> std::pair<T, T> {
      if (n == 0) return {-1, 0};
      if (!alt::cuda::on_gpu()) return extremes(value, n);
      return {values.min().template item<T>(), values.max().template item<T>()};
    };
    const auto [least, largest] = range();
    TORCH_CHECK(self.dim() == 1 && least >= 0,
                "bincount only supports 1-d non-negative integral inputs.");
    TORCH_CHECK(!weights.defined() || (weights.dim() == 1 && weights.size(0) == self.size(0)),
                "weights should be 1-d and have the same length as input");
    TORCH_CHECK(
        static_cast<uint64_t>(largest) < static_cast<uint64_t>(std::numeric_limits<int64_t>::max()),
        "maximum value of input overflowed, it should be < ", std::numeric_limits<int64_t>::max(),
        " but got ", +largest);
    const int64_t bins = std::max(static_cast<int64_t>(largest) + 1, minlength);
    if (alt::cuda::on_gpu()) {
      const auto counted =
          weights.defined()
              ? weights.to(weights.scalar_type() == at::kFloat ? at::kFloat : at::kDouble)
              : at::ones({n}, self.options().dtype(at::kLong));
      out = zeros(bins, counted.scalar_type()).index_add_(0, values.to(at::kLong), counted);
      return;
    }
    if (!weights.defined()) {
      out = zeros(bins, at::kLong);
      count_values(value, n, out.mutable_data_ptr<int64_t>(), bins);
      return;
    }
    const auto accumulate = [&]<class Weight>() {
      const auto source = weights.to(c10::CppTypeToScalarType<Weight>::value).contiguous();
      const Weight* weight = source.template const_data_ptr<Weight>();
      auto* sum = out.template mutable_data_ptr<Weight>();
      for (int64_t i = 0; i < n; ++i) {
        sum[value[i]] += weight[i];
      }
    };
    const bool is_float = weights.scalar_type() == at::kFloat;
    out = zeros(bins, is_float ? at::kFloat : at::kDouble);
    if (is_float) {
      accumulate.template operator()<float>();
    } else {
      accumulate.template operator()<double>();
    }
  });
  return out;
}

}  // namespace alt::kernels
