// The operators of upsampling (torch.nn.functional.interpolate), each a mode and a number of
// dimensions of the loops in upsample_loops.cpp.

#include <ATen/core/Tensor.h>

#include "kernels/upsample.h"

namespace alt::kernels {

using at::IntArrayRef;
using at::Tensor;
using upsample::interpolate;
using upsample::interpolate_backward;
using upsample::interpolate_nearest;
using upsample::Mode;
using upsample::Scale;

void upsample_nearest1d(const Tensor& self, IntArrayRef /*output_size*/, Scale scale,
                        const Tensor& out) {
  interpolate_nearest(self, Mode::Nearest, {scale}, "upsample_nearest1d", out);
}

void upsample_nearest1d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                 IntArrayRef /*input_size*/, Scale scale,
                                 const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Nearest, false, {scale}, "upsample_nearest1d_backward",
                       grad_input);
}

void upsample_nearest_exact1d(const Tensor& self, IntArrayRef /*output_size*/, Scale scale,
                              const Tensor& out) {
  interpolate_nearest(self, Mode::NearestExact, {scale}, "upsample_nearest_exact1d", out);
}

void upsample_nearest_exact1d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                       IntArrayRef /*input_size*/, Scale scale,
                                       const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::NearestExact, false, {scale},
                       "upsample_nearest_exact1d_backward", grad_input);
}

void upsample_nearest2d(const Tensor& self, IntArrayRef /*output_size*/, Scale scale_h,
                        Scale scale_w, const Tensor& out) {
  interpolate_nearest(self, Mode::Nearest, {scale_h, scale_w}, "upsample_nearest2d", out);
}

void upsample_nearest2d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                 IntArrayRef /*input_size*/, Scale scale_h, Scale scale_w,
                                 const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Nearest, false, {scale_h, scale_w},
                       "upsample_nearest2d_backward", grad_input);
}

void upsample_nearest_exact2d(const Tensor& self, IntArrayRef /*output_size*/, Scale scale_h,
                              Scale scale_w, const Tensor& out) {
  interpolate_nearest(self, Mode::NearestExact, {scale_h, scale_w}, "upsample_nearest_exact2d",
                      out);
}

void upsample_nearest_exact2d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                       IntArrayRef /*input_size*/, Scale scale_h, Scale scale_w,
                                       const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::NearestExact, false, {scale_h, scale_w},
                       "upsample_nearest_exact2d_backward", grad_input);
}

void upsample_nearest3d(const Tensor& self, IntArrayRef /*output_size*/, Scale scale_d,
                        Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate_nearest(self, Mode::Nearest, {scale_d, scale_h, scale_w}, "upsample_nearest3d", out);
}

void upsample_nearest3d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                 IntArrayRef /*input_size*/, Scale scale_d, Scale scale_h,
                                 Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Nearest, false, {scale_d, scale_h, scale_w},
                       "upsample_nearest3d_backward", grad_input);
}

void upsample_nearest_exact3d(const Tensor& self, IntArrayRef /*output_size*/, Scale scale_d,
                              Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate_nearest(self, Mode::NearestExact, {scale_d, scale_h, scale_w},
                      "upsample_nearest_exact3d", out);
}

void upsample_nearest_exact3d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                       IntArrayRef /*input_size*/, Scale scale_d, Scale scale_h,
                                       Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::NearestExact, false, {scale_d, scale_h, scale_w},
                       "upsample_nearest_exact3d_backward", grad_input);
}

void upsample_linear1d(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                       Scale scale, const Tensor& out) {
  interpolate(self, Mode::Linear, align_corners, {scale}, "compute_indices_weights_linear", out);
}

void upsample_linear1d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                IntArrayRef /*input_size*/, bool align_corners, Scale scale,
                                const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Linear, align_corners, {scale},
                       "upsample_linear1d_backward", grad_input);
}

void upsample_bilinear2d(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                         Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate(self, Mode::Linear, align_corners, {scale_h, scale_w},
              "compute_indices_weights_linear", out);
}

void upsample_bilinear2d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                  IntArrayRef /*input_size*/, bool align_corners, Scale scale_h,
                                  Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Linear, align_corners, {scale_h, scale_w},
                       "upsample_bilinear2d_backward", grad_input);
}

void upsample_trilinear3d(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                          Scale scale_d, Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate(self, Mode::Linear, align_corners, {scale_d, scale_h, scale_w},
              "compute_indices_weights_linear", out);
}

void upsample_trilinear3d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                   IntArrayRef /*input_size*/, bool align_corners, Scale scale_d,
                                   Scale scale_h, Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Linear, align_corners, {scale_d, scale_h, scale_w},
                       "upsample_trilinear3d_backward", grad_input);
}

void upsample_bicubic2d(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                        Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate(self, Mode::Cubic, align_corners, {scale_h, scale_w}, "compute_indices_weights_cubic",
              out);
}

void upsample_bicubic2d_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                 IntArrayRef /*input_size*/, bool align_corners, Scale scale_h,
                                 Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::Cubic, align_corners, {scale_h, scale_w},
                       "upsample_bicubic2d_backward", grad_input);
}

void upsample_bilinear2d_aa(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                            Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate(self, Mode::LinearAntialias, align_corners, {scale_h, scale_w},
              "compute_index_ranges_weights", out);
}

void upsample_bilinear2d_aa_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                     IntArrayRef /*input_size*/, bool align_corners, Scale scale_h,
                                     Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::LinearAntialias, align_corners, {scale_h, scale_w},
                       "upsample_bilinear2d_aa_backward", grad_input);
}

void upsample_bicubic2d_aa(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                           Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate(self, Mode::CubicAntialias, align_corners, {scale_h, scale_w},
              "compute_index_ranges_weights", out);
}

void upsample_bicubic2d_aa_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                    IntArrayRef /*input_size*/, bool align_corners, Scale scale_h,
                                    Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::CubicAntialias, align_corners, {scale_h, scale_w},
                       "upsample_bicubic2d_aa_backward", grad_input);
}

void upsample_lanczos2d_aa(const Tensor& self, IntArrayRef /*output_size*/, bool align_corners,
                           Scale scale_h, Scale scale_w, const Tensor& out) {
  interpolate(self, Mode::LanczosAntialias, align_corners, {scale_h, scale_w},
              "compute_index_ranges_weights", out);
}

void upsample_lanczos2d_aa_backward(const Tensor& grad_output, IntArrayRef /*output_size*/,
                                    IntArrayRef /*input_size*/, bool align_corners, Scale scale_h,
                                    Scale scale_w, const Tensor& grad_input) {
  interpolate_backward(grad_output, Mode::LanczosAntialias, align_corners, {scale_h, scale_w},
                       "upsample_lanczos2d_aa_backward", grad_input);
}

}  // namespace alt::kernels
