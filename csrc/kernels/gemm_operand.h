// How matrices lie in memory, in BLAS's terms.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "kernels/blas.h"

namespace alt::kernels {

/// How the last two dimensions of a tensor lie.
struct MatrixLayout {
  bool readable;
  bool transposed;
  int64_t stride;
};

inline MatrixLayout matrix_layout(const at::Tensor& tensor) {
  const int64_t rows = tensor.size(-2);
  const int64_t columns = tensor.size(-1);
  const int64_t row_stride = tensor.stride(-2);
  const int64_t column_stride = tensor.stride(-1);
  if ((column_stride == 1 || columns <= 1) &&
      (row_stride >= std::max<int64_t>(columns, 1) || rows <= 1)) {
    return {true, false, rows <= 1 ? std::max<int64_t>(columns, 1) : row_stride};
  }
  if ((row_stride == 1 || rows <= 1) &&
      (column_stride >= std::max<int64_t>(rows, 1) || columns <= 1)) {
    return {true, true, columns <= 1 ? std::max<int64_t>(rows, 1) : column_stride};
  }
  return {false, false, 0};
}

/// A matrix, or a batch of them, for BLAS; owns the copy where one was needed.
struct MatrixOperand {
  explicit MatrixOperand(const at::Tensor& given)
      : tensor(given.is_conj() || given.is_neg() ? given.resolve_conj().resolve_neg() : given),
        layout(matrix_layout(tensor)) {
    if (!layout.readable) {
      tensor = tensor.contiguous();
      layout = matrix_layout(tensor);
    }
  }

  /// Elements from one matrix of the batch to the next.
  int64_t batch_stride() const { return tensor.dim() == 3 ? tensor.stride(0) : 0; }

  template <class T>
  blas::Matrix<T> matrix(int64_t batch = 0) const {
    return {tensor.const_data_ptr<T>() + batch * batch_stride(), layout.stride, layout.transposed};
  }

  at::Tensor tensor;
  MatrixLayout layout;
};

}  // namespace alt::kernels
