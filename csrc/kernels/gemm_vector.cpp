// Products of which one side is a vector: a matrix by a vector, a vector by a matrix, and the outer
// product of two vectors. Each element of the matrix is used once, so there is nothing to pack;
// what counts is that it is read in the order of memory, and by several threads where it is large.
//
// Rows contiguous: four rows at a time against the vector, in two vectors of sums a row (eight
// chains hide the latency of fma). Columns contiguous: eight vectors of results at a time, to which
// each column is added times its number. Threads take rows.
#include <algorithm>

#include "kernels/blas.h"
#include "loops/vec.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::blas {
namespace {

constexpr int64_t kGrain = 1 << 15;  // elements of the matrix that are worth a thread
constexpr int64_t kGroups = 8;       // vectors of results

template <class T>
void put(T value, bool add, T* to) {
  *to = add ? *to + value : value;
}

/// y[i * y_stride] (+)= the i-th of `count` rows times x.
template <int count, class T>
void rows_by_vector(const T* rows, int64_t stride, int64_t k, const T* x, bool add, T* y,
                    int64_t y_stride) {
  using V = Vec<T>;
  V sum[count][2];
  for (int r = 0; r < count; ++r) sum[r][0] = sum[r][1] = V(T(0));
  int64_t l = 0;
  for (; l + 2 * V::size <= k; l += 2 * V::size) {
    const V x0 = V::load(x + l), x1 = V::load(x + l + V::size);
    for (int r = 0; r < count; ++r) {
      sum[r][0] = fma(V::load(rows + r * stride + l), x0, sum[r][0]);
      sum[r][1] = fma(V::load(rows + r * stride + l + V::size), x1, sum[r][1]);
    }
  }
  for (; l < k; l += V::size) {
    const int left = static_cast<int>(std::min<int64_t>(k - l, V::size));
    const V x0 = V::load(x + l, left);
    for (int r = 0; r < count; ++r) {
      sum[r][0] = fma(V::load(rows + r * stride + l, left), x0, sum[r][0]);
    }
  }
  for (int r = 0; r < count; ++r) {
    put(reduce_add(sum[r][0] + sum[r][1]), add, y + r * y_stride);
  }
}

/// y[0 .. count) (+)= the columns' first `count` elements, each column times its number of x. At
/// most kGroups vectors of them.
template <class T>
void columns_by_vector(const T* columns, int64_t stride, int64_t k, const T* x, int64_t count,
                       bool add, T* y) {
  using V = Vec<T>;
  if (count == kGroups * V::size) {
    V sum[kGroups];
    for (int g = 0; g < kGroups; ++g) sum[g] = add ? V::load(y + g * V::size) : V(T(0));
    for (int64_t l = 0; l < k; ++l) {
      const V factor(x[l]);
      for (int g = 0; g < kGroups; ++g) {
        sum[g] = fma(V::load(columns + l * stride + g * V::size), factor, sum[g]);
      }
    }
    for (int g = 0; g < kGroups; ++g) sum[g].store(y + g * V::size);
    return;
  }
  for (int64_t first = 0; first < count; first += V::size) {
    const int lanes = static_cast<int>(std::min<int64_t>(count - first, V::size));
    V sum = add ? V::load(y + first, lanes) : V(T(0));
    for (int64_t l = 0; l < k; ++l) {
      sum = fma(V::load(columns + l * stride + first, lanes), V(x[l]), sum);
    }
    sum.store(y + first, lanes);
  }
}

/// y (+)= a x, for contiguous x; `y` too where the columns are what is contiguous.
template <class T>
void matrix_by_vector(int64_t m, int64_t k, Matrix<T> a, const T* x, bool add, T* y,
                      int64_t y_stride) {
  constexpr int64_t kRows = 4;
  const int64_t together = a.transposed ? kGroups * Vec<T>::size : kRows;
  const int64_t grain = std::max<int64_t>(1, kGrain / (together * k));
  parallel_for(0, divide_up(m, together), grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * together, count = std::min(together, m - first);
      if (a.transposed) {
        columns_by_vector(a.data + first, a.stride, k, x, count, add, y + first);
      } else if (count == kRows) {
        rows_by_vector<kRows>(a.data + first * a.stride, a.stride, k, x, add, y + first * y_stride,
                              y_stride);
      } else {
        for (int64_t i = first; i < first + count; ++i) {
          rows_by_vector<1>(a.data + i * a.stride, a.stride, k, x, add, y + i * y_stride, y_stride);
        }
      }
    }
  });
}

/// c (+)= a b of a column and a row.
template <class T>
void outer_product(int64_t m, int64_t n, const T* a, int64_t a_stride, const T* b, bool add, T* c,
                   int64_t c_stride) {
  using V = Vec<T>;
  parallel_for(0, m, kGrain / n + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const V factor(a[i * a_stride]);
      T* row = c + i * c_stride;
      for (int64_t j = 0; j < n; j += V::size) {
        const int lanes = static_cast<int>(std::min<int64_t>(n - j, V::size));
        const V product = factor * V::load(b + j, lanes);
        (add ? V::load(row + j, lanes) + product : product).store(row + j, lanes);
      }
    }
  });
}

}  // namespace

template <class T>
bool gemm_vector(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                 int64_t c_stride) {
  if (k == 1) {
    if (b.transposed && b.stride != 1) return false;
    outer_product(m, n, a.data, a.transposed ? 1 : a.stride, b.data, add, c, c_stride);
    return true;
  }
  if (n == 1) {
    if ((!b.transposed && b.stride != 1) || (a.transposed && c_stride != 1)) return false;
    matrix_by_vector(m, k, a, b.data, add, c, c_stride);
    return true;
  }
  if (m == 1) {
    if (a.transposed && a.stride != 1) return false;
    matrix_by_vector(n, k, Matrix<T>{b.data, b.stride, !b.transposed}, a.data, add, c, int64_t{1});
    return true;
  }
  return false;
}

template bool gemm_vector<float>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, bool,
                                 float*, int64_t);
template bool gemm_vector<double>(int64_t, int64_t, int64_t, Matrix<double>, Matrix<double>, bool,
                                  double*, int64_t);

}  // namespace alt::blas
