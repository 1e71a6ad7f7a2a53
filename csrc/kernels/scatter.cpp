// gather, scatter, scatter_add and scatter_reduce. The front ends are PyTorch's; these are the
// stubs.
#include <ATen/core/Tensor.h>
#include <ATen/native/ReductionType.h>
#include <ATen/ops/full.h>

#include <bit>
#include <type_traits>

#include "kernels/index_check.h"
#include "kernels/scatter_lanes.h"
#include "kernels/scatter_reductions.h"
#include "loops/dtype.h"
#include "loops/element_size.h"

namespace alt::kernels {
namespace {

/// What adds and multiplies as T does: integers wrap around, with a sign or without.
template <class T>
using wrapping_t =
    std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, moved_as_t<T>, T>;

void check_index(const at::Tensor& index, int64_t dim, const at::Tensor& self) {
  check_index_of_dimension(index, dim, self.dim() > 0 ? self.size(dim) : 1);
}

/// Indices of int32 are rare: a copy of them costs less than every loop a second time.
at::Tensor wide(const at::Tensor& index) {
  return index.to(at::kLong);
}

char* memory(const at::Tensor& tensor) {
  return const_cast<char*>(static_cast<const char*>(tensor.const_data_ptr()));
}

/// combine(self[index], source) for all elements of the index, in their order along `dim`.
template <class T, class Combine>
void scatter_elements(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                      const at::Tensor& source, Combine combine) {
  const at::Tensor places = wide(index);
  const Lanes lanes(self, places, source, dim);
  auto* target = static_cast<char*>(self.mutable_data_ptr());
  lanes.run<T>({target, memory(places), memory(source)},
               [combine](T& total, const T& value) { combine(total, value); });
}

/// self[index] = value with the same value everywhere.
template <class T>
void scatter_value(const at::Tensor& self, int64_t dim, const at::Tensor& index, T value) {
  const at::Tensor places = wide(index);
  const Lanes lanes(self, places, places, dim);
  auto* target = static_cast<char*>(self.mutable_data_ptr());
  lanes.run<T>({target, memory(places), memory(places)},
               [value](T& element, const T&) { element = value; });
}

/// Reductions in half precision accumulate in float, and are rounded once.
template <class Body>
void with_wide_sums(const at::Tensor& self, const at::Tensor& source, Body&& body) {
  if (at::isReducedFloatingType(self.scalar_type())) {
    const auto wide = self.to(at::kFloat);
    body(wide, source.to(at::kFloat));
    self.copy_(wide);
  } else {
    body(self, source);
  }
}

template <class Combine>
void scatter_combine(const char* name, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                     const at::Tensor& source, Combine combine) {
  check_index(index, dim, self);
  with_wide_sums(self, source, [&](const at::Tensor& target, const at::Tensor& values) {
    visit<AllTypesAndComplex>(target.scalar_type(), name, [&]<class T>() {
      scatter_elements<wrapping_t<T>>(target, dim, index, values, combine);
    });
  });
}

template <class Combine>
void scatter_ordered(const char* name, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                     const at::Tensor& source, Combine combine) {
  check_index(index, dim, self);
  with_wide_sums(self, source, [&](const at::Tensor& target, const at::Tensor& values) {
    visit<AllTypes>(target.scalar_type(), name,
                    [&]<class T>() { scatter_elements<T>(target, dim, index, values, combine); });
  });
}

}  // namespace

void gather(const at::Tensor& result, const at::Tensor& self, int64_t dim,
            const at::Tensor& index) {
  check_index(index, dim, self);
  const at::Tensor places = wide(index);
  const Lanes lanes(self, places, result, dim);
  auto* out = static_cast<char*>(result.mutable_data_ptr());
  visit_element_size(static_cast<int64_t>(self.element_size()), [&]<class T>() {
    lanes.run<T>({memory(self), memory(places), out}, Lanes::Gather{});
  });
}

void scatter(const at::Tensor& self, int64_t dim, const at::Tensor& index, const at::Tensor& src) {
  check_index(index, dim, self);
  visit_element_size(static_cast<int64_t>(self.element_size()), [&]<class T>() {
    scatter_elements<T>(self, dim, index, src, reductions::Assign{});
  });
}

void scatter_fill(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                  const at::Scalar& src) {
  check_index(index, dim, self);
  visit<EveryType>(self.scalar_type(), "scatter_fill_cpu", [&]<class T>() {
    const auto bits = std::bit_cast<moved_as_t<T>>(src.to<T>());
    scatter_value(self, dim, index, bits);
  });
}

void scatter_add(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                 const at::Tensor& src) {
  scatter_combine("scatter_add_", self, dim, index, src, reductions::Add{});
}

void scatter_reduce(const at::Tensor& self, const int64_t dim, const at::Tensor& index,
                    const at::Tensor& src, const at::native::ReductionType& reduce) {
  switch (reduce) {
    case at::native::ReductionType::SUM:
    case at::native::ReductionType::MEAN:
      return scatter_combine("scatter_reduce_", self, dim, index, src, reductions::Add{});
    case at::native::ReductionType::PROD:
      return scatter_combine("scatter_reduce_", self, dim, index, src, reductions::Multiply{});
    case at::native::ReductionType::MAX:
      return scatter_ordered("scatter_reduce_", self, dim, index, src, reductions::Maximum{});
    case at::native::ReductionType::MIN:
      return scatter_ordered("scatter_reduce_", self, dim, index, src, reductions::Minimum{});
  }
}

/// With one value for all elements.
void scatter_scalar_reduce(const at::Tensor& self, const int64_t dim, const at::Tensor& index,
                           const at::Scalar& value, const at::native::ReductionType& reduce) {
  const at::Tensor everywhere = at::full(index.sizes(), value, self.options());
  scatter_reduce(self, dim, index, everywhere, reduce);
}

}  // namespace alt::kernels
