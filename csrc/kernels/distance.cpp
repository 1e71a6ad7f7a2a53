// Distances of p-norm between the rows of matrices: cdist between two, pdist within one.
//
// Forward, a row against a block of columns of the other matrix, transposed, so that the lanes of a
// vector are distances: coordinates are added in runs of kRun, and the runs then added up.
// Backward, the lanes are coordinates: a row's gradient is the sum over all other rows, so threads
// share nothing, and pdist does its pairs twice.

#include <ATen/ExpandUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_euclidean_dist.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cuda/distance.h"
#include "loops/dtype.h"
#include "loops/lanes.h"
#include "loops/math.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;

constexpr int64_t kRun = 64;       // coordinates (forward) or rows (backward) added one by one
constexpr int64_t kColumns = 128;  // distances that are built up together

template <class V>
V sign(V x) {
  return select(x > V(0), V(1), select(x < V(0), V(-1), x));
}

// A norm: what a difference adds, how two sums join, what becomes of a sum, and the gradient of a
// distance for one difference. T is the number type, V a vector of it or itself.

template <class T>
struct ZeroNorm {
  explicit ZeroNorm(T) {}
  template <class V>
  V add(V sum, V x) const {
    return sum + select(x == V(0), V(0), V(1));
  }
  template <class V>
  V join(V a, V b) const {
    return a + b;
  }
  T finish(T sum) const { return sum; }
};

template <class T>
struct OneNorm : ZeroNorm<T> {
  using ZeroNorm<T>::ZeroNorm;
  template <class V>
  V add(V sum, V x) const {
    return sum + math::abs(x);
  }
  template <class V>
  V backward(V difference, T grad, T) const {
    return V(grad) * sign(difference);
  }
};

template <class T>
struct TwoNorm : ZeroNorm<T> {
  using ZeroNorm<T>::ZeroNorm;
  template <class V>
  V add(V sum, V x) const {
    return sum + x * x;
  }
  T finish(T sum) const { return std::sqrt(sum); }
  template <class V>
  V backward(V difference, T grad, T distance) const {
    return distance == T(0) ? V(0) : V(grad) * difference / V(distance);
  }
};

template <class T>
struct MaximumNorm {
  explicit MaximumNorm(T) {}
  template <class V>
  V add(V sum, V x) const {
    return join(sum, math::abs(x));
  }
  template <class V>
  V join(V a, V b) const {
    return select((a > b) | is_nan(a), a, b);
  }
  T finish(T sum) const { return sum; }
  template <class V>
  V backward(V difference, T grad, T distance) const {
    return select(math::abs(difference) == V(distance), V(grad) * sign(difference), V(0));
  }
};

template <class T>
struct PNorm : ZeroNorm<T> {
  explicit PNorm(T p) : ZeroNorm<T>(p), p(p) {}
  template <class V>
  V add(V sum, V x) const {
    return sum + math::pow(math::abs(x), V(p));
  }
  T finish(T sum) const { return std::pow(sum, T(1) / p); }
  template <class V>
  V backward(V difference, T grad, T distance) const {
    if (distance == T(0)) {
      return V(0);
    }
    const V scale = V(grad) / V(std::pow(distance, p - T(1)));
    if (p < T(2)) {
      // Below 1 the power of no difference is infinite; its gradient is taken for zero.
      const V slope = sign(difference) * math::pow(math::abs(difference), V(p - T(1))) * scale;
      return p < T(1) ? select(difference == V(0), V(0), slope) : slope;
    }
    return difference * math::pow(math::abs(difference), V(p - T(2))) * scale;
  }
  T p;
};

template <class T, class Body>
void with_norm(double p, Body&& body) {
  if (p == 0) {
    body(ZeroNorm<T>(T(p)));
  } else if (p == 1) {
    body(OneNorm<T>(T(p)));
  } else if (p == 2) {
    body(TwoNorm<T>(T(p)));
  } else if (std::isinf(p)) {
    body(MaximumNorm<T>(T(p)));
  } else {
    body(PNorm<T>(T(p)));
  }
}

/// out[j] = distance of `row` to column j of `columns`, whose rows are `stride` apart; at most
/// kColumns of them.
template <class T, class Norm>
void distances(const Norm& norm, const T* row, const T* columns, int64_t stride, int64_t count,
               int64_t coordinates, T* out) {
  T total[kColumns] = {};
  T sum[kColumns];
  for (int64_t k = 0; k < coordinates; k += kRun) {
    std::fill_n(sum, count, T(0));
    for (int64_t i = k; i < std::min(k + kRun, coordinates); ++i) {
      const T* other = columns + i * stride;
      for_each_lane<T>(count, [&]<class V>(int64_t j) {
        write(norm.add(read<V>(sum + j), V(row[i]) - read<V>(other + j)), sum + j);
      });
    }
    for_each_lane<T>(count, [&]<class V>(int64_t j) {
      write(norm.join(read<V>(total + j), read<V>(sum + j)), total + j);
    });
  }
  for (int64_t j = 0; j < count; ++j) {
    out[j] = norm.finish(total[j]);
  }
}

/// The distances of `row` to columns [first, last).
template <class T, class Norm>
void distances(const Norm& norm, const T* row, const T* columns, int64_t stride, int64_t first,
               int64_t last, int64_t coordinates, T* out) {
  for (int64_t j = first; j < last; j += kColumns) {
    distances(norm, row, columns + j, stride, std::min(kColumns, last - j), coordinates,
              out + j - first);
  }
}

/// grad_row = sum over `count` rows of the gradient of the distance to each.
/// `other(j)` is the j-th row, `pair(j)` the place of its distance and gradient.
template <class T, class Norm, class Other, class Pair>
void row_gradient(const Norm& norm, const T* row, int64_t count, int64_t coordinates, const T* grad,
                  const T* distance, Other&& other, Pair&& pair, T* grad_row) {
  std::fill_n(grad_row, coordinates, T(0));
  if constexpr (requires { norm.backward(T(0), T(0), T(0)); }) {
    std::vector<T> sum(static_cast<size_t>(coordinates));
    for (int64_t begin = 0; begin < count; begin += kRun) {
      std::fill(sum.begin(), sum.end(), T(0));
      for (int64_t j = begin; j < std::min(begin + kRun, count); ++j) {
        const T* from = other(j);
        const int64_t place = pair(j);
        for_each_lane<T>(coordinates, [&]<class V>(int64_t k) {
          const V slope =
              norm.backward(read<V>(row + k) - read<V>(from + k), grad[place], distance[place]);
          write(read<V>(sum.data() + k) + slope, sum.data() + k);
        });
      }
      for (int64_t k = 0; k < coordinates; ++k) {
        grad_row[k] += sum[static_cast<size_t>(k)];
      }
    }
  }
}

int64_t rows_a_task(int64_t others, int64_t coordinates) {
  return 16384 / std::max<int64_t>(others * coordinates, 1) + 1;
}

/// Where pdist keeps the distance of rows i < j of n.
int64_t pair_index(int64_t n, int64_t i, int64_t j) {
  return n * i - i * (i + 1) / 2 + j - i - 1;
}

/// Two batches of matrices with the same batch dimensions, contiguous.
struct Operands {
  Operands(const Tensor& x1, const Tensor& x2)
      : batch(at::infer_size(x1.sizes().slice(0, x1.dim() - 2), x2.sizes().slice(0, x2.dim() - 2))),
        rows1(x1.size(-2)),
        rows2(x2.size(-2)),
        coordinates(x1.size(-1)),
        count(c10::multiply_integers(batch)) {}

  std::vector<int64_t> sizes(int64_t rows, int64_t columns) const {
    auto result = batch;
    result.insert(result.end(), {rows, columns});
    return result;
  }
  Tensor expand(const Tensor& x) const {
    return x.expand(sizes(x.size(-2), x.size(-1))).contiguous();
  }

  std::vector<int64_t> batch;
  int64_t rows1;
  int64_t rows2;
  int64_t coordinates;
  int64_t count;
};

void check_cdist(const Tensor& x1, const Tensor& x2, double p, int64_t mode) {
  TORCH_CHECK(x1.dim() >= 2, "cdist only supports at least 2D tensors, X1 got: ", x1.dim(), "D");
  TORCH_CHECK(x2.dim() >= 2, "cdist only supports at least 2D tensors, X2 got: ", x2.dim(), "D");
  TORCH_CHECK(x1.size(-1) == x2.size(-1),
              "X1 and X2 must have the same number of columns. X1: ", x1.size(-1),
              " X2: ", x2.size(-1));
  TORCH_CHECK(at::isFloatingType(x1.scalar_type()),
              "cdist only supports floating-point dtypes, X1 got: ", x1.scalar_type());
  TORCH_CHECK(at::isFloatingType(x2.scalar_type()),
              "cdist only supports floating-point dtypes, X2 got: ", x2.scalar_type());
  TORCH_CHECK(p >= 0, "cdist only supports non-negative p values");
  TORCH_CHECK(mode >= 0 && mode <= 2, "possible modes: 0, 1, 2, but was: ", mode);
}

void check_contiguous(const Tensor& tensor, const char* operation, const char* what) {
  TORCH_CHECK(tensor.is_contiguous(), operation, " requires ", what, " to be contiguous");
}

}  // namespace

Tensor cdist_forward(const Tensor& x1, const Tensor& x2, double p,
                     std::optional<int64_t> compute_mode) {
  const int64_t mode = compute_mode.value_or(0);
  check_cdist(x1, x2, p, mode);
  const Operands operands(x1, x2);
  const int64_t rows1 = operands.rows1, rows2 = operands.rows2;
  const int64_t coordinates = operands.coordinates;
  const auto sizes = operands.sizes(rows1, rows2);
  if (rows1 == 0 || rows2 == 0 || operands.count == 0) {
    return at::empty(sizes, x1.options());
  }
  if (coordinates == 0) {
    return at::zeros(sizes, x1.options());
  }
  const Tensor a = operands.expand(x1), b = operands.expand(x2);
  if (p == 2 && (mode == 1 || (mode == 0 && (rows1 > 25 || rows2 > 25)))) {
    return at::_euclidean_dist(a, b);
  }
  const Tensor result = at::empty(sizes, x1.options());
  visit<FloatingTypes>(result.scalar_type(), "cdist", [&]<class T>() {
    if (alt::cuda::on_gpu()) return cuda::Distances{a, b, p}.forward(result);
    const Tensor transposed = b.transpose(-1, -2).contiguous();
    const T *left = a.const_data_ptr<T>(), *right = transposed.const_data_ptr<T>();
    T* out = result.mutable_data_ptr<T>();
    with_norm<T>(p, [&](const auto& norm) {
      parallel_for(0, operands.count * rows1, rows_a_task(rows2, coordinates),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       distances(norm, left + i * coordinates,
                                 right + i / rows1 * rows2 * coordinates, rows2, 0, rows2,
                                 coordinates, out + i * rows2);
                     }
                   });
    });
  });
  return result;
}

Tensor cdist_backward(const Tensor& grad, const Tensor& x1, const Tensor& x2, double p,
                      const Tensor& cdist) {
  const Operands operands(x1, x2);
  const int64_t rows1 = operands.rows1, rows2 = operands.rows2;
  const int64_t coordinates = operands.coordinates;
  if (rows1 == 0 || rows2 == 0 || coordinates == 0 || operands.count == 0) {
    return at::zeros_like(x1);
  }
  const Tensor a = operands.expand(x1), b = operands.expand(x2);
  const Tensor slopes = grad.contiguous(), distances = cdist.contiguous();
  const Tensor result = at::empty(a.sizes(), a.options());
  visit<FloatingTypes>(result.scalar_type(), "cdist_backward", [&]<class T>() {
    if (alt::cuda::on_gpu()) return cuda::Distances{a, b, p}.backward(slopes, distances, result);
    const T *left = a.const_data_ptr<T>(), *right = b.const_data_ptr<T>();
    const T *slope = slopes.const_data_ptr<T>(), *distance = distances.const_data_ptr<T>();
    T* out = result.mutable_data_ptr<T>();
    with_norm<T>(p, [&](const auto& norm) {
      parallel_for(0, operands.count * rows1, rows_a_task(rows2, coordinates),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       const T* others = right + i / rows1 * rows2 * coordinates;
                       row_gradient(
                           norm, left + i * coordinates, rows2, coordinates, slope + i * rows2,
                           distance + i * rows2,
                           [&](int64_t j) { return others + j * coordinates; },
                           [](int64_t j) { return j; }, out + i * coordinates);
                     }
                   });
    });
  });
  return result;
}

Tensor pdist_forward(const Tensor& self, double p) {
  TORCH_CHECK(self.is_contiguous(), "_pdist_forward requires contiguous input");
  const int64_t rows = self.size(0);
  if (rows <= 1) {
    return at::empty({0}, self.options());
  }
  const int64_t coordinates = self.size(1);
  if (coordinates == 0) {
    return at::zeros({rows * (rows - 1) / 2}, self.options());
  }
  const Tensor result = at::empty({rows * (rows - 1) / 2}, self.options());
  visit<FloatingTypes>(self.scalar_type(), "pdist", [&]<class T>() {
    if (alt::cuda::on_gpu()) return cuda::Distances{self, self, p, true}.forward(result);
    const Tensor transposed = self.t().contiguous();
    const T *left = self.const_data_ptr<T>(), *right = transposed.const_data_ptr<T>();
    T* out = result.mutable_data_ptr<T>();
    with_norm<T>(p, [&](const auto& norm) {
      parallel_for(0, rows - 1, rows_a_task(rows, coordinates), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          distances(norm, left + i * coordinates, right, rows, i + 1, rows, coordinates,
                    out + pair_index(rows, i, i + 1));
        }
      });
    });
  });
  return result;
}

Tensor pdist_backward(const Tensor& grad, const Tensor& self, double p, const Tensor& pdist) {
  check_contiguous(self, "_pdist_backward", "self");
  check_contiguous(pdist, "_pdist_backward", "pdist");
  const Tensor result = at::empty_like(self, at::MemoryFormat::Contiguous);
  const int64_t rows = self.size(0), coordinates = self.size(1);
  visit<FloatingTypes>(self.scalar_type(), "pdist_backward", [&]<class T>() {
    const Tensor slopes = grad.contiguous();
    if (alt::cuda::on_gpu()) {
      return cuda::Distances{self, self, p, true}.backward(slopes, pdist, result);
    }
    const T *data = self.const_data_ptr<T>(), *slope = slopes.const_data_ptr<T>();
    const T* distance = pdist.const_data_ptr<T>();
    T* out = result.mutable_data_ptr<T>();
    with_norm<T>(p, [&](const auto& norm) {
      parallel_for(0, rows, rows_a_task(rows, coordinates), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const auto other = [i](int64_t j) { return j < i ? j : j + 1; };
          row_gradient(
              norm, data + i * coordinates, rows - 1, coordinates, slope, distance,
              [&](int64_t j) { return data + other(j) * coordinates; },
              [&](int64_t j) {
                return pair_index(rows, std::min(i, other(j)), std::max(i, other(j)));
              },
              out + i * coordinates);
        }
      });
    });
  });
  return result;
}

}  // namespace alt::kernels
