// Distances between rows on the GPU, as distance.cpp's loops.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// Of the rows of two batches of matrices, contiguous; of one matrix with itself where `pairs`.
struct Distances {
  at::Tensor rows, others;
  double p;
  bool pairs = false;

  void forward(const at::Tensor& out) const;
  void backward(const at::Tensor& grad, const at::Tensor& distances, const at::Tensor& out) const;
};

}  // namespace alt::kernels::cuda
