// grid_sample in two and three dimensions, every mode and padding, and its gradients.
//
// Interpolation is separable: along each dimension a point looks at one, two or four places, with
// weights whose products are the weights of the places in the image. Points are taken kChunk at a
// time: their places and weights are found once and then used for all channels. The gradient of
// the input adds into planes, so channels are its tasks; that of the grid and the output itself
// have chunks of points for tasks. Where a point looks comes from PyTorch's own inline functions
// (ATen/native/GridSampler.h). Two dimensions are three with a depth of one.

#include <ATen/core/Tensor.h>
#include <ATen/native/GridSampler.h>
#include <ATen/native/UpSample.h>
#include <ATen/ops/empty.h>

#include <array>
#include <cmath>
#include <tuple>
#include <vector>

#include "kernels/cuda/grid_sample.h"
#include "kernels/operands.h"
#include "kernels/planes.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using at::native::GridSamplerInterpolation;
using at::native::GridSamplerPadding;

constexpr int64_t kChunk = 128;
constexpr int64_t kChannels = 8;  // a task of the input's gradient
constexpr int64_t kOutside = -1;

struct Options {
  Options(int64_t interpolation, int64_t padding, bool align_corners)
      : interpolation(static_cast<GridSamplerInterpolation>(interpolation)),
        padding(static_cast<GridSamplerPadding>(padding)),
        align_corners(align_corners) {}
  cuda::GridSample on_gpu() const {
    return {static_cast<int64_t>(interpolation), static_cast<int64_t>(padding), align_corners};
  }
  GridSamplerInterpolation interpolation;
  GridSamplerPadding padding;
  bool align_corners;
};

/// Where a coordinate looks along its dimension: places, weights and the weights' derivatives.
template <class T>
struct Looks {
  int count = 0;
  std::array<int64_t, 4> place;
  std::array<T, 4> weight;
  std::array<T, 4> slope;

  /// `x` is a whole number; NaN looks at the first place, whose weight is then NaN.
  void add(T x, int64_t size, T w, T s) {
    const bool is_outside = x < T(0) || x > static_cast<T>(size - 1);
    place[count] = is_outside ? kOutside : std::isnan(x) ? 0 : static_cast<int64_t>(x);
    weight[count] = w;
    slope[count] = s;
    ++count;
  }
};

template <class T>
Looks<T> look(T coordinate, int64_t size, const Options& options) {
  using namespace at::native;
  Looks<T> looks;
  T scale;
  if (options.interpolation == GridSamplerInterpolation::Bicubic) {
    const T x = grid_sampler_unnormalize_set_grad(coordinate, size, options.align_corners, &scale);
    const T first = std::floor(x) - T(1), fraction = x - std::floor(x);
    T weights[4], slopes[4];
    get_cubic_upsample_coefficients<T>(weights, fraction);
    get_cubic_coefficients_grad<T>(slopes, fraction);
    for (int i = 0; i < 4; ++i) {
      const T place = compute_coordinates(first + static_cast<T>(i), size, options.padding,
                                          options.align_corners);
      looks.add(std::trunc(place), size, weights[i], -slopes[i] * scale);
    }
    return looks;
  }
  T x = grid_sampler_compute_source_index_set_grad(coordinate, size, options.padding,
                                                   options.align_corners, &scale);
  const bool pads_with_zeros = options.padding == GridSamplerPadding::Zeros;
  if (std::isnan(coordinate) && !pads_with_zeros) {
    x = T(0);
  }
  if (options.interpolation == GridSamplerInterpolation::Nearest) {
    looks.add(std::isnan(x) ? T(kOutside) : std::nearbyint(x), size, T(1), T(0));
  } else {
    const T below = std::floor(x), above = below + T(1);
    looks.add(below, size, above - x, -scale);
    looks.add(above, size, x - below, scale);
  }
  return looks;
}

/// An input [N, C, depth, height, width] and a grid of points, contiguous.
struct Problem {
  Problem(const Tensor& input, const Tensor& grid, const Options& options)
      : options(options),
        dimensions(input.dim() - 2),
        batch(input.size(0)),
        channels(input.size(1)),
        extent(planes::spatial(input, dimensions)),
        points(c10::multiply_integers(grid.sizes().slice(1, dimensions))) {}

  int64_t chunks() const { return (points + kChunk - 1) / kChunk; }
  int64_t plane() const { return volume(extent); }

  Options options;
  int64_t dimensions;
  int64_t batch;
  int64_t channels;
  Extent extent;
  int64_t points;
};

/// A chunk of points: for each of the places that a point looks at, where it is in a plane, its
/// weight, and the weight's derivative by each coordinate.
template <class T>
class Chunk {
 public:
  struct Place {
    std::array<int64_t, kChunk> offset;
    std::array<T, kChunk> weight;
    std::array<std::array<T, kChunk>, 3> slope;
  };

  explicit Chunk(const Problem& problem) : problem_(problem) {}

  /// Chunk number `index` of a grid of coordinates, x first.
  void fill(const T* grid, int64_t index) {
    begin = index * kChunk;
    count = std::min(kChunk, problem_.points - begin);
    for (int64_t p = 0; p < count; ++p) {
      const T* coordinates = grid + (begin + p) * problem_.dimensions;
      std::array<Looks<T>, 3> looks;  // depth, height, width
      for (int64_t d = 0; d < 3; ++d) {
        if (2 - d < problem_.dimensions) {
          looks[d] = look(coordinates[2 - d], problem_.extent[d], problem_.options);
        } else {
          looks[d].add(T(0), 1, T(1), T(0));
        }
      }
      combine(looks, p);
    }
  }

  int64_t begin = 0;
  int64_t count = 0;
  std::vector<Place> places;

 private:
  void combine(const std::array<Looks<T>, 3>& looks, int64_t p) {
    const auto& [depth, height, width] = looks;
    places.resize(static_cast<size_t>(depth.count * height.count * width.count));
    auto place = places.begin();
    for (int z = 0; z < depth.count; ++z) {
      for (int y = 0; y < height.count; ++y) {
        for (int x = 0; x < width.count; ++x, ++place) {
          const bool is_outside = depth.place[z] == kOutside || height.place[y] == kOutside ||
                                  width.place[x] == kOutside;
          place->offset[p] = is_outside ? kOutside
                                        : (depth.place[z] * problem_.extent[1] + height.place[y]) *
                                                  problem_.extent[2] +
                                              width.place[x];
          place->weight[p] = depth.weight[z] * height.weight[y] * width.weight[x];
          place->slope[0][p] = depth.weight[z] * height.weight[y] * width.slope[x];
          place->slope[1][p] = depth.weight[z] * height.slope[y] * width.weight[x];
          place->slope[2][p] = depth.slope[z] * height.weight[y] * width.weight[x];
        }
      }
    }
  }

  const Problem& problem_;
};

/// Calls body(n, chunk) for each chunk of points of each image.
template <class T, class Body>
void for_each_chunk(const Problem& problem, const T* grid, Body&& body) {
  parallel_for(0, problem.batch * problem.chunks(), 1, [&](int64_t begin, int64_t end) {
    Chunk<T> chunk(problem);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / problem.chunks();
      chunk.fill(grid + n * problem.points * problem.dimensions, i % problem.chunks());
      body(n, chunk);
    }
  });
}

template <class T>
void sample(const Problem& problem, const T* input, const T* grid, T* output) {
  for_each_chunk(problem, grid, [&](int64_t n, const Chunk<T>& chunk) {
    for (int64_t c = n * problem.channels; c < (n + 1) * problem.channels; ++c) {
      const T* plane = input + c * problem.plane();
      T* out = output + c * problem.points + chunk.begin;
      std::fill_n(out, chunk.count, T(0));
      for (const auto& place : chunk.places) {
        for (int64_t p = 0; p < chunk.count; ++p) {
          if (place.offset[p] != kOutside) {
            out[p] += plane[place.offset[p]] * place.weight[p];
          }
        }
      }
    }
  });
}

template <class T>
void input_gradient(const Problem& problem, const T* grad, const T* grid, T* grad_input) {
  const int64_t blocks = (problem.channels + kChannels - 1) / kChannels;
  parallel_for(0, problem.batch * blocks, 1, [&](int64_t begin, int64_t end) {
    Chunk<T> chunk(problem);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i / blocks, first = i % blocks * kChannels;
      const int64_t last = std::min(first + kChannels, problem.channels);
      T* planes = grad_input + n * problem.channels * problem.plane();
      std::fill(planes + first * problem.plane(), planes + last * problem.plane(), T(0));
      for (int64_t index = 0; index < problem.chunks(); ++index) {
        chunk.fill(grid + n * problem.points * problem.dimensions, index);
        for (int64_t c = first; c < last; ++c) {
          const T* row = grad + (n * problem.channels + c) * problem.points + chunk.begin;
          for (const auto& place : chunk.places) {
            for (int64_t p = 0; p < chunk.count; ++p) {
              if (place.offset[p] != kOutside) {
                planes[c * problem.plane() + place.offset[p]] += row[p] * place.weight[p];
              }
            }
          }
        }
      }
    }
  });
}

template <class T>
void grid_gradient(const Problem& problem, const T* grad, const T* input, const T* grid,
                   T* grad_grid) {
  for_each_chunk(problem, grid, [&](int64_t n, const Chunk<T>& chunk) {
    std::array<std::array<T, kChunk>, 3> sum{};
    for (int64_t c = n * problem.channels; c < (n + 1) * problem.channels; ++c) {
      const T* plane = input + c * problem.plane();
      const T* row = grad + c * problem.points + chunk.begin;
      for (const auto& place : chunk.places) {
        for (int64_t p = 0; p < chunk.count; ++p) {
          if (place.offset[p] != kOutside) {
            const T value = row[p] * plane[place.offset[p]];
            for (int64_t d = 0; d < problem.dimensions; ++d) {
              sum[d][p] += value * place.slope[d][p];
            }
          }
        }
      }
    }
    T* out = grad_grid + (n * problem.points + chunk.begin) * problem.dimensions;
    for (int64_t p = 0; p < chunk.count; ++p) {
      for (int64_t d = 0; d < problem.dimensions; ++d) {
        out[p * problem.dimensions + d] = sum[d][p];
      }
    }
  });
}

Tensor forward(const Tensor& input, const Tensor& grid, const Options& options, const char* name) {
  auto sizes = input.sizes().vec();
  std::copy_n(grid.sizes().begin() + 1, input.dim() - 2, sizes.begin() + 2);
  const Tensor output = at::empty(sizes, input.options());
  if (output.numel() == 0) {
    return output;
  }
  visit<FloatingAndHalfTypes>(input.scalar_type(), name, [&]<class T>() {
    using A = opmath_t<T>;
    check_dtype(grid, input.scalar_type());
    if (alt::cuda::on_gpu()) return cuda::grid_sample(input, grid, options.on_gpu(), output);
    const Tensor image = planes::source(input), points = planes::source(grid);
    const planes::Target target(output);
    sample<A>(Problem(input, grid, options), image.const_data_ptr<A>(), points.const_data_ptr<A>(),
              target.data<A>());
    target.finish();
  });
  return output;
}

std::tuple<Tensor, Tensor> backward(const Tensor& grad_output, const Tensor& input,
                                    const Tensor& grid, const Options& options,
                                    std::array<bool, 2> output_mask, const char* name) {
  Tensor grad_input;
  if (output_mask[0]) {
    grad_input = at::empty(input.sizes(), input.options());
  }
  const Tensor grad_grid = at::empty(grid.sizes(), grid.options());
  if (grid.numel() == 0 || input.numel() == 0) {
    if (grad_input.defined()) {
      grad_input.zero_();
    }
    grad_grid.zero_();
    return {grad_input, grad_grid};
  }
  visit<FloatingAndHalfTypes>(input.scalar_type(), name, [&]<class T>() {
    using A = opmath_t<T>;
    check_dtype(grid, input.scalar_type());
    check_dtype(grad_output, input.scalar_type());
    const bool grid_too =
        options.interpolation != GridSamplerInterpolation::Nearest && output_mask[1];
    if (alt::cuda::on_gpu()) {
      if (!grid_too) grad_grid.zero_();
      return cuda::grid_sample_backward(grad_output, input, grid, options.on_gpu(), grad_input,
                                        grid_too ? grad_grid : Tensor());
    }
    const Tensor image = planes::source(input), points = planes::source(grid);
    const Tensor grads = planes::source(grad_output);
    const Problem problem(input, grid, options);
    const A *grad = grads.const_data_ptr<A>(), *at = points.const_data_ptr<A>();
    if (grad_input.defined()) {
      const planes::Target target(grad_input);
      input_gradient<A>(problem, grad, at, target.data<A>());
      target.finish();
    }
    if (!grid_too) {
      grad_grid.zero_();
    } else {
      const planes::Target target(grad_grid);
      grid_gradient<A>(problem, grad, image.const_data_ptr<A>(), at, target.data<A>());
      target.finish();
    }
  });
  return {grad_input, grad_grid};
}

void check_2d(const Tensor& input, const Tensor& grid) {
  at::native::check_grid_sampler_common(input, grid);
  at::native::check_grid_sampler_2d(input, grid);
}

void check_3d(const Tensor& input, const Tensor& grid, int64_t interpolation_mode) {
  at::native::check_grid_sampler_common(input, grid);
  at::native::check_grid_sampler_3d(input, grid, interpolation_mode);
}

}  // namespace

Tensor grid_sampler_2d(const Tensor& input, const Tensor& grid, int64_t interpolation_mode,
                       int64_t padding_mode, bool align_corners) {
  check_2d(input, grid);
  return forward(input, grid, {interpolation_mode, padding_mode, align_corners},
                 "grid_sampler_2d_cpu_kernel_impl");
}

std::tuple<Tensor, Tensor> grid_sampler_2d_backward(const Tensor& grad_output, const Tensor& input,
                                                    const Tensor& grid, int64_t interpolation_mode,
                                                    int64_t padding_mode, bool align_corners,
                                                    std::array<bool, 2> output_mask) {
  check_2d(input, grid);
  return backward(grad_output, input, grid, {interpolation_mode, padding_mode, align_corners},
                  output_mask, "grid_sampler_2d_backward_cpu_kernel_impl");
}

Tensor grid_sampler_3d(const Tensor& input, const Tensor& grid, int64_t interpolation_mode,
                       int64_t padding_mode, bool align_corners) {
  check_3d(input, grid, interpolation_mode);
  return forward(input, grid, {interpolation_mode, padding_mode, align_corners},
                 "grid_sampler3d_cpu");
}

std::tuple<Tensor, Tensor> grid_sampler_3d_backward(const Tensor& grad_output, const Tensor& input,
                                                    const Tensor& grid, int64_t interpolation_mode,
                                                    int64_t padding_mode, bool align_corners,
                                                    std::array<bool, 2> output_mask) {
  check_3d(input, grid, interpolation_mode);
  return backward(grad_output, input, grid, {interpolation_mode, padding_mode, align_corners},
                  output_mask, "grid_sampler_3d_backward_cpu");
}

}  // namespace alt::kernels
