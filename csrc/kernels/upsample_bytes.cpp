// Bilinear and bicubic upsampling of images of bytes, in fixed point as stock and Pillow do it.
//
// Weights are integers of 16 bits with as many binary places as the largest weight allows; each
// dimension whose size changes is resized in turn, the innermost first, and rounded to bytes.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <vector>

#include "kernels/planes.h"
#include "kernels/upsample.h"

namespace alt::kernels::upsample {
namespace {

struct FixedPointTaps {
  Taps<int32_t> taps;
  int precision;

  uint8_t round(int32_t sum) const {
    return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255));
  }
  int32_t half() const { return 1 << (precision - 1); }
};

/// Adds up the weights of taps of one input (those that were clamped to the border), as their sum
/// is what gets rounded.
Taps<double> merged(const Taps<double>& taps) {
  Taps<double> result;
  result.first.push_back(0);
  for (int64_t output = 0; output < taps.outputs(); ++output) {
    const size_t begin = result.index.size();
    for (int64_t i = taps.first[output]; i < taps.first[output + 1]; ++i) {
      if (result.index.size() > begin && result.index.back() == taps.index[i]) {
        result.weight.back() += taps.weight[i];
      } else {
        result.index.push_back(taps.index[i]);
        result.weight.push_back(taps.weight[i]);
      }
    }
    result.first.push_back(static_cast<int64_t>(result.index.size()));
  }
  return result;
}

FixedPointTaps fixed_point(const Taps<double>& taps) {
  constexpr int most = 22;
  constexpr int limit = 1 << 15;
  const double largest =
      taps.weight.empty() ? 0 : *std::max_element(taps.weight.begin(), taps.weight.end());
  FixedPointTaps result{{taps.first, taps.index, {}}, 0};
  while (result.precision < most &&
         static_cast<int>(0.5 + largest * (1 << (result.precision + 1))) < limit) {
    ++result.precision;
  }
  for (const double weight : taps.weight) {
    const double scaled = weight * (1 << result.precision);
    result.taps.weight.push_back(static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
  }
  return result;
}

void resize_row(const FixedPointTaps& fixed, const uint8_t* from, uint8_t* to) {
  const Taps<int32_t>& taps = fixed.taps;
  for (int64_t w = 0; w < taps.outputs(); ++w) {
    int32_t sum = fixed.half();
    for (int64_t i = taps.first[w]; i < taps.first[w + 1]; ++i) {
      sum += taps.weight[i] * from[taps.index[i]];
    }
    to[w] = fixed.round(sum);
  }
}

/// Row `output` of the result from the rows of `from`, `width` bytes each.
void blend_rows(const FixedPointTaps& fixed, int64_t output, const uint8_t* from, int64_t width,
                int32_t* sums, uint8_t* to) {
  const Taps<int32_t>& taps = fixed.taps;
  std::fill_n(sums, width, fixed.half());
  for (int64_t i = taps.first[output]; i < taps.first[output + 1]; ++i) {
    const uint8_t* row = from + taps.index[i] * width;
    for (int64_t w = 0; w < width; ++w) {
      sums[w] += taps.weight[i] * row[w];
    }
  }
  for (int64_t w = 0; w < width; ++w) {
    to[w] = fixed.round(sums[w]);
  }
}

}  // namespace

void interpolate_bytes(const at::Tensor& self, Mode mode, bool align_corners,
                       std::optional<double> scale_height, std::optional<double> scale_width,
                       const at::Tensor& out) {
  const int64_t from_height = self.size(-2);
  const int64_t from_width = self.size(-1);
  const int64_t height = out.size(-2);
  const int64_t width = out.size(-1);
  const bool across = from_width != width;
  const bool along = from_height != height;
  if (!across && !along) {
    out.copy_(self);
    return;
  }
  const FixedPointTaps columns =
      fixed_point(merged(taps<double>(mode, from_width, width, align_corners, scale_width)));
  const FixedPointTaps rows =
      fixed_point(merged(taps<double>(mode, from_height, height, align_corners, scale_height)));
  const at::Tensor input = self.contiguous();
  const planes::Target target(out);
  const uint8_t* data = input.const_data_ptr<uint8_t>();
  uint8_t* result = target.data<uint8_t>();
  const auto resize = [&](int64_t plane) {
    const uint8_t* source = data + plane * from_height * from_width;
    uint8_t* destination = result + plane * height * width;
    std::vector<uint8_t> narrowed(across && along ? from_height * width : 0);
    if (across) {
      uint8_t* rows_out = along ? narrowed.data() : destination;
      for (int64_t y = 0; y < from_height; ++y) {
        resize_row(columns, source + y * from_width, rows_out + y * width);
      }
      source = rows_out;
    }
    if (along) {
      std::vector<int32_t> sums(static_cast<size_t>(width));
      for (int64_t y = 0; y < height; ++y) {
        blend_rows(rows, y, source, width, sums.data(), destination + y * width);
      }
    }
  };
  planes::for_each(planes::count(self, 2), from_height * width + height * width, resize);
  target.finish();
}

}  // namespace alt::kernels::upsample
