// Bags of embedding rows on the GPU, for csrc/kernels/embedding_bag.cpp, which has checked what can
// be checked without looking at indices.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// `bag_of` each place, the number of bags after the last; `sizes` of the bags; rows of the
/// `largest` (mode 2). All int64.
struct Bagged {
  at::Tensor output, bag_of, sizes, largest;
};

/// Undefined where there is none: a factor for each place.
Bagged embedding_bag(const at::Tensor& weight, const at::Tensor& indices, const at::Tensor& offsets,
                     int64_t mode, const at::Tensor& factors, int64_t bags, int64_t padding_idx);

at::Tensor embedding_bag_dense_backward(const at::Tensor& grad, const at::Tensor& index,
                                        const at::Tensor& bag_of, const at::Tensor& sizes,
                                        const at::Tensor& largest, int64_t num_weights,
                                        bool scale_grad_by_freq, int64_t mode,
                                        const at::Tensor& factors, int64_t padding_idx);

at::Tensor embedding_bag_factors_backward(const at::Tensor& grad, const at::Tensor& weight,
                                          const at::Tensor& index, const at::Tensor& bag_of,
                                          int64_t padding_idx);

/// The bag of each of `places` places.
at::Tensor bag_of_places(const at::Tensor& offsets, int64_t places);

}  // namespace alt::kernels::cuda
