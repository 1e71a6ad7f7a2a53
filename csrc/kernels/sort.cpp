// sort, along one dimension. Sorting is stable and by integer keys (sort_keys.h).
//
// Where equal elements end up in an unstable sort is nobody's promise, yet scripts depend on it; so
// a lane with equal elements is sorted once more by std::sort, which is what stock calls.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/lane_offsets.h"
#include "kernels/sort_keys.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

/// In the order that stock's unstable sort gives.
template <class T>
void sort_unstable(T* value, int64_t value_stride, int64_t* index, int64_t index_stride, int64_t n,
                   bool descending, T* in_order) {
  std::vector<Keyed> lane;
  fill_keyed(value, value_stride, n, descending, lane);
  std::sort(lane.begin(), lane.end(), by_key);
  for (int64_t k = 0; k < n; ++k) {
    const int64_t position = lane[static_cast<size_t>(k)].second;
    in_order[k] = value[position * value_stride];
    index[k * index_stride] = position;
  }
  for (int64_t k = 0; k < n; ++k) value[k * value_stride] = in_order[k];
}

/// Long vectors of integers are what stock sorts by radix, which is stable.
bool stock_sorts_by_radix(const at::TensorBase& values, bool descending) {
  return values.dim() == 1 && !descending && values.numel() >= 32768 &&
         at::isIntegralType(values.scalar_type(), /*includeBool=*/false);
}

}  // namespace

void sort(const at::TensorBase& self, const at::TensorBase& values, const at::TensorBase& indices,
          int64_t dim, bool descending, bool stable) {
  if (values.numel() == 0) {
    return;
  }
  const LaneOffsets lanes(values.sizes(), dim);
  const int64_t n = lanes.length();
  // Up to 16 elements std::sort is an insertion sort, which is stable.
  const bool keep_order = stable || n <= 16 || stock_sorts_by_radix(values, descending);
  visit<AllTypesAndHalf>(self.scalar_type(), "sorting_kernel_method_name", [&]<class T>() {
    TORCH_CHECK(LaneSorter<T>::fits(n), "sort: a dimension of ", n, " elements is too long");
    const int64_t value_stride = lanes.stride(values);
    const int64_t index_stride = lanes.stride(indices);
    parallel_for(0, lanes.count(), lane_grain(n, 1024), [&](int64_t begin, int64_t end) {
      LaneSorter<T> sorter;
      detail::Buffer<T> sorted;
      sorted.reserve(n);
      T* in_order = sorted.data();
      for (int64_t lane = begin; lane < end; ++lane) {
        T* value = values.mutable_data_ptr<T>() + lanes.start(values, lane);
        int64_t* index = indices.mutable_data_ptr<int64_t>() + lanes.start(indices, lane);
        sorter.sort(value, value_stride, n, descending);
        if (!keep_order && sorter.has_equal_keys()) {
          sort_unstable(value, value_stride, index, index_stride, n, descending, in_order);
          continue;
        }
        parallel_for(0, n, detail::kThreadedLength, [&](int64_t first, int64_t last) {
          sorter.write(first, last, value, value_stride, in_order, index, index_stride);
        });
        parallel_for(0, n, detail::kThreadedLength, [&](int64_t first, int64_t last) {
          for (int64_t k = first; k < last; ++k) {
            value[k * value_stride] = in_order[k];
          }
        });
      }
    });
  });
}

}  // namespace alt::kernels
