// The loops of upsampling: forward, forward of the modes that only move elements, forward for
// bytes, and backward. The number of scales is the number of dimensions; the innermost comes last.
#pragma once

#include <ATen/core/Tensor.h>

#include <initializer_list>
#include <optional>

#include "kernels/upsample_taps.h"

namespace alt::kernels::upsample {

using Scale = std::optional<double>;
using Scales = std::initializer_list<Scale>;

/// `name` is what an error about the dtype calls the operator.
void interpolate(const at::Tensor& self, Mode mode, bool align_corners, Scales scales,
                 const char* name, const at::Tensor& out);

void interpolate_nearest(const at::Tensor& self, Mode mode, Scales scales, const char* name,
                         const at::Tensor& out);

void interpolate_backward(const at::Tensor& grad_output, Mode mode, bool align_corners,
                          Scales scales, const char* name, const at::Tensor& grad_input);

/// Bilinear or bicubic resizing of an image of bytes.
void interpolate_bytes(const at::Tensor& self, Mode mode, bool align_corners,
                       std::optional<double> scale_height, std::optional<double> scale_width,
                       const at::Tensor& out);

}  // namespace alt::kernels::upsample
