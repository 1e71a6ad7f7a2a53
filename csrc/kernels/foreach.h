// One function on each element of a list of tensors: the machinery of the _foreach_ operators.
//
// A list is taken in one pass when its tensors are real floating, laid out alike across the lists
// and no tensor of ours is written twice; anything else goes to PyTorch's own function, which calls
// the operator a tensor at a time.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cuda/foreach.h"
#include "kernels/multi_tensor.h"
#include "ops/foreach.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {

/// The number that goes with each tensor of the lists.
class Factors {
 public:
  Factors() : values_{0.0} {}
  Factors(double value) : values_{value} {}
  Factors(const at::Scalar& scalar) { add(scalar); }
  Factors(at::ArrayRef<at::Scalar> scalars) : one_each_(true) {
    for (const at::Scalar& scalar : scalars) add(scalar);
  }
  bool fits(size_t count) const { return real_ && (!one_each_ || values_.size() == count); }
  double operator[](size_t i) const { return values_[one_each_ ? i : 0]; }

 private:
  void add(const at::Scalar& scalar) {
    // A bool is left to PyTorch's function too: it refuses some of them.
    real_ = real_ && !scalar.isComplex() && !scalar.isBoolean();
    values_.push_back(scalar.isComplex() ? 0.0 : scalar.to<double>());
  }
  std::vector<double> values_;
  bool real_ = true, one_each_ = false;
};

template <size_t N>
using Lists = std::array<at::TensorList, N>;

/// Whether a single pass over its memory serves a tensor, whatever its strides.
inline bool is_dense_floating(const at::Tensor& tensor) {
  const at::ScalarType dtype = tensor.scalar_type();
  return tensor.is_privateuseone() && tensor.layout() == at::kStrided &&
         at::isFloatingType(dtype) && c10::elementSize(dtype) >= 2 &&
         tensor.is_non_overlapping_and_dense();
}

template <size_t N>
bool in_one_pass(const Lists<N>& lists, const Factors& factors, bool in_place) {
  const size_t count = lists[0].size();
  if (count == 0 || !factors.fits(count)) return false;
  for (const at::TensorList& list : lists) {
    if (list.size() != count) return false;
  }
  std::vector<const void*> written;
  for (size_t i = 0; i < count; ++i) {
    const at::Tensor& first = lists[0][i];
    if (!is_dense_floating(first)) return false;
    for (const at::TensorList& list : lists) {
      const at::Tensor& tensor = list[i];
      if (tensor.scalar_type() != first.scalar_type() || tensor.device() != first.device() ||
          tensor.sizes() != first.sizes() || tensor.strides() != first.strides()) {
        return false;
      }
    }
    if (in_place && first.numel() != 0) written.push_back(first.const_data_ptr());
  }
  std::sort(written.begin(), written.end());
  return std::adjacent_find(written.begin(), written.end()) == written.end();
}

/// to[i] = op(lists[0][i], lists[1][i], ..., factors[i]), all lists at once.
template <size_t N, class Op>
void map_lists(at::TensorList to, const Lists<N>& lists, const Factors& factors, const Op& op) {
  const size_t count = to.size();
  if (alt::cuda::on_gpu()) {
    std::vector<double> each(count);
    for (size_t i = 0; i < count; ++i) each[i] = factors[i];
    return cuda::foreach_map(ops::foreach::Operators::number_of<Op>(), to,
                             {lists.begin(), lists.end()}, each);
  }
  std::vector<int64_t> sizes(count);
  std::vector<std::array<Slot, N + 1>> slots(count);
  for (size_t i = 0; i < count; ++i) {
    sizes[i] = to[i].numel();
    slots[i][N] = write(to[i]);
    for (size_t k = 0; k < N; ++k) slots[i][k] = read(lists[k][i]);
  }
  for_each_run(sizes, kMapGrain, [&](size_t i, int64_t begin, int64_t end) {
    auto run = [&]<class T>() {
      const Vec<T> factor(static_cast<T>(factors[i]));
      as_type<T>(slots[i], begin, end, [&](const std::array<T*, N + 1>& at, int64_t n) {
        for_lanes<T>(n, [&](int64_t offset, auto lanes) {
          std::array<Vec<T>, N> x;
          for (size_t k = 0; k < N; ++k) x[k] = lanes.load(at[k] + offset);
          lanes.store(at[N] + offset, op(x.data(), factor));
        });
      });
    };
    if (slots[i][0].dtype == at::kDouble) {
      run.template operator()<double>();
    } else {
      run.template operator()<float>();
    }
  });
}

/// What autograd saved of the tensors is out of date. Nobody else says so: for lists of tensors the
/// generated in-place wrappers leave it to the operators that the kernel calls.
inline void increment_versions(at::TensorList written) {
  for (const at::Tensor& tensor : written) {
    if (!tensor.is_inference()) tensor.unsafeGetTensorImpl()->bump_version();
  }
}

/// A new list of results, by one pass or by `slow()`.
template <size_t N, class Op, class Slow>
std::vector<at::Tensor> foreach_new(const Lists<N>& lists, const Factors& factors, const Op& op,
                                    Slow&& slow) {
  if (!in_one_pass(lists, factors, /*in_place=*/false)) return slow();
  std::vector<at::Tensor> results;
  results.reserve(lists[0].size());
  for (const at::Tensor& tensor : lists[0]) results.push_back(at::empty_like(tensor));
  map_lists(results, lists, factors, op);
  return results;
}

/// The first list becomes the results.
template <size_t N, class Op, class Slow>
void foreach_in_place(const Lists<N>& lists, const Factors& factors, const Op& op, Slow&& slow) {
  if (in_one_pass(lists, factors, /*in_place=*/true)) {
    map_lists(lists[0], lists, factors, op);
    increment_versions(lists[0]);
  } else {
    slow();
  }
}

}  // namespace alt::kernels
