// What the factorizations share: batches of column-major matrices, and the threads they run on.
//
// PyTorch's front-ends hand over dense batches whose matrices lie column by column, as LAPACK wants
// them. A batch of several matrices is shared among the threads of our pool, each calling LAPACK
// for whole matrices in one thread; a single matrix is left to the threads of the library.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/native/LinearAlgebraUtils.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "loops/dtype.h"
#include "runtime/blas_threads.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

/// The matrices of a dense batch, column by column.
template <class T>
struct Matrices {
  explicit Matrices(const at::Tensor& batch)
      : data(const_cast<T*>(batch.const_data_ptr<std::remove_const_t<T>>())),
        count(at::native::batchCount(batch)),
        rows(static_cast<int>(batch.size(-2))),
        columns(static_cast<int>(batch.size(-1))),
        leading(std::max(1, rows)) {}

  T* operator[](int64_t index) const { return data + index * rows * columns; }

  T* data;
  int64_t count;
  int rows;
  int columns;
  int leading;
};

/// The rows of a dense tensor: one vector for each matrix of a batch.
template <class T>
struct Vectors {
  explicit Vectors(const at::Tensor& batch)
      : data(const_cast<T*>(batch.const_data_ptr<T>())), length(batch.size(-1)) {}

  T* operator[](int64_t index) const { return data + index * length; }

  T* data;
  int64_t length;
};

/// Calls body(i) for each of `count` matrices, which cost `operations` each. Every thread has its
/// own copy of the body, so a workspace that the body captures by value is the thread's own.
template <class Body>
void for_each_matrix(int64_t count, double operations, const Body& body) {
  constexpr double operations_worth_a_thread = 1e5;
  // Large matrices, and few of them: the library's threads do better within one.
  constexpr double operations_worth_the_library = 1e7;
  const bool one_by_one =
      count == 1 || (count < num_threads() && operations > operations_worth_the_library);
  if (one_by_one) {
    const BlasThreads threads(
        operations > operations_worth_a_thread && !in_parallel_region() ? num_threads() : 1);
    Body own = body;
    for (int64_t i = 0; i < count; ++i) {
      own(i);
    }
    return;
  }
  const auto grain =
      static_cast<int64_t>(operations_worth_a_thread / std::max(operations, 1.0)) + 1;
  parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    const BlasThreads threads(1);
    Body own = body;
    for (int64_t i = begin; i < end; ++i) {
      own(i);
    }
  });
}

/// What a factorization of an m x n matrix costs, about.
inline double factor_cost(int64_t m, int64_t n) {
  return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(std::min(m, n));
}

/// Where each item of `tensor` (its last `item_dims` dimensions) begins, for each index of `batch`,
/// to which its other dimensions broadcast.
inline std::vector<int64_t> broadcast_offsets(const at::Tensor& tensor, int64_t item_dims,
                                              at::IntArrayRef batch) {
  std::vector<int64_t> offsets{0};
  const auto batch_dims = static_cast<int64_t>(batch.size());
  const int64_t missing = batch_dims - (tensor.dim() - item_dims);
  for (int64_t dim = 0; dim < batch_dims; ++dim) {
    const bool repeated = dim < missing || tensor.size(dim - missing) == 1;
    const int64_t stride = repeated ? 0 : tensor.stride(dim - missing);
    std::vector<int64_t> finer;
    finer.reserve(offsets.size() * batch[dim]);
    for (const int64_t offset : offsets) {
      for (int64_t i = 0; i < batch[dim]; ++i) {
        finer.push_back(offset + i * stride);
      }
    }
    offsets = std::move(finer);
  }
  return offsets;
}

}  // namespace alt::kernels
