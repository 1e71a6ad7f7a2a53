// The leaves of matrix multiplication: BLAS calls and the integer loop.
//
// BLAS is column-major: the row-major product C = A B is its C^T = B^T A^T, so operands swap and
// no flag changes.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <type_traits>

#include "kernels/blas.h"
#include "kernels/gemm_strips.h"
#include "loops/dtype.h"
#include "loops/vec.h"
#include "runtime/blas_threads.h"
#include "runtime/thread_pool.h"

extern "C" {
void sgemm_(const char*, const char*, const int*, const int*, const int*, const float*,
            const float*, const int*, const float*, const int*, const float*, float*, const int*);
void dgemm_(const char*, const char*, const int*, const int*, const int*, const double*,
            const double*, const int*, const double*, const int*, const double*, double*,
            const int*);
void cgemm_(const char*, const char*, const int*, const int*, const int*, const void*, const void*,
            const int*, const void*, const int*, const void*, void*, const int*);
void zgemm_(const char*, const char*, const int*, const int*, const int*, const void*, const void*,
            const int*, const void*, const int*, const void*, void*, const int*);
}

namespace alt::blas {
namespace {

template <class T>
constexpr bool is_blas_type = std::is_floating_point_v<T> || c10::is_complex<T>::value;

template <class T>
void call_blas(int m, int n, int k, T alpha, Matrix<T> a, Matrix<T> b, T beta, T* c,
               int64_t c_stride) {
  const char transpose_a = a.transposed ? 'T' : 'N';
  const char transpose_b = b.transposed ? 'T' : 'N';
  // An empty matrix may have no stride; BLAS wants one of at least 1 whatever the sizes.
  const int lda = std::max(static_cast<int>(a.stride), 1);
  const int ldb = std::max(static_cast<int>(b.stride), 1);
  const int ldc = static_cast<int>(c_stride);
  const auto call = [&](auto function) {
    function(&transpose_b, &transpose_a, &n, &m, &k, &alpha, b.data, &ldb, a.data, &lda, &beta, c,
             &ldc);
  };
  if constexpr (std::is_same_v<T, float>) {
    call(sgemm_);
  } else if constexpr (std::is_same_v<T, double>) {
    call(dgemm_);
  } else if constexpr (std::is_same_v<T, c10::complex<float>>) {
    call(cgemm_);
  } else {
    call(zgemm_);
  }
}

constexpr int64_t kSmallResult = 128 * 128;  // elements
constexpr int64_t kInnerPiece = 4096;

/// One row of C at a time. B row-major: C[i, :] += A[i, l] * B[l, :]; B transposed: dot products.
template <class T>
void loop(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta, T* c,
          int64_t c_stride) {
  using W = typename Wrapping<T>::type;
  const int64_t a_row = a.transposed ? 1 : a.stride;
  const int64_t a_column = a.transposed ? a.stride : 1;
  for (int64_t i = 0; i < m; ++i) {
    T* row = c + i * c_stride;
    for (int64_t j = 0; j < n; ++j) {
      row[j] = beta == T(0) ? T(0) : static_cast<T>(static_cast<W>(beta) * static_cast<W>(row[j]));
    }
    if (b.transposed) {
      for (int64_t j = 0; j < n; ++j) {
        W sum(0);
        for (int64_t l = 0; l < k; ++l) {
          sum += static_cast<W>(a.data[i * a_row + l * a_column]) *
                 static_cast<W>(b.data[j * b.stride + l]);
        }
        row[j] = static_cast<T>(static_cast<W>(row[j]) + static_cast<W>(alpha) * sum);
      }
    } else {
      for (int64_t l = 0; l < k; ++l) {
        const W factor = static_cast<W>(alpha) * static_cast<W>(a.data[i * a_row + l * a_column]);
        for (int64_t j = 0; j < n; ++j) {
          row[j] = static_cast<T>(static_cast<W>(row[j]) +
                                  factor * static_cast<W>(b.data[l * b.stride + j]));
        }
      }
    }
  }
}

}  // namespace

template <class T>
void gemm_in_thread(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta,
                    T* c, int64_t c_stride) {
  if constexpr (is_blas_type<T>) {
    if (fits_int(m) && fits_int(n) && fits_int(k) && fits_int(a.stride) && fits_int(b.stride) &&
        fits_int(c_stride)) {
      const BlasThreads single(1);
      return call_blas<T>(static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), alpha, a,
                          b, beta, c, c_stride);
    }
  }
  loop<T>(m, n, k, alpha, a, b, beta, c, c_stride);
}

/// A small result of a long inner dimension: strips of it would read one operand over and over, so
/// the threads share the inner dimension. Its pieces depend on k alone, and are added in order.
template <class T>
void split_inner(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta, T* c,
                 int64_t c_stride) {
  const int64_t pieces = k / kInnerPiece;
  const auto memory =
      at::empty({pieces * m * n},
                at::TensorOptions(at::kPrivateUse1).dtype(c10::CppTypeToScalarType<T>::value));
  T* partial = memory.template mutable_data_ptr<T>();
  parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t piece = begin; piece < end; ++piece) {
      const int64_t first = k * piece / pieces, length = k * (piece + 1) / pieces - first;
      gemm_in_thread(m, n, length, alpha, skip(a, 0, first), skip(b, first, 0), T(0),
                     partial + piece * m * n, n);
    }
  });
  for (int64_t piece = 1; piece < pieces; ++piece) {
    for (int64_t i = 0; i < m * n; ++i) partial[i] += partial[piece * m * n + i];
  }
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      T& to = c[i * c_stride + j];
      to = beta == T(0) ? partial[i * n + j] : beta * to + partial[i * n + j];
    }
  }
}

/// Whether our own product is the faster one. On a Zen 4 of two cores against MKL, in the same
/// process: 1.05 to 1.6 times as fast from 160 x 160 x 160 on, of float and double, transposed or
/// not, for few rows as for many; and 1.1 to 1.8 times from 80 x 80 x 80 on where B is read in
/// place. Else from half as fast to as fast below, where a call of MKL by each thread costs less
/// than packing for both. Of fewer columns than a vector has lanes, the scores of a classifier, 512
/// x 10 x 128 takes 15 us against MKL's 61. Not known, and so left to the BLAS, without AVX-512.
template <class T>
bool is_blocked([[maybe_unused]] int64_t m, [[maybe_unused]] int64_t n, [[maybe_unused]] int64_t k,
                [[maybe_unused]] const Matrix<T>& b) {
#if defined(__AVX512F__)
  constexpr double fewest_operations = 6e6, fewest_without_packing = 1e6, fewest_in_a_thread = 1e6,
                   fewest_of_few_columns = 5e5;
  const bool few_columns = n < Vec<float>::size;
  return 2.0 * static_cast<double>(m * n) * static_cast<double>(k) >=
         (few_columns                 ? fewest_of_few_columns
          : is_read_in_place(m, n, b) ? fewest_without_packing
          : in_parallel_region()      ? fewest_in_a_thread
                                      : fewest_operations);
#else
  return false;
#endif
}

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta, T* c,
          int64_t c_stride) {
  if constexpr (std::is_floating_point_v<T>) {
    const bool plain = alpha == T(1) && (beta == T(0) || beta == T(1));
    // An outer product is worth several threads long before other products of its size are.
    if (plain && k > 1 && gemm_small(m, n, k, a, b, beta == T(1), c, c_stride)) return;
    if (plain && gemm_vector(m, n, k, a, b, beta == T(1), c, c_stride)) return;
    if (m * n <= kSmallResult && k >= 2 * kInnerPiece) {
      return split_inner(m, n, k, alpha, a, b, beta, c, c_stride);
    }
    if (plain && is_inner(m, k, a, b)) {
      return gemm_inner(m, n, k, a, b, beta == T(1), c, c_stride);
    }
    if (plain && is_blocked(m, n, k, b)) {
      return gemm_blocked(m, n, k, a, b, beta == T(1), c, c_stride);
    }
  }
  for_strips(m, n, k, a, b, c, c_stride,
             [&](int64_t rows, int64_t columns, Matrix<T> left, Matrix<T> right, T* to) {
               gemm_in_thread(rows, columns, k, alpha, left, right, beta, to, c_stride);
             });
}

#define INSTANTIATE_GEMM(T)                                                                  \
  template void gemm<T>(int64_t, int64_t, int64_t, T, Matrix<T>, Matrix<T>, T, T*, int64_t); \
  template void gemm_in_thread<T>(int64_t, int64_t, int64_t, T, Matrix<T>, Matrix<T>, T, T*, \
                                  int64_t);
INSTANTIATE_GEMM(float)
INSTANTIATE_GEMM(double)
INSTANTIATE_GEMM(c10::complex<float>)
INSTANTIATE_GEMM(c10::complex<double>)
INSTANTIATE_GEMM(uint8_t)
INSTANTIATE_GEMM(int8_t)
INSTANTIATE_GEMM(int16_t)
INSTANTIATE_GEMM(int32_t)
INSTANTIATE_GEMM(int64_t)
#undef INSTANTIATE_GEMM

}  // namespace alt::blas
