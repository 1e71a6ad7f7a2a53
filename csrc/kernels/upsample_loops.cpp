// Upsampling (torch.nn.functional.interpolate): every mode in one to three dimensions, and the
// gradients.
//
// Forward, a row of outputs at a time: the input rows that it looks at are resized along their own
// dimension, once each as they are kept for the next rows, then weighted and added up; this is the
// order in which stock adds. Backward is the transpose of this, a plane at a time; of the nearest
// modes, an input row at a time.
// Nearest modes only move elements, so they do not convert half types forward.

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <vector>

#include "dispatch/host_call.h"
#include "kernels/cuda/resample.h"
#include "kernels/operands.h"
#include "kernels/planes.h"
#include "kernels/upsample.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels::upsample {
namespace {

using at::Tensor;
using NearestTypes = concat_t<FloatingAndHalfTypes, TypeList<uint8_t>>;

bool antialiases(Mode mode) {
  return mode == Mode::LinearAntialias || mode == Mode::CubicAntialias ||
         mode == Mode::LanczosAntialias;
}

/// The taps of depth, height and width; an absent dimension has one of each.
template <class T>
std::array<Taps<T>, 3> taps_of(Mode mode, const Extent& input, const Extent& output,
                               bool align_corners, Scales scales) {
  std::array<Taps<T>, 3> result;
  const int absent = 3 - static_cast<int>(scales.size());
  for (int i = 0; i < 3; ++i) {
    result[i] = i < absent
                    ? identity_taps<T>(1)
                    : taps<T>(mode, input[i], output[i], align_corners, scales.begin()[i - absent]);
  }
  return result;
}

/// Calls body(offset, weight) for the input rows that output row (d, h) looks at.
template <class T, class Body>
void for_each_input_row(const std::array<Taps<T>, 3>& taps, const Extent& input, int64_t d,
                        int64_t h, Body&& body) {
  for (int64_t i = taps[0].first[d]; i < taps[0].first[d + 1]; ++i) {
    for (int64_t j = taps[1].first[h]; j < taps[1].first[h + 1]; ++j) {
      body((taps[0].index[i] * input[1] + taps[1].index[j]) * input[2],
           taps[0].weight[i] * taps[1].weight[j]);
    }
  }
}

/// out[w] = sum of the `count` taps of w; `count` is a constant for the compiler to unroll.
template <int64_t count, class T>
void gather_fixed(const Taps<T>& taps, const T* row, T* out) {
  const int64_t width = taps.outputs();
  for (int64_t w = 0; w < width; ++w) {
    T sum(0);
    for (int64_t i = w * count; i < (w + 1) * count; ++i) {
      sum += taps.weight[i] * row[taps.index[i]];
    }
    out[w] = sum;
  }
}

template <class T>
void gather(const Taps<T>& taps, int64_t count, const T* row, T* out) {
  if (count == 2) {
    return gather_fixed<2>(taps, row, out);
  }
  if (count == 4) {
    return gather_fixed<4>(taps, row, out);
  }
  for (int64_t w = 0; w < taps.outputs(); ++w) {
    T sum(0);
    for (int64_t i = taps.first[w]; i < taps.first[w + 1]; ++i) {
      sum += taps.weight[i] * row[taps.index[i]];
    }
    out[w] = sum;
  }
}

/// The transpose of gather: adds each output's gradient to its taps.
template <class T>
void scatter(const Taps<T>& taps, const T* grad, T* row) {
  for (int64_t w = 0; w < taps.outputs(); ++w) {
    for (int64_t i = taps.first[w]; i < taps.first[w + 1]; ++i) {
      row[taps.index[i]] += taps.weight[i] * grad[w];
    }
  }
}

/// Input rows resized along their own dimension, kept while the rows of outputs that need them
/// pass by: a few planes' depth of them, as many as an output looks at.
template <class T>
class ResizedRows {
 public:
  ResizedRows(const std::array<Taps<T>, 3>& taps, const Extent& input)
      : taps_(taps[2]),
        count_(taps[2].count()),
        input_(input),
        depth_(deepest(taps[0])),
        width_(taps[2].outputs()),
        rows_(static_cast<size_t>(depth_ * input[1] * width_)),
        holds_(static_cast<size_t>(depth_ * input[1]), nullptr) {}

  /// Row (z, y) of a plane of the input.
  const T* get(const T* plane, int64_t z, int64_t y) {
    const T* source = plane + (z * input_[1] + y) * input_[2];
    const int64_t slot = z % depth_ * input_[1] + y;
    T* row = rows_.data() + slot * width_;
    if (holds_[slot] != source) {
      gather(taps_, count_, source, row);
      holds_[slot] = source;
    }
    return row;
  }

 private:
  static int64_t deepest(const Taps<T>& taps) {
    int64_t depth = 1;
    for (int64_t i = 0; i < taps.outputs(); ++i) {
      depth = std::max(depth, taps.first[i + 1] - taps.first[i]);
    }
    return depth;
  }

  const Taps<T>& taps_;
  int64_t count_;
  Extent input_;
  int64_t depth_;
  int64_t width_;
  std::vector<T> rows_;
  std::vector<const T*> holds_;
};

/// out = sum over j in [first, last) of weight[j] * row(index[j]).
template <class T, class Row>
void blend(const Taps<T>& taps, int64_t output, int64_t width, T* out, Row&& row) {
  std::fill_n(out, width, T(0));
  for (int64_t i = taps.first[output]; i < taps.first[output + 1]; ++i) {
    const T weight = taps.weight[i];
    const T* source = row(taps.index[i]);
    for (int64_t w = 0; w < width; ++w) {
      out[w] += weight * source[w];
    }
  }
}

/// Whether stock computes a nearest mode by the scale alone: where its vectorised kernel, for
/// channels_last and for small images, does not serve.
bool goes_by_scale(const Tensor& self, const Tensor& out) {
  switch (self.dim()) {
    case 4:
      return !(self.is_contiguous(at::MemoryFormat::ChannelsLast) && self.size(1) > 3) &&
             out.size(-2) + out.size(-1) > 128;
    case 5:
      return !(self.is_contiguous(at::MemoryFormat::ChannelsLast3d) && self.size(1) > 3);
    default:
      return true;
  }
}

/// The taps of an output's forward pass: stock leaves a side alone whose size does not change,
/// whatever the scale, where it antialiases; backward not.
template <class T>
std::array<Taps<T>, 3> forward_taps(Mode mode, const Extent& from, const Extent& to,
                                    bool align_corners, Scales scales) {
  auto result = taps_of<T>(mode, from, to, align_corners, scales);
  for (int i = 0; i < 3; ++i) {
    if (antialiases(mode) && from[i] == to[i]) result[i] = identity_taps<T>(from[i]);
  }
  return result;
}

/// The taps as the GPU's kernel takes them. A double image has double coordinates.
template <class MakeTaps>
cuda::Resamplings resamplings_of(at::ScalarType dtype, MakeTaps&& make) {
  const auto converted = [](const auto& taps) -> cuda::Resamplings {
    return {cuda::resampling_of(taps[0]), cuda::resampling_of(taps[1]),
            cuda::resampling_of(taps[2])};
  };
  return dtype == at::kDouble ? converted(make.template operator()<double>())
                              : converted(make.template operator()<float>());
}

template <class T>
std::array<std::vector<int64_t>, 3> indices(const std::array<Taps<T>, 3>& taps) {
  return {taps[0].index, taps[1].index, taps[2].index};
}

/// Whether outputs 2 i and 2 i + 1 show input i.
bool doubles(const std::vector<int64_t>& index, int64_t inputs) {
  if (static_cast<int64_t>(index.size()) != 2 * inputs) return false;
  for (size_t i = 0; i < index.size(); ++i) {
    if (index[i] != static_cast<int64_t>(i / 2)) return false;
  }
  return true;
}

/// Where the outputs that show an input begin, for every input and the end: a nearest mode's taps
/// never go back.
template <class T>
std::vector<int64_t> shown_from(const Taps<T>& taps, int64_t inputs) {
  std::vector<int64_t> begin(static_cast<size_t>(inputs) + 1);
  for (int64_t i = 0; i <= inputs; ++i) {
    begin[i] = std::lower_bound(taps.index.begin(), taps.index.end(), i) - taps.index.begin();
  }
  return begin;
}

bool is_nearest(Mode mode) {
  return mode == Mode::Nearest || mode == Mode::NearestByScale || mode == Mode::NearestExact ||
         mode == Mode::NearestExactByScale;
}

/// Gradients of a nearest mode, an input row at a time: of each row of outputs that shows it, every
/// input adds up its stretch.
template <class T>
void sum_shown(const std::array<Taps<T>, 3>& taps, const Extent& inputs, const Extent& outputs,
               int64_t planes, const T* grad, T* result) {
  const std::array<std::vector<int64_t>, 3> from = {shown_from(taps[0], inputs[0]),
                                                    shown_from(taps[1], inputs[1]),
                                                    shown_from(taps[2], inputs[2])};
  const bool doubled = doubles(taps[2].index, inputs[2]);
  const auto add_row = [&](T* target, const T* row) {
    if (doubled) {
      for (int64_t x = 0; x < inputs[2]; ++x) target[x] += row[2 * x] + row[2 * x + 1];
      return;
    }
    for (int64_t x = 0; x < inputs[2]; ++x) {
      target[x] += std::accumulate(row + from[2][x], row + from[2][x + 1], T(0));
    }
  };
  const int64_t work = volume(outputs) / (inputs[0] * inputs[1]) + inputs[2];
  planes::for_each_row(planes, inputs, work, [&](int64_t plane, int64_t z, int64_t y) {
    T* target = result + ((plane * inputs[0] + z) * inputs[1] + y) * inputs[2];
    std::fill_n(target, inputs[2], T(0));
    for (int64_t d = from[0][z]; d < from[0][z + 1]; ++d) {
      for (int64_t h = from[1][y]; h < from[1][y + 1]; ++h) {
        add_row(target, grad + ((plane * outputs[0] + d) * outputs[1] + h) * outputs[2]);
      }
    }
  });
}

}  // namespace

void interpolate(const Tensor& self, Mode mode, bool align_corners, Scales scales, const char* name,
                 const Tensor& out) {
  const auto dimensions = static_cast<int64_t>(scales.size());
  if (dimensions == 2 && self.scalar_type() == at::kByte) {
    const auto bytes = [&] {
      interpolate_bytes(self, mode, align_corners, scales.begin()[0], scales.begin()[1], out);
    };
    if (!alt::cuda::on_gpu()) return bytes();
    HostCall host(std::string("aten::") + name);
    host.read(self);
    host.write(out);
    return host.run(bytes);
  }
  const Extent from = planes::spatial(self, dimensions);
  const Extent to = planes::spatial(out, dimensions);
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), name);
    const auto tables = resamplings_of(self.scalar_type(), [&]<class T>() {
      return forward_taps<T>(mode, from, to, align_corners, scales);
    });
    const Tensor plain = self.contiguous();
    return write_dense(out, [&](const Tensor& result) {
      cuda::resample(tables, planes::count(self, dimensions), from, 1, plain, result);
    });
  }
  const Tensor input = planes::source(self);
  const planes::Target target(out);
  visit<FloatingTypes>(input.scalar_type(), name, [&]<class T>() {
    const auto taps = forward_taps<T>(mode, from, to, align_corners, scales);
    const T* data = input.const_data_ptr<T>();
    T* result = target.data<T>();
    const int64_t rows = to[0] * to[1];
    const int64_t width = to[2];
    const int64_t grain = 32768 / (4 * width) + 1;
    parallel_for(0, planes::count(self, dimensions) * rows, grain, [&](int64_t begin, int64_t end) {
      ResizedRows<T> resized(taps, from);
      std::vector<T> slice(static_cast<size_t>(width));
      for (int64_t index = begin; index < end; ++index) {
        const T* plane = data + index / rows * volume(from);
        const int64_t d = index % rows / to[1];
        const int64_t h = index % to[1];
        const auto blend_slice = [&](int64_t z, T* slice_row) {
          blend(taps[1], h, width, slice_row, [&](int64_t y) { return resized.get(plane, z, y); });
          return slice_row;
        };
        if (to[0] == 1 && from[0] == 1) {
          blend_slice(0, result + index * width);
        } else {
          blend(taps[0], d, width, result + index * width,
                [&](int64_t z) { return blend_slice(z, slice.data()); });
        }
      }
    });
  });
  target.finish();
}

void interpolate_nearest(const Tensor& self, Mode mode, Scales scales, const char* name,
                         const Tensor& out) {
  const auto dimensions = static_cast<int64_t>(scales.size());
  const Extent from = planes::spatial(self, dimensions);
  const Extent to = planes::spatial(out, dimensions);
  const Tensor input = self.contiguous();
  if (goes_by_scale(self, out)) {
    mode = mode == Mode::Nearest ? Mode::NearestByScale : Mode::NearestExactByScale;
  }
  // As for the other modes, a double image has double coordinates.
  const std::array<std::vector<int64_t>, 3> index =
      input.scalar_type() == at::kDouble ? indices(taps_of<double>(mode, from, to, false, scales))
                                         : indices(taps_of<float>(mode, from, to, false, scales));
  if (alt::cuda::on_gpu()) {
    check_type<NearestTypes>(input.scalar_type(), name);
    const auto tables = resamplings_of(
        input.scalar_type(), [&]<class T>() { return taps_of<T>(mode, from, to, false, scales); });
    return write_dense(out, [&](const Tensor& result) {
      cuda::resample_by_moving(tables, planes::count(self, dimensions), from, 1, input, result);
    });
  }
  const bool doubled = doubles(index[2], from[2]);
  const auto move = [&]<class T>(const T* data, T* target) {
    planes::for_each_row(
        planes::count(self, dimensions), to, to[2], [&](int64_t plane, int64_t d, int64_t h) {
          const T* row =
              data + plane * volume(from) + (index[0][d] * from[1] + index[1][h]) * from[2];
          T* target_row = target + ((plane * to[0] + d) * to[1] + h) * to[2];
          if (doubled) {
            for (int64_t w = 0; w < from[2]; ++w) {
              const T value = row[w];
              target_row[2 * w] = value;
              target_row[2 * w + 1] = value;
            }
          } else {
            const int64_t* at = index[2].data();
            for (int64_t w = 0; w < to[2]; ++w) target_row[w] = row[at[w]];
          }
        });
  };
  visit<NearestTypes>(input.scalar_type(), name, [&]<class T>() {
    write_dense(out, [&](const Tensor& result) {
      move(input.const_data_ptr<T>(), result.mutable_data_ptr<T>());
    });
  });
}

void interpolate_backward(const Tensor& grad_output, Mode mode, bool align_corners, Scales scales,
                          const char* name, const Tensor& grad_input) {
  const auto dimensions = static_cast<int64_t>(scales.size());
  const Extent to = planes::spatial(grad_input, dimensions);
  const Extent from = planes::spatial(grad_output, dimensions);
  if (mode == Mode::Cubic && from == to) {
    grad_input.copy_(grad_output);
    return;
  }
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(grad_output.scalar_type(), name);
    auto tables = resamplings_of(grad_output.scalar_type(), [&]<class T>() {
      return taps_of<T>(mode, to, from, align_corners, scales);
    });
    for (size_t d = 0; d < 3; ++d) tables[d] = tables[d].transposed(to[d]);
    const Tensor plain = grad_output.contiguous();
    return write_dense(grad_input, [&](const Tensor& result) {
      cuda::resample(tables, planes::count(grad_input, dimensions), from, 1, plain, result);
    });
  }
  const Tensor grad = planes::source(grad_output);
  const planes::Target target(grad_input);
  visit<FloatingTypes>(grad.scalar_type(), name, [&]<class T>() {
    const auto taps = taps_of<T>(mode, to, from, align_corners, scales);
    const T* data = grad.const_data_ptr<T>();
    T* result = target.data<T>();
    if (is_nearest(mode)) {
      return sum_shown(taps, to, from, planes::count(grad_input, dimensions), data, result);
    }
    planes::for_each(planes::count(grad_input, dimensions), volume(to) + 4 * volume(from),
                     [&](int64_t plane) {
                       T* base = result + plane * volume(to);
                       std::fill_n(base, volume(to), T(0));
                       std::vector<T> sum(static_cast<size_t>(to[2]));
                       const T* row_grad = data + plane * volume(from);
                       for (int64_t d = 0; d < from[0]; ++d) {
                         for (int64_t h = 0; h < from[1]; ++h, row_grad += from[2]) {
                           std::fill(sum.begin(), sum.end(), T(0));
                           scatter(taps[2], row_grad, sum.data());
                           for_each_input_row(taps, to, d, h, [&](int64_t row, T weight) {
                             for (int64_t x = 0; x < to[2]; ++x) {
                               base[row + x] += weight * sum[x];
                             }
                           });
                         }
                       }
                     });
  });
  target.finish();
}

}  // namespace alt::kernels::upsample
