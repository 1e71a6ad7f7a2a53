// What the twins ask of Python at run time: the libraries that CuPy has loaded. The functions are
// set by the Python module (bindings.cpp), for the library itself is not linked to Python.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/cuda/driver.h"

namespace alt::kernels::cuda {

/// c = alpha a b + beta c as cuBLAS has it, column-major; alpha and beta lie in the host's memory.
struct Gemm {
  int data_type;
  bool transpose_a, transpose_b;
  int m, n, k, batch;
  const void *alpha, *beta;
  const void *a, *b;
  void* c;
  int lda, ldb, ldc;
  int64_t stride_a, stride_b, stride_c;
  alt::cuda::CUstream stream;
};

using Value = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>>;
using Keywords = std::vector<std::pair<const char*, Value>>;

struct PythonCalls {
  void (*gemm)(const Gemm&) = nullptr;
  /// `function` of altbackend.cuda, as "sort.sort", on arrays that are the inputs' memory. Its
  /// results go to `outputs`, or are new tensors where there are none.
  std::vector<at::Tensor> (*array)(const char* function, at::TensorList inputs,
                                   at::TensorList outputs, const Keywords& keywords) = nullptr;
};

/// Set once, at the import of altbackend.
PythonCalls& python_calls();

}  // namespace alt::kernels::cuda
