// Dropout: a Bernoulli mask, and the kept elements scaled by 1 / (1 - p).
//
// F.dropout comes here on alt, while on the cpu it multiplies by a noise tensor of the input's
// dtype that holds 0 or 1 / (1 - p). For the same seed both must give the same bits, so the factor
// is rounded as that noise is: 1 divided by 1 - p in the type of computation, then to the input's
// dtype. The mask draws as many numbers as the noise does.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones_like.h>

#include <cstring>
#include <optional>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/dropout.h"
#include "kernels/norm_lanes.h"
#include "kernels/row_writer.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;

template <class T>
opmath_t<T> noise(double kept) {
  using A = opmath_t<T>;
  return kept == 0 ? A(0) : static_cast<A>(static_cast<T>(A(1) / static_cast<A>(kept)));
}

/// to = from * (keep ? factor : 0). A product, not a choice: dropped infinities and NaN are NaN, as
/// they are in stock.
template <class T>
void scale_kept(const RowWriter<T>& writer, const T* from, const bool* keep, opmath_t<T> factor,
                T* to, int64_t count) {
  using V = Lanes<T>;
  using Bytes = typename alt::detail::NativeVector<int8_t, V::size>::type;
  using Bits = typename Mask<opmath_t<T>>::Native;
  writer.write(to, count, [&](int64_t i, auto lanes) {
    Bytes bytes{};
    if constexpr (std::is_same_v<decltype(lanes), Full>) {
      std::memcpy(&bytes, keep + i, sizeof(bytes));
    } else {
      std::memcpy(&bytes, keep + i, static_cast<size_t>(lanes));
    }
    const Mask<opmath_t<T>> kept{__builtin_convertvector(bytes, Bits) != 0};
    const V noise = select(kept, V(factor), V(opmath_t<T>(0)));
    return load_lanes(from + i, lanes) * noise;
  });
}

// `values` where the mask is set, times the noise. The mask has the strides of `values`.
Tensor masked_scale(const Tensor& values, const Tensor& mask, double kept) {
  const Tensor result = at::empty_like(values);
  visit<FloatingAndHalfTypes>(values.scalar_type(), "native_dropout", [&]<class T>() {
    const auto factor = noise<T>(kept);
    if (alt::cuda::on_gpu()) return cuda::masked_scale(values, mask, factor, result);
    const T* from = values.const_data_ptr<T>();
    const bool* keep = mask.const_data_ptr<bool>();
    T* to = result.mutable_data_ptr<T>();
    parallel_for(0, values.numel(), 16384, [&](int64_t begin, int64_t end) {
      const RowWriter<T> writer(values.numel());
      scale_kept(writer, from + begin, keep + begin, factor, to + begin, end - begin);
    });
  });
  return result;
}

bool same_dense_layout(const Tensor& a, const Tensor& b) {
  return a.is_non_overlapping_and_dense() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

}  // namespace

std::tuple<Tensor, Tensor> native_dropout(const Tensor& input, double p,
                                          std::optional<bool> train) {
  if (input.numel() == 0) return {input, at::empty_like(input)};
  const auto mask_options = input.options().dtype(at::kBool);
  if (train.has_value() && !*train) return {input.clone(), at::ones_like(input, mask_options)};
  Tensor mask = at::empty_like(input, mask_options);
  mask.bernoulli_(1 - p);
  const Tensor values =
      same_dense_layout(input, mask) ? input : at::empty_like(mask, input.options()).copy_(input);
  return {masked_scale(values, mask, 1 - p), mask};
}

// `scale` is 1 / (1 - p), or 0 for p = 1.
Tensor native_dropout_backward(const Tensor& grad_output, const Tensor& mask, double scale) {
  TORCH_CHECK(mask.scalar_type() == at::kBool, "Mask should be Bool Scalar Type",
              mask.scalar_type());
  TORCH_CHECK(grad_output.sizes() == mask.sizes(),
              "native_dropout_backward: grad_output has shape ", grad_output.sizes(),
              " but the mask has shape ", mask.sizes());
  if (!at::isFloatingType(grad_output.scalar_type())) {
    return grad_output.mul(mask.to(grad_output.scalar_type()).mul(scale));
  }
  const double kept = scale == 0 ? 0 : 1 / scale;
  if (same_dense_layout(grad_output, mask)) return masked_scale(grad_output, mask, kept);
  return masked_scale(grad_output.contiguous(), mask.contiguous(), kept);
}

}  // namespace alt::kernels
