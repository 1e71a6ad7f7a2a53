// The tables of taps of each mode of upsampling.

#include "kernels/upsample_taps.h"

#include <ATen/native/UpSample.h>
#include <c10/util/MathConstants.h>

#include <algorithm>
#include <cmath>

namespace alt::kernels::upsample {
namespace {

template <class T>
void add_tap(Taps<T>& taps, int64_t index, T weight) {
  taps.index.push_back(index);
  taps.weight.push_back(weight);
}

/// Rounds to float before it takes the floor, as stock does for double too.
template <class T>
int64_t floor_below(T position, int64_t size) {
  return std::min(static_cast<int64_t>(std::floor(static_cast<float>(position))), size - 1);
}

template <class T>
void add_linear(Taps<T>& taps, int64_t output, int64_t inputs, int64_t outputs, bool align_corners,
                T scale) {
  int64_t index[2];
  T weight[2];
  at::native::compute_source_index_and_lambda<T, T>(index[0], index[1], weight[0], weight[1], scale,
                                                    output, inputs, outputs, align_corners);
  add_tap(taps, index[0], weight[0]);
  add_tap(taps, index[1], weight[1]);
}

template <class T>
void add_cubic(Taps<T>& taps, int64_t output, int64_t inputs, bool align_corners, T scale) {
  const T position = at::native::area_pixel_compute_source_index<T>(scale, output, align_corners,
                                                                    /*cubic=*/true);
  int64_t index;
  T fraction;
  at::native::guard_index_and_lambda(position, inputs, index, fraction);
  T coefficients[4];
  at::native::get_cubic_upsample_coefficients<T>(coefficients, fraction);
  for (int64_t i = 0; i < 4; ++i) {
    add_tap(taps, std::clamp<int64_t>(index + i - 1, 0, inputs - 1), coefficients[i]);
  }
}

template <class T>
T triangle(T x) {
  x = std::abs(x);
  return x < T(1) ? T(1) - x : T(0);
}

/// Keys' cubic with a = -0.5, which is what Pillow uses when it antialiases.
template <class T>
T keys_cubic(T x) {
  constexpr T a = -0.5;
  x = std::abs(x);
  if (x < T(1)) {
    return ((a + T(2)) * x - (a + T(3))) * x * x + T(1);
  }
  return x < T(2) ? (((x - T(5)) * x + T(8)) * x - T(4)) * a : T(0);
}

/// Three lobes of sinc, windowed by the middle one of a wider sinc.
template <class T>
T lanczos(T x) {
  x = std::abs(x) * c10::pi<T>;
  if (x >= T(3) * c10::pi<T>) {
    return T(0);
  }
  return x == T(0) ? T(1) : std::sin(x) / x * (std::sin(x / T(3)) / (x / T(3)));
}

/// Downscaling widens the filter to cover all inputs; its weights are normalised.
template <class T, class Filter>
void add_antialiased(Taps<T>& taps, int64_t output, int64_t inputs, T scale, T radius,
                     Filter filter) {
  const T support = scale >= T(1) ? radius * scale : radius;
  const T inverse_scale = scale >= T(1) ? T(1) / scale : T(1);
  const T center = scale * (static_cast<T>(output) + T(0.5));
  const int64_t begin = std::max<int64_t>(static_cast<int64_t>(center - support + T(0.5)), 0);
  const int64_t end = std::min<int64_t>(static_cast<int64_t>(center + support + T(0.5)), inputs);
  T total(0);
  const size_t start = taps.weight.size();
  for (int64_t i = begin; i < end; ++i) {
    const T weight = filter((static_cast<T>(i) - center + T(0.5)) * inverse_scale);
    add_tap(taps, i, weight);
    total += weight;
  }
  if (total != T(0)) {
    for (size_t i = start; i < taps.weight.size(); ++i) {
      taps.weight[i] /= total;
    }
  }
}

}  // namespace

template <class T>
int64_t Taps<T>::count() const {
  const int64_t count = outputs() > 0 ? first[1] : 0;
  for (int64_t i = 0; i < outputs(); ++i) {
    if (first[i + 1] - first[i] != count) {
      return 0;
    }
  }
  return count;
}

template <class T>
Taps<T> identity_taps(int64_t size) {
  Taps<T> result;
  for (int64_t i = 0; i < size; ++i) {
    result.first.push_back(i);
    add_tap(result, i, T(1));
  }
  result.first.push_back(size);
  return result;
}

template <class T>
Taps<T> taps(Mode mode, int64_t inputs, int64_t outputs, bool align_corners,
             std::optional<double> scale_factor) {
  Taps<T> result;
  result.first.push_back(0);
  const T scale =
      at::native::area_pixel_compute_scale<T>(inputs, outputs, align_corners, scale_factor);
  for (int64_t output = 0; output < outputs; ++output) {
    switch (mode) {
      case Mode::Nearest:
        add_tap(result, at::native::nearest_idx(output, inputs, outputs, scale_factor), T(1));
        break;
      case Mode::NearestByScale:
        add_tap(result, floor_below(scale * static_cast<T>(output), inputs), T(1));
        break;
      case Mode::NearestExact:
        add_tap(result, at::native::nearest_exact_idx(output, inputs, outputs, scale_factor), T(1));
        break;
      case Mode::NearestExactByScale:
        add_tap(result,
                floor_below(at::native::area_pixel_compute_source_index<T>(
                                scale, output, /*align_corners=*/false, /*cubic=*/false) +
                                T(0.5),
                            inputs),
                T(1));
        break;
      case Mode::Linear:
        add_linear(result, output, inputs, outputs, align_corners, scale);
        break;
      case Mode::Cubic:
        add_cubic(result, output, inputs, align_corners, scale);
        break;
      case Mode::LinearAntialias:
        add_antialiased(result, output, inputs, scale, T(1), triangle<T>);
        break;
      case Mode::CubicAntialias:
        add_antialiased(result, output, inputs, scale, T(2), keys_cubic<T>);
        break;
      case Mode::LanczosAntialias:
        add_antialiased(result, output, inputs, scale, T(3), lanczos<T>);
        break;
    }
    result.first.push_back(static_cast<int64_t>(result.index.size()));
  }
  return result;
}

template struct Taps<float>;
template struct Taps<double>;
template Taps<float> identity_taps<float>(int64_t);
template Taps<double> identity_taps<double>(int64_t);
template Taps<float> taps<float>(Mode, int64_t, int64_t, bool, std::optional<double>);
template Taps<double> taps<double>(Mode, int64_t, int64_t, bool, std::optional<double>);

}  // namespace alt::kernels::upsample
