// Where an output of upsampling looks: along each dimension, a few inputs and their weights.
//
// Every mode is separable, so that a mode is a table for each dimension and the loops know no
// modes. Coordinates come from PyTorch's own inline functions (ATen/native/UpSample.h).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace alt::kernels::upsample {

/// Nearest takes sizes that are equal or double as such; NearestByScale goes by the scale alone,
/// which differs where a scale was given that the sizes do not show. NearestExact and
/// NearestExactByScale differ by a rounding. Stock has both of each.
enum class Mode {
  Nearest,
  NearestByScale,
  NearestExact,
  NearestExactByScale,
  Linear,
  Cubic,
  LinearAntialias,
  CubicAntialias,
  LanczosAntialias
};

/// Output i is the sum over j in [first[i], first[i + 1]) of weight[j] * input[index[j]].
template <class T>
struct Taps {
  std::vector<int64_t> first;
  std::vector<int64_t> index;
  std::vector<T> weight;

  int64_t outputs() const { return static_cast<int64_t>(first.size()) - 1; }
  /// Taps of each output where all have the same number, else 0.
  int64_t count() const;
};

/// Every output is the input at its own position.
template <class T>
Taps<T> identity_taps(int64_t size);

/// `align_corners` and `scale` (the scale_factor that was given) as in
/// torch.nn.functional.interpolate.
template <class T>
Taps<T> taps(Mode mode, int64_t inputs, int64_t outputs, bool align_corners,
             std::optional<double> scale);

}  // namespace alt::kernels::upsample
