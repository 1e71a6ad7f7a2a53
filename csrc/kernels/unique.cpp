// unique, unique_consecutive and their forms along a dimension.
//
// All are runs of equal neighbours: of the tensor as it lies, or of its elements (rows) in sorted
// order. NaN equals nothing, not even NaN.
#include <ATen/NumericUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/WrapDimMinimal.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

#include "dispatch/host_call.h"
#include "kernels/chunk_counts.h"
#include "kernels/cuda/array.h"
#include "kernels/sort_keys.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using UniqueResult = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

/// Runs of equal neighbours among n elements taken in some order.
struct Runs {
  std::vector<int64_t> representatives;  // the element that begins each run
  at::Tensor inverse;                    // of every element, the run that it is in
  at::Tensor counts;
};

/// element(k): which element comes k-th; equal(a, b): whether two elements are one.
template <class Element, class Equal>
Runs find_runs(int64_t n, const at::Tensor& self, bool return_inverse, bool return_counts,
               Element&& element, Equal&& equal) {
  const auto options = self.options().dtype(at::kLong);
  Runs runs;
  runs.inverse = at::empty({return_inverse ? n : 0}, options);
  int64_t* inverse = runs.inverse.mutable_data_ptr<int64_t>();
  std::vector<int64_t> starts;
  for (int64_t k = 0; k < n; ++k) {
    const int64_t current = element(k);
    if (k == 0 || !equal(element(k - 1), current)) {
      runs.representatives.push_back(current);
      starts.push_back(k);
    }
    if (return_inverse) {
      inverse[current] = static_cast<int64_t>(starts.size()) - 1;
    }
  }
  const auto count = static_cast<int64_t>(starts.size());
  runs.counts = at::empty({return_counts ? count : 0}, options);
  if (return_counts) {
    starts.push_back(n);
    int64_t* counts = runs.counts.mutable_data_ptr<int64_t>();
    for (int64_t run = 0; run < count; ++run) {
      counts[run] = starts[run + 1] - starts[run];
    }
  }
  return runs;
}

template <class T>
at::Tensor gather_representatives(const at::Tensor& flat, const std::vector<int64_t>& elements) {
  auto out = at::empty({static_cast<int64_t>(elements.size())}, flat.options());
  T* to = out.mutable_data_ptr<T>();
  const T* from = flat.const_data_ptr<T>();
  for (size_t i = 0; i < elements.size(); ++i) {
    to[i] = from[elements[i]];
  }
  return out;
}

/// The runs of a sorted tensor, whose beginnings are counted and then written, in parallel.
template <class T>
UniqueResult unique_sorted(const at::Tensor& flat, c10::IntArrayRef sizes, bool return_inverse,
                           bool return_counts) {
  const int64_t n = flat.numel();
  const T* data = flat.const_data_ptr<T>();
  const auto options = flat.options().dtype(at::kLong);
  LaneSorter<T> sorter;
  sorter.sort(data, 1, n, /*descending=*/false);
  const auto begins = [&](int64_t k) {
    return k == 0 || !sorter.equals_next(k - 1) || at::_isnan(sorter.value(k, data, 1));
  };
  const ChunkCounts runs(n, [&](int64_t begin, int64_t end) {
    int64_t count = 0;
    for (int64_t k = begin; k < end; ++k) {
      count += begins(k) ? 1 : 0;
    }
    return count;
  });
  auto values = at::empty({runs.total()}, flat.options());
  auto starts = at::empty({return_counts ? runs.total() : 0}, options);
  auto inverse = at::empty({return_inverse ? n : 0}, options);
  T* value = values.mutable_data_ptr<T>();
  int64_t* start = starts.mutable_data_ptr<int64_t>();
  int64_t* run_of = inverse.mutable_data_ptr<int64_t>();
  runs.for_each([&](int64_t begin, int64_t end, int64_t next) {
    for (int64_t k = begin; k < end; ++k) {
      if (begins(k)) {
        value[next] = sorter.value(k, data, 1);
        if (return_counts) {
          start[next] = k;
        }
        ++next;
      }
      if (return_inverse) {
        run_of[sorter.position(k)] = next - 1;
      }
    }
  });
  for (int64_t run = 0; run < starts.numel(); ++run) {
    start[run] = (run + 1 < runs.total() ? start[run + 1] : n) - start[run];
  }
  return {values, return_inverse ? inverse.view(sizes) : inverse, starts};
}

UniqueResult unique_flat(const char* name, const at::Tensor& self, bool sort, bool return_inverse,
                         bool return_counts) {
  const auto flat = self.contiguous();
  const int64_t n = flat.numel();
  UniqueResult result;
  if (alt::cuda::on_gpu()) {
    visit<AllTypesAndHalf>(self.scalar_type(), name, []<class T>() {});
    const auto found =
        cuda::new_from_array(sort ? "unique.unique" : "unique.unique_consecutive", {flat});
    const auto none = at::empty({0}, self.options().dtype(at::kLong));
    return {found[0].to(self.scalar_type()), return_inverse ? found[1] : none,
            return_counts ? found[2] : none};
  }
  visit<AllTypesAndHalf>(self.scalar_type(), name, [&]<class T>() {
    const T* data = flat.const_data_ptr<T>();
    if (sort) {
      result = unique_sorted<T>(flat, self.sizes(), return_inverse, return_counts);
      return;
    }
    const auto equal = [data](int64_t a, int64_t b) { return data[a] == data[b]; };
    Runs runs =
        find_runs(n, self, return_inverse, return_counts, [](int64_t k) { return k; }, equal);
    result = {gather_representatives<T>(flat, runs.representatives),
              return_inverse ? runs.inverse.view(self.sizes()) : runs.inverse, runs.counts};
  });
  return result;
}

/// Lexicographic order of rows of a dtype, by calls: a sort for each dtype would be large.
struct RowOrder {
  using Compare = bool (*)(const char* a, const char* b, int64_t width);
  Compare less, equal;
};

template <class T>
bool row_less(const char* row_a, const char* row_b, int64_t width) {
  const auto *a = reinterpret_cast<const T*>(row_a), *b = reinterpret_cast<const T*>(row_b);
  for (int64_t i = 0; i < width; ++i) {
    if (a[i] != b[i]) {
      return a[i] < b[i];
    }
  }
  return false;
}

template <class T>
bool row_equal(const char* row_a, const char* row_b, int64_t width) {
  const auto *a = reinterpret_cast<const T*>(row_a), *b = reinterpret_cast<const T*>(row_b);
  return std::equal(a, a + width, b);
}

RowOrder row_order(at::ScalarType dtype) {
  RowOrder order{};
  visit<AllTypesAndHalf>(dtype, "unique_dim",
                         [&]<class T>() { order = {row_less<T>, row_equal<T>}; });
  return order;
}

UniqueResult unique_along(const at::Tensor& self, int64_t dim, bool sort, bool return_inverse,
                          bool return_counts) {
  if (alt::cuda::on_gpu()) {
    HostCall host("aten::unique_dim");
    host.read(self);
    return host.run([&] { return unique_along(self, dim, sort, return_inverse, return_counts); });
  }
  dim = at::maybe_wrap_dim(dim, self.dim());
  const auto sizes = self.sizes();
  const auto zeros = std::count(sizes.begin(), sizes.end(), 0);
  const auto options = self.options().dtype(at::kLong);
  if (sizes[dim] == 0) {
    TORCH_CHECK(zeros == 1,
                "Number of zero sized dimensions is more than one, so unique cannot be "
                "applied ");
    return {at::empty(sizes, self.options()), at::empty({0}, options), at::empty({0}, options)};
  }
  TORCH_CHECK(
      zeros == 0,
      "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
  const auto rows = self.moveaxis(dim, 0).contiguous();
  const int64_t n = sizes[dim];
  const int64_t width = rows.numel() / n;
  const RowOrder compare = row_order(self.scalar_type());
  const auto* data = static_cast<const char*>(rows.const_data_ptr());
  const int64_t bytes = width * rows.element_size();
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (sort) {
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return compare.less(data + a * bytes, data + b * bytes, width);
    });
  }
  Runs runs = find_runs(
      n, self, return_inverse, return_counts, [&](int64_t k) { return order[k]; },
      [&](int64_t a, int64_t b) {
        return compare.equal(data + a * bytes, data + b * bytes, width);
      });
  const auto count = static_cast<int64_t>(runs.representatives.size());
  auto kept = at::empty({count}, options);
  std::copy(runs.representatives.begin(), runs.representatives.end(),
            kept.mutable_data_ptr<int64_t>());
  return {rows.index_select(0, kept).moveaxis(0, dim), runs.inverse, runs.counts};
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> unique(const at::Tensor& self, bool /*sorted*/,
                                          bool return_inverse) {
  auto [values, inverse, counts] = unique_flat("unique", self, true, return_inverse, false);
  return {values, inverse};
}

UniqueResult unique2(const at::Tensor& self, bool /*sorted*/, bool return_inverse,
                     bool return_counts) {
  return unique_flat("unique", self, true, return_inverse, return_counts);
}

UniqueResult unique_dim(const at::Tensor& self, int64_t dim, bool /*sorted*/, bool return_inverse,
                        bool return_counts) {
  return unique_along(self, dim, true, return_inverse, return_counts);
}

UniqueResult unique_dim_consecutive(const at::Tensor& self, int64_t dim, bool return_inverse,
                                    bool return_counts) {
  return unique_along(self, dim, false, return_inverse, return_counts);
}

UniqueResult unique_consecutive(const at::Tensor& self, bool return_inverse, bool return_counts,
                                std::optional<int64_t> dim) {
  if (!dim.has_value() || (*dim == 0 && self.dim() == 1)) {
    return unique_flat("unique_consecutive", self, false, return_inverse, return_counts);
  }
  return unique_along(self, *dim, false, return_inverse, return_counts);
}

}  // namespace alt::kernels
