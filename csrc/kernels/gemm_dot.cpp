// Inner products: by vectors of neighbours; floats and doubles that lie apart by the BLAS, and
// short ones, too, whose bits are stock's so (a line search like LBFGS's takes another way after a
// few steps where they differ); others by a loop. The threads share pieces of 32768 elements, which
// follow from the length alone; the sums of their blocks are added in double, in order.

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <c10/util/complex.h>

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <vector>

#include "kernels/blas.h"
#include "kernels/norm_lanes.h"
#include "loops/dtype.h"
#include "loops/vec.h"
#include "runtime/blas_threads.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

extern "C" {
float sdot_(const int*, const float*, const int*, const float*, const int*);
double ddot_(const int*, const double*, const int*, const double*, const int*);
}

namespace alt::blas {
namespace {

constexpr int64_t kPiece = 32768, kBlock = 8192;  // elements

template <class T, bool conjugate>
T dot_loop(int64_t n, const T* x, int64_t x_stride, const T* y, int64_t y_stride) {
  using W = typename Wrapping<opmath_t<T>>::type;
  W sum(0);
  for (int64_t i = 0; i < n; ++i) {
    W left = static_cast<W>(x[i * x_stride]);
    if constexpr (conjugate) {
      left = W(left.real(), -left.imag());
    }
    sum += left * static_cast<W>(y[i * y_stride]);
  }
  return static_cast<T>(sum);
}

/// In blocks with eight vectors of sums side by side.
template <class S>
double dot_of_neighbours(int64_t n, const S* x, const S* y) {
  using A = opmath_t<S>;
  using V = Vec<A>;
  constexpr int chains = 8;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, n);
    V sums[chains];
    for (auto& sum : sums) sum = V(A(0));
    const auto add = [&](V& sum, int64_t i, auto lanes) {
      sum = fma(kernels::load_lanes<S>(x + i, lanes), kernels::load_lanes<S>(y + i, lanes), sum);
    };
    int64_t i = begin;
    for (; i + chains * V::size <= end; i += chains * V::size) {
#pragma GCC unroll 8
      for (int c = 0; c < chains; ++c) add(sums[c], i + c * V::size, kernels::Full{});
    }
    kernels::for_lanes<A>(i, end, [&](int64_t at, auto lanes) { add(sums[0], at, lanes); });
    for (int width = chains / 2; width > 0; width /= 2) {
      for (int c = 0; c < width; ++c) sums[c] += sums[c + width];
    }
    total += static_cast<double>(reduce_add(sums[0]));
  }
  return total;
}

float call_dot(int n, const float* x, int x_stride, const float* y, int y_stride) {
  return sdot_(&n, x, &x_stride, y, &y_stride);
}
double call_dot(int n, const double* x, int x_stride, const double* y, int y_stride) {
  return ddot_(&n, x, &x_stride, y, &y_stride);
}

/// of_piece(begin, end) of each piece, added in double.
template <class T, class OfPiece>
T add_pieces(int64_t n, OfPiece&& of_piece) {
  if (n <= kPiece) return static_cast<T>(of_piece(0, n));
  std::vector<double> products(static_cast<size_t>(divide_up(n, kPiece)));
  parallel_for(0, static_cast<int64_t>(products.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      products[i] = of_piece(i * kPiece, std::min((i + 1) * kPiece, n));
    }
  });
  return static_cast<T>(std::accumulate(products.begin(), products.end(), 0.0));
}

/// The BLAS adds up a million terms in a few lanes, and with as many threads as it likes.
template <class T>
double dot_by_blas(int64_t n, const T* x, int64_t x_stride, const T* y, int64_t y_stride) {
  const BlasThreads single(1);
  double sum = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    sum += call_dot(static_cast<int>(std::min(kBlock, n - i)), x + i * x_stride,
                    static_cast<int>(x_stride), y + i * y_stride, static_cast<int>(y_stride));
  }
  return sum;
}

}  // namespace

template <class T>
T dot(int64_t n, const T* x, int64_t x_stride, const T* y, int64_t y_stride) {
  if constexpr (has_vec_v<opmath_t<T>>) {
    const bool is_short = std::is_floating_point_v<T> && n <= kBlock;
    if (!is_short && x_stride == 1 && y_stride == 1) {
      return add_pieces<T>(n, [&](int64_t begin, int64_t end) {
        return dot_of_neighbours(end - begin, x + begin, y + begin);
      });
    }
  }
  if constexpr (std::is_floating_point_v<T>) {
    if (fits_int(x_stride) && fits_int(y_stride)) {
      return add_pieces<T>(n, [&](int64_t begin, int64_t end) {
        return dot_by_blas(end - begin, x + begin * x_stride, x_stride, y + begin * y_stride,
                           y_stride);
      });
    }
  }
  return dot_loop<T, false>(n, x, x_stride, y, y_stride);
}

template <class T>
T dot_conjugate(int64_t n, const T* x, int64_t x_stride, const T* y, int64_t y_stride) {
  return dot_loop<T, true>(n, x, x_stride, y, y_stride);
}

template <class T>
using Dot = T(int64_t, const T*, int64_t, const T*, int64_t);
template Dot<float> dot<float>;
template Dot<double> dot<double>;
template Dot<c10::complex<float>> dot<c10::complex<float>>;
template Dot<c10::complex<double>> dot<c10::complex<double>>;
template Dot<uint8_t> dot<uint8_t>;
template Dot<int8_t> dot<int8_t>;
template Dot<int16_t> dot<int16_t>;
template Dot<int32_t> dot<int32_t>;
template Dot<int64_t> dot<int64_t>;
template Dot<at::Half> dot<at::Half>;
template Dot<at::BFloat16> dot<at::BFloat16>;
template Dot<c10::complex<float>> dot_conjugate<c10::complex<float>>;
template Dot<c10::complex<double>> dot_conjugate<c10::complex<double>>;

}  // namespace alt::blas
