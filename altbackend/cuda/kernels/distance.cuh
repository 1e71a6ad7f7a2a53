// Distances of p-norm between the rows of matrices, and their gradient: cdist between two, pdist
// within one. A thread a distance, or backward a coordinate, which sums over the other rows.
// Matrices are contiguous.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace distance {
/// kPairs: one matrix, and of its rows i < j a distance each, in order.
enum Integers { kBatch, kRows, kOthers, kCoordinates, kPairs, kMaximum };

/// What a norm makes of differences, as the host's norms do.
template <class T>
struct Norm {
  T p;
  bool is_maximum;
  ALT_FN explicit Norm(const KernelArgs& a)
      : p(static_cast<T>(a.numbers[0])), is_maximum(a.integers[kMaximum] != 0) {}

  ALT_FN T add(T sum, T x) const {
    if (p == T(0)) return sum + (x == T(0) ? T(0) : T(1));
    if (p == T(1)) return sum + x;
    if (p == T(2)) return sum + x * x;
    return is_maximum ? maximum(sum, x) : sum + math::pow(x, p);
  }
  ALT_FN T finish(T sum) const {
    if (p == T(2)) return math::sqrt(sum);
    return p == T(0) || p == T(1) || is_maximum ? sum : math::pow(sum, T(1) / p);
  }
  ALT_FN T backward(T difference, T grad, T distance) const {
    const T size = math::abs(difference);
    const T sign = difference > T(0) ? T(1) : difference < T(0) ? T(-1) : difference;
    if (p == T(0)) return T(0);
    if (p == T(1)) return grad * sign;
    if (is_maximum) return size == distance ? grad * sign : T(0);
    // Below 1 the power of no difference is infinite; its gradient is taken for zero.
    if (distance == T(0) || (p < T(1) && difference == T(0))) return T(0);
    if (p == T(2)) return grad * difference / distance;
    const T scale = grad / math::pow(distance, p - T(1));
    return p < T(2) ? sign * math::pow(size, p - T(1)) * scale
                    : difference * math::pow(size, p - T(2)) * scale;
  }
};

/// Where the distance of row i to j is; -1: it is nowhere.
ALT_FN int64_t place(const KernelArgs& a, int64_t batch, int64_t i, int64_t j) {
  const int64_t rows = a.integers[kRows], others = a.integers[kOthers];
  if (a.integers[kPairs] == 0) return (batch * rows + i) * others + j;
  if (i == j) return -1;
  const int64_t low = i < j ? i : j, high = i < j ? j : i;
  return rows * low - low * (low + 1) / 2 + high - low - 1;
}
}  // namespace distance

/// tensors: distances, rows, other rows. numbers: p.
template <class T>
ALT_FN void distances(const KernelArgs& a) {
  using namespace distance;
  const Norm<T> norm(a);
  const int64_t rows = a.integers[kRows], others = a.integers[kOthers];
  const int64_t coordinates = a.integers[kCoordinates];
  for (int64_t t = first_index(); t < a.integers[kBatch] * rows * others; t += grid_step()) {
    const int64_t batch = t / (rows * others), i = t / others % rows, j = t % others;
    if (a.integers[kPairs] != 0 && i >= j) continue;
    const T* row = data_of<T>(a.tensors[1]) + (batch * rows + i) * coordinates;
    const T* other = data_of<T>(a.tensors[2]) + (batch * others + j) * coordinates;
    T sum(0);
    for (int64_t k = 0; k < coordinates; ++k) sum = norm.add(sum, math::abs(row[k] - other[k]));
    data_of<T>(a.tensors[0])[place(a, batch, i, j)] = norm.finish(sum);
  }
}

/// tensors: gradient of the rows, rows, other rows, gradient of the distances, distances. numbers:
/// p.
template <class T>
ALT_FN void distances_backward(const KernelArgs& a) {
  using namespace distance;
  const Norm<T> norm(a);
  const int64_t rows = a.integers[kRows], others = a.integers[kOthers];
  const int64_t coordinates = a.integers[kCoordinates];
  for (int64_t t = first_index(); t < a.integers[kBatch] * rows * coordinates; t += grid_step()) {
    const int64_t batch = t / (rows * coordinates), i = t / coordinates % rows;
    const int64_t k = t % coordinates;
    const T* other = data_of<T>(a.tensors[2]) + batch * others * coordinates + k;
    const T x = data_of<T>(a.tensors[1])[t];
    T sum(0);
    for (int64_t j = 0; j < others; ++j) {
      const int64_t at = place(a, batch, i, j);
      if (at < 0) continue;
      sum += norm.backward(x - other[j * coordinates], data_of<T>(a.tensors[3])[at],
                           data_of<T>(a.tensors[4])[at]);
    }
    data_of<T>(a.tensors[0])[t] = sum;
  }
}

}  // namespace alt::kernels
