// Selecting and adding along a dimension on the GPU, and the gradient of an embedding: what the
// functions of these names in csrc/kernels do once their arguments are checked.
#pragma once

#include <ATen/core/Tensor.h>

namespace alt::kernels::cuda {

/// out, of its size, along `dim` by a vector of indices, which the kernel checks.
void index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                  const at::Tensor& out);

/// The gradient of the weight; the places' gradients are added by atomics, in float for half types.
at::Tensor embedding_dense_backward(const at::Tensor& grad, const at::Tensor& index,
                                    int64_t num_weights, int64_t padding_idx,
                                    bool scale_grad_by_freq);

/// The places of true elements of a mask seen as flat.
at::Tensor places_of(const at::Tensor& mask);

}  // namespace alt::kernels::cuda
