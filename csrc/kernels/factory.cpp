// Sequences and index patterns.
//
// arange, linspace, logspace and range give stock's values to the bit, so they round where stock's
// kernels round: arange goes by vectors of 32 bytes whose first lane is rounded to the output's
// dtype before the others are counted from it, and linspace counts from both ends to the middle.
#include <ATen/Parallel.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/pow.h>

#include <cmath>
#include <limits>

#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

constexpr int64_t kGrain = 1 << 15;

using RealAndComplexTypes = concat_t<RealTypes, ComplexTypes>;

// What stock counts in: double for floating types (float for the halves), int64 for integers.
template <class T>
using counting_t =
    std::conditional_t<std::is_integral_v<T>, int64_t,
                       std::conditional_t<std::is_same_v<T, opmath_t<T>>, double, float>>;

/// a * b + c in one rounding, as the compiler makes of stock's text; integers wrap.
template <class T>
T multiply_add(T a, T b, T c) {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) +
                          static_cast<uint64_t>(c));
  } else {
    return std::fma(a, b, c);
  }
}

/// from + step * n in one rounding.
template <class Step>
Step along(Step from, Step step, int64_t n) {
  if constexpr (c10::is_complex<Step>::value) {
    return {along(from.real(), step.real(), n), along(from.imag(), step.imag(), n)};
  } else if constexpr (std::is_same_v<Step, opmath_t<Step>>) {
    return std::fma(step, static_cast<Step>(n), from);
  } else {
    return from + step * static_cast<Step>(n);
  }
}

/// Writes value(i) to element i of a one-dimensional output.
template <class T, class Value>
void write_sequence(char* data, int64_t stride, int64_t n, Value&& value) {
  parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      *reinterpret_cast<T*>(data + i * stride) = value(i);
    }
  });
}

template <class T, class Value>
void write_sequence(at::TensorIterator& iter, Value&& value) {
  TORCH_INTERNAL_ASSERT(iter.ndim() <= 1);
  const int64_t stride = iter.ndim() == 0 ? 0 : iter.strides(0)[0];
  write_sequence<T>(static_cast<char*>(iter.data_ptr(0)), stride, iter.numel(), value);
}

/// Resizes as stock does, calls fill(contiguous tensor), and copies where `result` is not.
template <class Fill>
at::Tensor& fill_sequence(at::Tensor& result, int64_t size, Fill&& fill) {
  if (result.numel() != size) result.resize_({size});
  at::Tensor target = result.is_contiguous() ? result : at::empty({size}, result.options());
  if (size != 0) fill(target);
  if (!target.is_same(result)) result.copy_(target.view_as(result));
  return result;
}

}  // namespace

void arange(at::TensorIterator& iter, const at::Scalar& start_, const at::Scalar& steps_,
            const at::Scalar& step_) {
  visit<RealTypes>(iter.dtype(), "arange_cpu", [&]<class T>() {
    using Count = counting_t<T>;
    const auto start = start_.to<Count>(), step = step_.to<Count>();
    if constexpr (std::is_integral_v<T>) {
      write_sequence<T>(iter, [&](int64_t i) {
        return static_cast<T>(multiply_add<Count>(step, static_cast<Count>(i), start));
      });
    } else {
      // Stock gives each of its threads an equal part and takes two vectors at a time; what is left
      // of a part is counted one by one.
      constexpr int64_t kLanes = 32 / sizeof(T);
      const auto steps = static_cast<int64_t>(steps_.to<Count>());
      int64_t part = std::max<int64_t>(steps, 1);
      if (steps > kGrain && !at::in_parallel_region() && at::get_num_threads() > 1) {
        const int64_t threads =
            std::min<int64_t>(at::get_num_threads(), (steps + kGrain - 1) / kGrain);
        part = (steps + threads - 1) / threads;
      }
      // A strided output has no vectors.
      const bool vectors = iter.ndim() == 0 || iter.strides(0)[0] == sizeof(T);
      write_sequence<T>(iter, [&](int64_t i) {
        const int64_t begin = i / part * part, size = std::min(part, steps - begin);
        const int64_t at = i - begin;
        if (!vectors || at >= size / (2 * kLanes) * (2 * kLanes)) {
          return static_cast<T>(multiply_add<Count>(step, static_cast<Count>(i), start));
        }
        const int64_t lane = at % kLanes;
        const T first =
            static_cast<T>(multiply_add<Count>(step, static_cast<Count>(i - lane), start));
        return static_cast<T>(
            multiply_add<Count>(step, static_cast<Count>(lane), static_cast<Count>(first)));
      });
    }
  });
}

void linspace(at::TensorIterator& iter, const at::Scalar& start_, const at::Scalar& end_,
              int64_t steps) {
  visit<RealAndComplexTypes>(iter.dtype(), "linspace_cpu", [&]<class T>() {
    // Integers step in double: the range may be larger than their type.
    using Step = std::conditional_t<std::is_integral_v<T>, double, T>;
    const T start = start_.to<T>(), end = end_.to<T>();
    const Step step = (static_cast<Step>(end) - static_cast<Step>(start)) / (steps - 1);
    const int64_t halfway = steps / 2;
    write_sequence<T>(iter, [&](int64_t i) {
      return i < halfway ? static_cast<T>(along(Step(start), step, i))
                         : static_cast<T>(along(Step(end), -step, steps - i - 1));
    });
  });
}

at::Tensor& logspace_out(const at::Scalar& start_, const at::Scalar& end_, int64_t steps,
                         double base, at::Tensor& out) {
  TORCH_CHECK(steps >= 0, "number of steps must be non-negative");
  return fill_sequence(out, steps, [&](at::Tensor& target) {
    if (steps == 1) {
      if (target.is_complex()) {
        target.fill_(std::pow(base, start_.to<c10::complex<double>>()));
      } else {
        target.fill_(std::pow(base, start_.to<double>()));
      }
      return;
    }
    visit<RealAndComplexTypes>(target.scalar_type(), "logspace_cpu", [&]<class T>() {
      if (alt::cuda::on_gpu()) {
        const auto wide = c10::is_complex<T>::value ? target.scalar_type() : at::kDouble;
        const at::Scalar first(start_.to<T>()), last(end_.to<T>());
        target.copy_(at::pow(base, at::linspace(first, last, steps, target.options().dtype(wide))));
        return;
      }
      // Real exponents and powers are double whatever the output is.
      using Wide = std::conditional_t<c10::is_complex<T>::value, T, double>;
      const Wide wide_base(base), start(start_.to<T>()), end(end_.to<T>());
      const Wide step = static_cast<Wide>(end_.to<T>() - start_.to<T>()) / Wide(steps - 1);
      const int64_t halfway = steps / 2;
      write_sequence<T>(
          static_cast<char*>(target.mutable_data_ptr()), sizeof(T), steps, [&](int64_t i) {
            const Wide exponent =
                i < halfway ? start + step * Wide(i) : end - step * Wide(steps - i - 1);
            return static_cast<T>(std::pow(wide_base, exponent));
          });
    });
  });
}

at::Tensor& range_out(const at::Scalar& start_, const at::Scalar& end_, const at::Scalar& step_,
                      at::Tensor& out) {
  visit<RealTypes>(out.scalar_type(), "range_cpu", [&]<class T>() {
    using Count = counting_t<T>;
    const auto start = start_.to<Count>(), end = end_.to<Count>(), step = step_.to<Count>();
    TORCH_CHECK(step > 0 || step < 0, "step must be nonzero");
    TORCH_CHECK(
        std::isfinite(static_cast<double>(start)) && std::isfinite(static_cast<double>(end)),
        "unsupported range: ", start, " -> ", end);
    TORCH_CHECK((step > 0 && end >= start) || (step < 0 && end <= start),
                "upper bound and lower bound inconsistent with step sign");
    const auto size =
        static_cast<int64_t>(static_cast<double>(end - start) / static_cast<double>(step) + 1);
    fill_sequence(out, size, [&](at::Tensor& target) {
      if (alt::cuda::on_gpu()) {
        target.copy_(at::arange(size, target.options()).mul(step_).add(start_));
        return;
      }
      write_sequence<T>(
          static_cast<char*>(target.mutable_data_ptr()), sizeof(T), size,
          // Two roundings here: stock builds this one without fused instructions.
          [&](int64_t i) { return static_cast<T>(start + static_cast<Count>(i) * step); });
    });
  });
  return out;
}

at::Tensor& eye_m_out(int64_t n, int64_t m, at::Tensor& out) {
  TORCH_CHECK(n >= 0, "n must be greater or equal to 0, got ", n);
  TORCH_CHECK(m >= 0, "m must be greater or equal to 0, got ", m);
  out.resize_({n, m});
  out.zero_();
  const int64_t ones = std::min(n, m);
  if (ones != 0) {
    out.as_strided({ones}, {out.stride(0) + out.stride(1)}, out.storage_offset()).fill_(1);
  }
  return out;
}

at::Tensor& eye_out(int64_t n, at::Tensor& out) {
  return eye_m_out(n, n, out);
}

namespace {

/// Coordinates of the elements of the lower (or upper) triangle, row by row: row r of the triangle
/// has the columns first(r) to last(r).
template <class First, class Last>
at::Tensor triangle_indices(const char* name, int64_t rows, int64_t cols,
                            std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                            std::optional<at::Device> device, std::optional<bool> pin_memory,
                            First&& first, Last&& last) {
  TORCH_CHECK(rows >= 0, "row must be non-negative, got", rows);
  TORCH_CHECK(cols >= 0, "col must be non-negative, got", cols);
  TORCH_CHECK(!layout || *layout == at::kStrided, "only support layout=torch.strided, got",
              *layout);
  int64_t count = 0;
  for (int64_t r = 0; r < rows; ++r) count += std::max<int64_t>(last(r) - first(r), 0);
  const bool on_gpu = alt::cuda::on_gpu();  // written on the host all the same
  at::Tensor result = at::empty({2, count}, dtype, layout, on_gpu ? at::Device(at::kCPU) : device,
                                on_gpu ? std::nullopt : pin_memory, std::nullopt);
  visit<TypeList<int32_t, int64_t>>(result.scalar_type(), name, [&]<class T>() {
    T* row = result.mutable_data_ptr<T>();
    T* column = row + count;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = first(r), end = last(r); c < end; ++c) {
        *row++ = static_cast<T>(r);
        *column++ = static_cast<T>(c);
      }
    }
  });
  return on_gpu ? result.to(c10::device_or_default(device)) : result;
}

}  // namespace

at::Tensor tril_indices(int64_t row, int64_t col, int64_t offset,
                        std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                        std::optional<at::Device> device, std::optional<bool> pin_memory) {
  return triangle_indices(
      "tril_indices", row, col, dtype, layout, device, pin_memory,
      [](int64_t) { return int64_t{0}; },
      [&](int64_t r) { return std::clamp<int64_t>(r + offset + 1, 0, col); });
}

at::Tensor triu_indices(int64_t row, int64_t col, int64_t offset,
                        std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                        std::optional<at::Device> device, std::optional<bool> pin_memory) {
  return triangle_indices(
      "triu_indices", row, col, dtype, layout, device, pin_memory,
      [&](int64_t r) { return std::clamp<int64_t>(r + offset, 0, col); },
      [&](int64_t) { return col; });
}

}  // namespace alt::kernels
