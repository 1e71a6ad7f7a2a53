// kthvalue, median, nanmedian and mode of lanes: one element of each.
//
// Which of several equal elements' positions is returned follows from the selection algorithm, so
// these are stock's: quickselect with a median of three, the first of equals, a sort of pairs.
#include <ATen/MemoryOverlap.h>
#include <ATen/NumericUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>
#include <c10/core/WrapDimMinimal.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cuda/array.h"
#include "kernels/lane_offsets.h"
#include "kernels/operands.h"
#include "kernels/sort_keys.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using Outputs = std::tuple<at::Tensor&, at::Tensor&>;

template <class T>
using Entry = std::pair<T, int64_t>;

template <class T>
bool is_greater(T a, T b) {
  return (at::_isnan(a) && !at::_isnan(b)) || a > b;
}

/// Partitions until entry k is in its place: Hoare's, with the median of first, middle and last.
template <class T>
void quickselect(std::vector<Entry<T>>& lane, int64_t k) {
  const auto greater = [&](int64_t i, int64_t j) {
    return is_greater(lane[i].first, lane[j].first);
  };
  const auto swap_entries = [&](int64_t i, int64_t j) { std::swap(lane[i], lane[j]); };
  int64_t left = 0;
  auto right = static_cast<int64_t>(lane.size()) - 1;
  while (right > left) {
    if (right == left + 1) {
      if (greater(left, right)) {
        swap_entries(left, right);
      }
      return;
    }
    swap_entries(left + (right - left) / 2, left + 1);
    if (greater(left + 1, right)) {
      swap_entries(left + 1, right);
    }
    if (greater(left, right)) {
      swap_entries(left, right);
    }
    if (greater(left + 1, left)) {
      swap_entries(left + 1, left);
    }
    const T pivot = lane[left].first;
    int64_t up = left + 1;
    int64_t down = right;
    while (true) {
      do {
        ++up;
      } while (is_greater(pivot, lane[up].first));
      do {
        --down;
      } while (is_greater(lane[down].first, pivot));
      if (down < up) {
        break;
      }
      swap_entries(up, down);
    }
    swap_entries(left, down);
    if (down <= k) {
      left = up;
    }
    if (down >= k) {
      right = down - 1;
    }
  }
}

/// choose(lane) gives one (value, position) for every lane of `self` along `dim`.
template <class T, class Choose>
void reduce_lanes(const at::Tensor& self, int64_t dim, const at::Tensor& values,
                  const at::Tensor& indices, Choose&& choose) {
  const LaneOffsets lanes(self.sizes(), dim);
  const int64_t n = lanes.length();
  const int64_t stride = lanes.stride(self);
  const auto put_back = [&](const at::Tensor& out) {
    return self.dim() > 0 && out.dim() < self.dim() ? out.unsqueeze(dim) : out;
  };
  const auto value_out = put_back(values);
  const auto index_out = put_back(indices);
  parallel_for(0, lanes.count(), lane_grain(n, 1024), [&](int64_t begin, int64_t end) {
    std::vector<Entry<T>> entries(static_cast<size_t>(n));
    for (int64_t lane = begin; lane < end; ++lane) {
      const T* source = self.const_data_ptr<T>() + lanes.start(self, lane);
      for (int64_t i = 0; i < n; ++i) {
        entries[static_cast<size_t>(i)] = {source[i * stride], i};
      }
      const Entry<T> chosen = choose(entries);
      value_out.template mutable_data_ptr<T>()[lanes.start(value_out, lane)] = chosen.first;
      index_out.template mutable_data_ptr<int64_t>()[lanes.start(index_out, lane)] = chosen.second;
    }
  });
}

void check_dim_not_empty(const char* name, const at::Tensor& self, int64_t dim) {
  if (self.dim() > 0) {
    TORCH_CHECK_INDEX(self.size(dim) != 0, name, "(): Expected reduction dim ", dim,
                      " to have non-zero size.");
  }
}

void resize_reduced(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                    at::Tensor& indices) {
  TORCH_CHECK(values.scalar_type() == self.scalar_type(),
              "output values must be of same type as input");
  TORCH_CHECK(indices.scalar_type() == at::kLong, "output indices must be of scalar type Long");
  auto sizes = self.sizes().vec();
  if (!sizes.empty()) {
    if (keepdim) {
      sizes[dim] = 1;
    } else {
      sizes.erase(sizes.begin() + dim);
    }
  }
  at::assert_no_overlap(self, values);
  at::native::resize_output(values, sizes);
  at::native::resize_output(indices, sizes);
}

/// What a function of altbackend/cuda/sort.py finds along `dim`.
Outputs select_on_gpu(const char* function, const char* name, const at::Tensor& self, int64_t dim,
                      at::Tensor& values, at::Tensor& indices, cuda::Keywords keywords) {
  check_type<RealTypes>(self.scalar_type(), name);
  const auto without = [&](const at::Tensor& out) {
    return self.dim() > 0 && out.dim() == self.dim() ? out.squeeze(dim) : out;
  };
  keywords.emplace_back("dim", dim);
  cuda::call_array(function, {self}, {without(values), without(indices)}, keywords);
  return {values, indices};
}

/// The lower median of a lane's numbers, the first of equals; or its first NaN unless those are
/// ignored.
template <class T>
Entry<T> lane_median(std::vector<Entry<T>>& lane, bool ignore_nan) {
  auto numbers = static_cast<int64_t>(lane.size());
  const auto is_nan = [](const Entry<T>& entry) { return at::_isnan(entry.first); };
  if (ignore_nan) {
    numbers -= std::count_if(lane.begin(), lane.end(), is_nan);
  } else if (const auto found = std::find_if(lane.begin(), lane.end(), is_nan);
             found != lane.end()) {
    return *found;
  }
  const int64_t place = std::max<int64_t>(numbers - 1, 0) / 2;
  if constexpr (sizeof(sort_key(T())) <= 4) {
    // A key and its position in a word: words are compared faster than pairs.
    if (lane.size() <= std::numeric_limits<uint32_t>::max()) {
      static thread_local std::vector<uint64_t> words;
      words.resize(lane.size());
      for (size_t i = 0; i < lane.size(); ++i) {
        words[i] = static_cast<uint64_t>(sort_key(lane[i].first)) << 32 | i;
      }
      std::nth_element(words.begin(), words.begin() + place, words.end());
      return lane[words[static_cast<size_t>(place)] & 0xffffffff];
    }
  }
  const auto middle = lane.begin() + place;
  std::nth_element(lane.begin(), middle, lane.end(), [](const Entry<T>& a, const Entry<T>& b) {
    return a.first < b.first || (a.first == b.first && a.second < b.second) ||
           (!at::_isnan(a.first) && at::_isnan(b.first));
  });
  return *middle;
}

Outputs median_along(const char* name, const at::Tensor& self, int64_t dim, bool keepdim,
                     bool ignore_nan, at::Tensor& values, at::Tensor& indices) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  check_dim_not_empty(name, self, dim);
  resize_reduced(self, dim, keepdim, values, indices);
  if (values.numel() == 0) {
    return {values, indices};
  }
  if (alt::cuda::on_gpu()) {
    return select_on_gpu("sort.median", "median_out", self, dim, values, indices,
                         {{"ignore_nan", ignore_nan}});
  }
  visit<RealTypes>(self.scalar_type(), "median_out", [&]<class T>() {
    reduce_lanes<T>(self, dim, values, indices,
                    [&](std::vector<Entry<T>>& lane) { return lane_median(lane, ignore_nan); });
  });
  return {values, indices};
}

/// The most frequent value, the least of them if there are several.
template <class T>
Entry<T> lane_mode(std::vector<Entry<T>>& lane) {
  std::sort(lane.begin(), lane.end(),
            [](const Entry<T>& a, const Entry<T>& b) { return a.first < b.first; });
  Entry<T> mode{T(0), 0};
  int64_t most = 0;
  int64_t frequency = 0;
  for (size_t i = 0; i < lane.size(); ++i) {
    ++frequency;
    if (i + 1 == lane.size() || lane[i].first != lane[i + 1].first) {
      if (frequency > most) {
        mode = lane[i];
        most = frequency;
      }
      frequency = 0;
    }
  }
  return mode;
}

}  // namespace

Outputs kthvalue_out(const at::Tensor& self, int64_t k, int64_t dim, bool keepdim,
                     at::Tensor& values, at::Tensor& indices) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  const int64_t size = self.dim() > 0 ? self.size(dim) : 1;
  check_dim_not_empty("kthvalue", self, dim);
  TORCH_CHECK(k >= 1 && k <= size, "kthvalue(): selected number k out of range for dimension ",
              dim);
  resize_reduced(self, dim, keepdim, values, indices);
  if (self.dim() == 0) {
    values.copy_(self);
    indices.zero_();
    return {values, indices};
  }
  if (self.numel() == 0) {
    return {values, indices};
  }
  if (alt::cuda::on_gpu()) {
    return select_on_gpu("sort.kthvalue", "kthvalue_cpu", self, dim, values, indices, {{"k", k}});
  }
  visit<RealTypes>(self.scalar_type(), "kthvalue_cpu", [&]<class T>() {
    reduce_lanes<T>(self, dim, values, indices, [k](std::vector<Entry<T>>& lane) {
      quickselect(lane, k - 1);
      return lane[k - 1];
    });
  });
  return {values, indices};
}

Outputs median_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                   at::Tensor& indices) {
  return median_along("median", self, dim, keepdim, /*ignore_nan=*/false, values, indices);
}

Outputs nanmedian_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                      at::Tensor& indices) {
  return median_along("median", self, dim, keepdim, /*ignore_nan=*/true, values, indices);
}

Outputs mode_out(const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                 at::Tensor& indices) {
  dim = at::maybe_wrap_dim(dim, self.dim());
  check_dim_not_empty("mode", self, dim);
  if (self.dim() == 0) {  // as stock, which does not warn here
    values.resize_({});
    indices.resize_({});
  }
  resize_reduced(self, dim, keepdim, values, indices);
  if (self.dim() == 0) {
    values.copy_(self);
    indices.zero_();
    return {values, indices};
  }
  if (values.numel() == 0) {
    return {values, indices};
  }
  using Types = concat_t<RealTypes, TypeList<bool>>;
  visit<Types>(self.scalar_type(), "mode_cpu", [&]<class T>() {
    reduce_lanes<T>(self, dim, values, indices,
                    [](std::vector<Entry<T>>& lane) { return lane_mode(lane); });
  });
  return {values, indices};
}

std::tuple<at::Tensor, at::Tensor> mode(const at::Tensor& self, int64_t dim, bool keepdim) {
  auto values = at::empty({0}, self.options());
  auto indices = at::empty({0}, self.options().dtype(at::kLong));
  mode_out(self, dim, keepdim, values, indices);
  return {values, indices};
}

}  // namespace alt::kernels
