// Matrix multiplication on pointers: C = beta * C + alpha * A B, with C row-major.
//
// float and double go to a product of ours (gemm_*.cpp) where it is the faster one, else with
// their complex types to the BLAS that libtorch_cpu carries; integers to a loop of ours. The BLAS
// runs single-threaded and the work is split here, into strips of C that the threads of our pool
// claim, so that a thread which is not running delays nobody. Inside another parallel_for the
// strips run inline.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/complex.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "loops/vec.h"

namespace alt::blas {

/// A matrix that BLAS can read: element (i, j) is data[i * stride + j], or data[j * stride + i]
/// when `transposed`.
template <class T>
struct Matrix {
  const T* data;
  int64_t stride;
  bool transposed = false;
};

/// Whether the BLAS, whose sizes and strides are ints, can be told of it.
constexpr bool fits_int(int64_t value) {
  return value <= std::numeric_limits<int>::max();
}

/// An arithmetic type in which T's products and sums wrap instead of being undefined.
template <class T, bool = std::is_integral_v<T>>
struct Wrapping {
  using type = T;
};
template <class T>
struct Wrapping<T, true> {
  using type = std::conditional_t<sizeof(T) < 4, uint32_t, std::make_unsigned_t<T>>;
};

/// C (m x n, rows `c_stride` apart) = beta * C + alpha * A (m x k) B (k x n).
/// With beta == 0 C is not read. Integers wrap.
/// Instantiated for float, double, complex of both, uint8_t and the signed integers.
template <class T>
void gemm(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta, T* c,
          int64_t c_stride);

/// The same in the calling thread alone: for use inside a parallel_for.
template <class T>
void gemm_in_thread(int64_t m, int64_t n, int64_t k, T alpha, Matrix<T> a, Matrix<T> b, T beta,
                    T* c, int64_t c_stride);

/// C = A B, or C += A B, by our own kernel, of float or double: where the BLAS's packing and its
/// calls weigh (an inner dimension or a side of some hundreds or less). Split among the threads.
template <class T>
void gemm_blocked(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                  int64_t c_stride);

/// Whether vectors read the rows of B, of n columns, where they lie, and nothing beyond them.
template <class T>
bool has_rows_of_vectors(int64_t n, const Matrix<T>& b) {
  return !b.transposed && n % Vec<T>::size == 0;
}

/// Whether gemm_blocked does so: packing is worth while for many rows of A (1.1 to 1.3 times as
/// fast without at 32 to 256 rows, as fast at 1024).
template <class T>
bool is_read_in_place(int64_t m, int64_t n, const Matrix<T>& b) {
  constexpr int64_t rows_worth_packing = 1024;
  return has_rows_of_vectors(n, b) && m < rows_worth_packing;
}

/// C = A B, or C += A B, where both operands lie along k: A in rows, B in columns.
template <class T>
void gemm_inner(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                int64_t c_stride);

/// Whether gemm_inner is the fastest: where B is not used often enough to be packed, and the sums
/// of the lanes, of which each element of C takes one, are short beside k. 1.1 to 3 times as fast
/// up to these bounds on a Zen 4, and as fast just above them; not known without AVX-512.
template <class T>
bool is_inner([[maybe_unused]] int64_t m, [[maybe_unused]] int64_t k,
              [[maybe_unused]] const Matrix<T>& a, [[maybe_unused]] const Matrix<T>& b) {
#if defined(__AVX512F__)
  const bool pays = sizeof(T) == 4 ? m <= 64 && 8 * m <= k : m <= 256 && m <= 4 * k && k >= 32;
  return !a.transposed && b.transposed && pays;
#else
  return false;
#endif
}

/// The same of small matrices, in the calling thread. False, with nothing done, for others.
template <class T>
bool gemm_small(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                int64_t c_stride);

/// The same where one side is a vector (m, n or k is 1). False, with nothing done, for others.
template <class T>
bool gemm_vector(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                 int64_t c_stride);

/// Whether the CPU that this is built for multiplies bfloat16 in pairs.
#if defined(__AVX512BF16__)
inline constexpr bool kHasGemmBFloat16 = true;
#else
inline constexpr bool kHasGemmBFloat16 = false;
#endif

/// C = A B, or C += A B, of bfloat16 with sums in float. Only where kHasGemmBFloat16.
void gemm_bfloat16(int64_t m, int64_t n, int64_t k, Matrix<at::BFloat16> a, Matrix<at::BFloat16> b,
                   bool add, float* c, int64_t c_stride);

/// Sum of x[i * x_stride] * y[i * y_stride]; the same types, Half and BFloat16 (summed in float).
template <class T>
T dot(int64_t n, const T* x, int64_t x_stride, const T* y, int64_t y_stride);

/// dot with the conjugate of x, for complex types.
template <class T>
T dot_conjugate(int64_t n, const T* x, int64_t x_stride, const T* y, int64_t y_stride);

}  // namespace alt::blas
