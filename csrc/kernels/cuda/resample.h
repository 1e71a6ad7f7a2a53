// Upsampling and padding on the GPU, as the tables that upsample_loops.cpp and pad.cpp make.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <vector>

#include "kernels/window.h"

namespace alt::kernels::cuda {

/// Along a dimension, output i is the sum over j in [first[i], first[i + 1]) of weight[j] times
/// input index[j].
struct Resampling {
  std::vector<int64_t> first{0}, index;
  std::vector<double> weight;

  int64_t outputs() const { return static_cast<int64_t>(first.size()) - 1; }
  void add(int64_t input, double factor) {
    index.push_back(input);
    weight.push_back(factor);
  }
  void end_output() { first.push_back(static_cast<int64_t>(index.size())); }

  /// Whose outputs are these inputs: the gradient's.
  Resampling transposed(int64_t inputs) const;
};
using Resamplings = std::array<Resampling, 3>;

template <class Taps>
Resampling resampling_of(const Taps& taps) {
  Resampling result;
  result.first = taps.first;
  result.index = taps.index;
  result.weight.assign(taps.weight.begin(), taps.weight.end());
  return result;
}

/// out = input resampled; both are contiguous, of `planes` x their Extent x `inner`.
void resample(const Resamplings& dimensions, int64_t planes, const Extent& in, int64_t inner,
              const at::Tensor& input, const at::Tensor& out);

/// The same where every output is one input: of any dtype.
void resample_by_moving(const Resamplings& dimensions, int64_t planes, const Extent& in,
                        int64_t inner, const at::Tensor& input, const at::Tensor& out);

}  // namespace alt::kernels::cuda
