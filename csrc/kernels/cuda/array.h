// Operators that altbackend/cuda/*.py write against an array module: CuPy's linear algebra,
// transforms, sorts and scans.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <vector>

#include "kernels/cuda/python.h"

namespace alt::kernels::cuda {

/// `function` of altbackend.cuda, as "linalg.svd", on the inputs' memory; its results, in order,
/// are copied to the outputs. Half types that arrays do not have are computed in float.
void call_array(const char* function, at::TensorList inputs, at::TensorList outputs,
                const Keywords& keywords = {});

/// The same with new tensors as results, whose sizes only the function knows.
std::vector<at::Tensor> new_from_array(const char* function, at::TensorList inputs,
                                       const Keywords& keywords = {});

}  // namespace alt::kernels::cuda
