// histc: how many elements fall into each of a number of bins of equal width.
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "loops/dtype.h"

namespace alt::kernels {
namespace {

/// The bounds that were given, or those of the elements if the two are equal.
std::pair<double, double> outer_edges(const at::Tensor& self, const at::Scalar& min,
                                      const at::Scalar& max) {
  auto left = min.toDouble();
  auto right = max.toDouble();
  if (left == right && self.numel() > 0) {
    const auto extrema = at::aminmax(self);
    left = std::get<0>(extrema).item().toDouble();
    right = std::get<1>(extrema).item().toDouble();
  }
  if (left == right) {
    left -= 1;
    right += 1;
  }
  TORCH_CHECK(std::isfinite(left) && std::isfinite(right), "torch.histc: range of [", left, ", ",
              right, "] is not finite");
  TORCH_CHECK(left < right, "torch.histc: max must be larger than min");
  return {left, right};
}

/// In the arithmetic of T, counts included, as stock does.
template <class T>
std::vector<T> count_bins(const T* data, int64_t n, T left, T right, int64_t bins) {
  std::vector<T> counts(static_cast<size_t>(bins), T(0));
  for (int64_t i = 0; i < n; ++i) {
    if (!(data[i] >= left && data[i] <= right)) {
      continue;
    }
    const auto position =
        static_cast<int64_t>((data[i] - left) * static_cast<T>(bins) / (right - left));
    T& count = counts[static_cast<size_t>(std::min(position, bins - 1))];
    count = count + T(1);
  }
  return counts;
}

}  // namespace

at::Tensor& histc_out(const at::Tensor& self, int64_t bins, const at::Scalar& min,
                      const at::Scalar& max, at::Tensor& out) {
  TORCH_CHECK(bins > 0, "torch.histogram(): bins must be > 0, but got ", bins, " for dimension 0");
  TORCH_CHECK(out.scalar_type() == self.scalar_type(),
              "torch.histogram: input tensor and hist tensor should have the same dtype, but got "
              "input ",
              self.dtype(), " and hist ", out.dtype());
  visit<FloatingAndHalfTypes>(self.scalar_type(), "histogram_cpu", [&]<class T>() {
    const auto [left, right] = outer_edges(self, min, max);
    const auto source = self.contiguous();
    const auto counts = count_bins(source.const_data_ptr<T>(), source.numel(), static_cast<T>(left),
                                   static_cast<T>(right), bins);
    at::native::resize_output(out, {bins});
    T* result = out.mutable_data_ptr<T>();
    for (int64_t i = 0; i < bins; ++i) {
      result[i * out.stride(0)] = counts[static_cast<size_t>(i)];
    }
  });
  return out;
}

at::Tensor histc(const at::Tensor& self, int64_t bins, const at::Scalar& min,
                 const at::Scalar& max) {
  auto out = at::empty({0}, self.options());
  histc_out(self, bins, min, max, out);
  return out;
}

}  // namespace alt::kernels
