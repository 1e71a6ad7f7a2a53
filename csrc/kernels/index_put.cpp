// x[i] += y: index_put with accumulation, whose front end PyTorch leaves to the device.
//
// The same restriding as for reading: x seen with stride 0 in place of the indexed dimensions, the
// index tensors broadcast against each other in their place.
#include <ATen/ExpandUtils.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/IndexingUtils.h>

#include <optional>
#include <tuple>
#include <vector>

#include "dispatch/host_call.h"

namespace alt::kernels {

void index_put(at::TensorIterator& iter, c10::IntArrayRef indexed_sizes,
               c10::IntArrayRef indexed_strides, bool accumulate);
namespace cuda {
void index_put(at::TensorIterator& iter, c10::IntArrayRef indexed_sizes,
               c10::IntArrayRef indexed_strides, bool accumulate);
}

namespace {

/// Index tensors of the dimensions of `self`: long, on its device, of one shape; undefined where a
/// dimension is not indexed. Masks have become coordinates; `self` has its indexed dimensions side
/// by side.
std::tuple<at::Tensor, std::vector<at::Tensor>> expand_indices(
    const at::Tensor& self, const c10::List<std::optional<at::Tensor>>& indices) {
  at::native::checkIndexTensorTypes(indices, /*allow_int=*/true);
  auto expanded = at::native::expandTensors(self, indices);
  expanded = at::expand_outplace(expanded);
  expanded.resize(static_cast<size_t>(self.dim()));
  for (auto& index : expanded) {
    if (index.defined()) {
      index = index.to(self.options().dtype(at::kLong));
    }
  }
  if (at::native::hasContiguousSubspace(expanded)) {
    return {self, expanded};
  }
  return at::native::transposeToFront(self, expanded);
}

}  // namespace

void index_put_with_sort(at::Tensor& self, const c10::List<std::optional<at::Tensor>>& indices,
                         const at::Tensor& value, bool accumulate, bool /*unsafe*/) {
  const auto [target, expanded] = expand_indices(self, indices);
  c10::DimVector sizes;
  c10::DimVector strides;
  c10::DimVector indexed_sizes;
  c10::DimVector indexed_strides;
  c10::IntArrayRef shape;
  int64_t before = 0;
  int64_t after = 0;
  for (int64_t d = 0; d < target.dim(); ++d) {
    const auto& index = expanded[d];
    if (!index.defined()) {
      sizes.push_back(target.size(d));
      strides.push_back(target.stride(d));
      ++(indexed_sizes.empty() ? before : after);
      continue;
    }
    if (indexed_sizes.empty()) {
      shape = index.sizes();
      sizes.append(shape.begin(), shape.end());
      strides.append(shape.size(), 0);
    }
    indexed_sizes.push_back(target.size(d));
    indexed_strides.push_back(target.stride(d) * static_cast<int64_t>(target.element_size()));
  }
  const auto restrided = target.as_strided(sizes, strides);
  TORCH_CHECK(at::is_expandable_to(value.sizes(), sizes), "shape mismatch: value tensor of shape ",
              value.sizes(), " cannot be broadcast to indexing result of shape ",
              c10::IntArrayRef(sizes));
  TORCH_CHECK(value.scalar_type() == self.scalar_type(),
              "Index put requires the source and destination dtypes match, got ",
              self.scalar_type(), " for the destination and ", value.scalar_type(),
              " for the source.");
  c10::DimVector index_sizes(static_cast<size_t>(before), 1);
  index_sizes.append(shape.begin(), shape.end());
  index_sizes.append(static_cast<size_t>(after), 1);
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false)
      .resize_outputs(false)
      .check_all_same_dtype(false)
      .add_owned_output(restrided)
      .add_owned_const_input(value);
  for (const auto& index : expanded) {
    if (index.defined()) {
      config.add_owned_const_input(index.reshape(index_sizes));
    }
  }
  auto iter = config.build();
  TwinStub<&kernels::index_put, &cuda::index_put, "index_put_stub">::call(
      iter, indexed_sizes, indexed_strides, accumulate);
}

}  // namespace alt::kernels
