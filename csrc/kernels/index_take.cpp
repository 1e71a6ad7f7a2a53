// take and put_: indices into a tensor seen as flat, whatever its strides.
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <type_traits>

#include "kernels/index_check.h"
#include "kernels/iterate.h"
#include "loops/dtype.h"

namespace alt::kernels {
namespace {

/// From a flat index, negative ones counting from the end, to an offset in elements.
class FlatOffset {
 public:
  explicit FlatOffset(const at::TensorBase& tensor)
      : sizes_(tensor.sizes()),
        strides_(tensor.strides()),
        numel_(tensor.numel()),
        contiguous_(tensor.is_contiguous()) {}

  void check(const at::TensorIteratorBase& iter, int index_operand) const {
    if (const auto value = find_outside(iter.tensor_base(index_operand), -numel_, numel_)) {
      TORCH_CHECK_INDEX(false, "out of range: tried to access index ", *value, " on a tensor of ",
                        numel_, " elements.");
    }
  }

  int64_t operator()(const char* index) const {
    int64_t position = *reinterpret_cast<const int64_t*>(index);
    position += position < 0 ? numel_ : 0;
    if (contiguous_) {
      return position;
    }
    int64_t offset = 0;
    for (size_t d = sizes_.size(); d-- > 0;) {
      offset += position % sizes_[d] * strides_[d];
      position /= sizes_[d];
    }
    return offset;
  }

 private:
  c10::IntArrayRef sizes_;
  c10::IntArrayRef strides_;
  int64_t numel_;
  bool contiguous_;
};

}  // namespace

void take(at::TensorIterator& iter, const at::TensorBase& input) {
  const FlatOffset offset(input);
  offset.check(iter, 1);
  visit_element_size(static_cast<int64_t>(input.element_size()), [&]<class T>() {
    const auto* source = static_cast<const T*>(input.const_data_ptr());
    for_each_row(iter, /*serial=*/false, [&](char** data, const int64_t* strides, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        *reinterpret_cast<T*>(data[0] + i * strides[0]) = source[offset(data[1] + i * strides[1])];
      }
    });
  });
}

void put(at::TensorIterator& iter, const at::TensorBase& self, const bool accumulate) {
  const FlatOffset offset(self);
  offset.check(iter, 1);
  const auto run = [&]<class T>(auto&& store) {
    auto* target = static_cast<T*>(self.mutable_data_ptr());
    for_each_row(iter, /*serial=*/true, [&](char** data, const int64_t* strides, int64_t n) {
      for (int64_t i = 0; i < n; ++i) {
        store(target[offset(data[1] + i * strides[1])],
              *reinterpret_cast<const T*>(data[0] + i * strides[0]));
      }
    });
  };
  if (!accumulate) {
    visit_element_size(static_cast<int64_t>(self.element_size()), [&]<class T>() {
      run.template operator()<T>([](T& target, T value) { target = value; });
    });
    return;
  }
  visit<AllTypesAndComplexAndHalf>(self.scalar_type(), "take_put_cpu", [&]<class T>() {
    run.template operator()<T>([](T& target, T value) {
      if constexpr (std::is_same_v<T, bool>) {
        target = target || value;
      } else {
        target = static_cast<T>(target + value);
      }
    });
  });
}

}  // namespace alt::kernels
