// The matrix exponential by scaling and squaring (Higham, 2005).
//
// exp(A) = exp(A / 2^s)^(2^s), where s makes the norm small enough for a Padé approximant
// (V - U)^-1 (V + U): V has the even powers of A / 2^s and U the odd ones. Degree and s are chosen
// for each matrix from its 1-norm so that the truncation stays below the rounding. Matrices of a
// batch are shared among the threads; all products run in place in one workspace a thread.
// Polynomials of one matrix commute, so LAPACK may take row-major memory for the transposes.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/blas.h"
#include "kernels/cuda/array.h"
#include "kernels/lapack.h"
#include "kernels/linalg.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::Tensor;

/// The numerator of a Padé approximant of exp, lowest power first; the denominator has the same
/// coefficients with alternating signs. `largest_norm` is what it is accurate up to.
struct Approximant {
  std::span<const double> coefficients;
  double largest_norm;
};

constexpr double kDegree3[] = {120, 60, 12, 1};
constexpr double kDegree5[] = {30240, 15120, 3360, 420, 30, 1};
constexpr double kDegree7[] = {17297280, 8648640, 1995840, 277200, 25200, 1512, 56, 1};
constexpr double kDegree9[] = {17643225600.0, 8821612800.0, 2075673600.0, 302702400.0, 30270240.0,
                               2162160.0,     110880.0,     3960.0,       90.0,        1.0};
constexpr double kDegree13[] = {64764752532480000.0,
                                32382376266240000.0,
                                7771770303897600.0,
                                1187353796428800.0,
                                129060195264000.0,
                                10559470521600.0,
                                670442572800.0,
                                33522128640.0,
                                1323241920.0,
                                40840800.0,
                                960960.0,
                                16380.0,
                                182.0,
                                1.0};

template <class T>
std::span<const Approximant> approximants() {
  static constexpr Approximant single[] = {{kDegree3, 4.258730016922831e-1},
                                           {kDegree5, 1.880152677804762},
                                           {kDegree7, 3.925724783138660}};
  static constexpr Approximant wide[] = {{kDegree3, 1.495585217958292e-2},
                                         {kDegree5, 2.539398330063230e-1},
                                         {kDegree7, 9.504178996162932e-1},
                                         {kDegree9, 2.097847961257068},
                                         {kDegree13, 5.371920351148152}};
  if constexpr (sizeof(lapack::real_t<T>) == sizeof(float)) {
    return single;
  } else {
    return wide;
  }
}

/// The exponential of one n x n matrix.
template <class T>
class Exponential {
 public:
  explicit Exponential(int n) : n_(n), size_(static_cast<size_t>(n) * n), pivots_(n) {}

  void operator()(const T* a, T* out) {
    const double norm = norm_of(a);
    if (!std::isfinite(norm)) {
      std::fill(out, out + size_, std::numeric_limits<lapack::real_t<T>>::quiet_NaN());
      return;
    }
    const auto choices = approximants<T>();
    auto chosen = std::find_if(choices.begin(), choices.end(), [&](const Approximant& choice) {
      return norm <= choice.largest_norm;
    });
    int squarings = 0;
    if (chosen == choices.end()) {
      chosen = choices.end() - 1;
      squarings = static_cast<int>(std::ceil(std::log2(norm / chosen->largest_norm)));
    }
    scaled_.assign(a, a + size_);
    const auto factor = static_cast<lapack::real_t<T>>(std::ldexp(1.0, -squarings));
    for (T& value : scaled_) {
      value *= factor;
    }
    approximate(chosen->coefficients, out);
    for (int i = 0; i < squarings; ++i) {
      multiply(out, out, even_);
      std::copy(even_.begin(), even_.end(), out);
    }
  }

 private:
  /// The largest sum of absolute values of a column.
  double norm_of(const T* a) {
    sums_.assign(n_, 0);
    for (int i = 0; i < n_; ++i) {
      for (int j = 0; j < n_; ++j) {
        sums_[j] += std::abs(a[size_t(i) * n_ + j]);
      }
    }
    double norm = 0;
    for (const double sum : sums_) {
      norm = std::isnan(sum) ? sum : std::max(norm, sum);
      if (std::isnan(norm)) {
        break;
      }
    }
    return norm;
  }

  void multiply(const T* a, const T* b, std::vector<T>& product) {
    product.resize(size_);
    blas::gemm_in_thread<T>(n_, n_, n_, T(1), {a, n_}, {b, n_}, T(0), product.data(), n_);
  }

  /// sum += coefficient * power
  void add(std::vector<T>& sum, double coefficient, const std::vector<T>& power) const {
    const auto factor = static_cast<lapack::real_t<T>>(coefficient);
    for (size_t i = 0; i < size_; ++i) {
      sum[i] += factor * power[i];
    }
  }

  void add_identity(std::vector<T>& sum, double coefficient) const {
    for (int i = 0; i < n_; ++i) {
      sum[size_t(i) * (n_ + 1)] += static_cast<lapack::real_t<T>>(coefficient);
    }
  }

  /// out = (V - U)^-1 (V + U) of the scaled matrix.
  void approximate(std::span<const double> coefficients, T* out) {
    multiply(scaled_.data(), scaled_.data(), square_);
    even_.assign(size_, T(0));
    odd_.assign(size_, T(0));
    add_identity(even_, coefficients[0]);
    add_identity(odd_, coefficients[1]);
    power_ = square_;
    for (size_t k = 2; k < coefficients.size(); k += 2) {
      if (k > 2) {
        multiply(power_.data(), square_.data(), next_);
        power_.swap(next_);
      }
      add(even_, coefficients[k], power_);
      add(odd_, coefficients[k + 1], power_);
    }
    multiply(scaled_.data(), odd_.data(), next_);  // U
    for (size_t i = 0; i < size_; ++i) {
      out[i] = even_[i] + next_[i];
      even_[i] -= next_[i];
    }
    lapack::getrf(n_, n_, even_.data(), n_, pivots_.data());
    lapack::getrs('N', n_, n_, even_.data(), n_, pivots_.data(), out, n_);
  }

  int n_;
  size_t size_;
  std::vector<int> pivots_;
  std::vector<double> sums_;
  std::vector<T> scaled_, square_, power_, next_, even_, odd_;
};

}  // namespace

Tensor linalg_matrix_exp(const Tensor& self) {
  at::native::squareCheckInputs(self, "linalg.matrix_exp");
  at::native::checkFloatingOrComplex(self, "linalg.matrix_exp");
  const int64_t n = self.size(-1);
  if (n == 0) {
    return self.clone();
  }
  if (n == 1) {
    return self.exp();
  }
  const Tensor input = self.to(opmath_dtype(self.scalar_type())).contiguous();
  Tensor result = at::empty_like(input);
  if (alt::cuda::on_gpu()) {
    cuda::call_array("linalg.matrix_exp", {input}, {result});
    return result.to(self.scalar_type());
  }
  visit<FloatingAndComplexTypes>(input.scalar_type(), "matrix_exp", [&]<class T>() {
    const Matrices<const T> a(input);
    const Matrices<T> out(result);
    for_each_matrix(a.count, 24 * factor_cost(n, n),
                    [=, exponential = Exponential<T>(static_cast<int>(n))](int64_t i) mutable {
                      exponential(a[i], out[i]);
                    });
  });
  return result.to(self.scalar_type());
}

}  // namespace alt::kernels
