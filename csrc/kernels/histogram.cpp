// histogram, histogramdd and histc: how many elements, or how much weight, falls into each bin.
//
// The input is a list of points. Parts of it, cut by its length alone, are counted into histograms
// of their own, which are then added up in order: the result does not depend on the threads.
// Which bin a point falls into is decided in the input's own type, half types included, as stock
// does; weights are added in the type that arithmetic is done in.
#include <ATen/core/Tensor.h>
#include <ATen/native/Histogram.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/diff.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "kernels/operands.h"
#include "loops/dtype.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;

enum class Search { Binary, Linear, LinearThenNeighbours };

/// The edges of the bins along one dimension.
template <class T>
struct Axis {
  explicit Axis(const Tensor& edges_tensor)
      : edges(edges_tensor.contiguous()),
        data(edges.const_data_ptr<T>()),
        bins(edges.numel() - 1),
        left(data[0]),
        right(data[bins]) {}

  bool holds(T x) const { return x >= left && x <= right; }

  /// As `bin`, by division; where there is none, `bins`.
  int32_t even_bin(T x) const {
    const auto count = static_cast<int32_t>(bins);
    const T scaled = (x - left) * static_cast<T>(bins) / (right - left);
    const bool inside = holds(x) && scaled >= T(0);
    const auto position = static_cast<int32_t>(inside ? scaled : T(0));
    return inside ? std::min(position, count - 1) : count;
  }

  int64_t bin(T x, Search search) const {
    int64_t position;
    if (search == Search::Binary) {
      position = last_edge_below(x, 0, bins + 1);
    } else {
      position = static_cast<int64_t>((x - left) * static_cast<T>(bins) / (right - left));
      if (search == Search::LinearThenNeighbours) {
        position = last_edge_below(x, std::max<int64_t>(0, position - 1),
                                   std::min(position + 2, bins + 1));
      }
    }
    return std::min(position, bins - 1);  // the last bin has both its edges
  }

 private:
  int64_t last_edge_below(T x, int64_t first, int64_t last) const {
    return std::upper_bound(data + first, data + last, x) - data - 1;
  }

  Tensor edges;
  const T* data;

 public:
  int64_t bins;

 private:
  T left;
  T right;
};

/// Where a point's bin is in a histogram, or -1 where it has none.
template <class T>
int64_t place_of(const std::vector<Axis<T>>& axes, const T* point, int64_t stride, Search search) {
  int64_t place = 0;
  for (const auto& axis : axes) {
    if (!axis.holds(*point)) {
      return -1;
    }
    place = place * axis.bins + axis.bin(*point, search);
    point += stride;
  }
  return place;
}

/// Adds the elements of a row to one axis' bins that are evenly spaced: a block's places first, in
/// lanes, then the counts. `bins` takes those outside.
template <class T>
void count_evenly(const Axis<T>& axis, const T* data, int64_t n, std::vector<int32_t>& counts) {
  constexpr int64_t kBlock = 256;
  std::array<int32_t, kBlock> places;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t size = std::min(kBlock, n - first);
    for (int64_t i = 0; i < size; ++i) {
      places[static_cast<size_t>(i)] = axis.even_bin(data[first + i]);
    }
    for (int64_t i = 0; i < size; ++i) {
      ++counts[static_cast<size_t>(places[static_cast<size_t>(i)])];
    }
  }
}

/// How many parts the points are counted in: a histogram must not cost more than its points.
int64_t count_parts(int64_t points, int64_t bins) {
  return std::clamp<int64_t>(points / std::max<int64_t>(bins, 1 << 14), 1, 64);
}

template <class T>
void count(const Tensor& points, const Tensor& weight, const std::vector<Axis<T>>& axes,
           Search search, const Tensor& histogram) {
  using A = opmath_t<T>;
  const int64_t bins = histogram.numel();
  const int64_t parts = count_parts(points.size(0), bins);
  const int64_t part = divide_up(points.size(0), parts);
  std::vector<A> counts(static_cast<size_t>(parts * bins), A(0));
  const T* data = points.const_data_ptr<T>();
  const T* weights = weight.defined() ? weight.const_data_ptr<T>() : nullptr;
  const bool evenly = search == Search::Linear && axes.size() == 1 && !weights &&
                      points.stride(0) == 1 && std::max(bins, part) < (1 << 30);
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> whole;
    for (int64_t p = begin; p < end; ++p) {
      if (evenly) {
        whole.assign(static_cast<size_t>(bins + 1), 0);
        count_evenly(axes[0], data + p * part, std::min(part, points.size(0) - p * part), whole);
        std::copy_n(whole.begin(), bins, counts.begin() + p * bins);
        continue;
      }
      for (int64_t i = p * part; i < std::min((p + 1) * part, points.size(0)); ++i) {
        const int64_t place = place_of(axes, data + i * points.stride(0), points.stride(1), search);
        if (place >= 0) {
          counts[static_cast<size_t>(p * bins + place)] +=
              weights ? static_cast<A>(weights[i]) : A(1);
        }
      }
    }
  });
  T* out = histogram.mutable_data_ptr<T>();
  for (int64_t bin = 0; bin < bins; ++bin) {
    A sum(0);
    for (int64_t p = 0; p < parts; ++p) {
      sum += counts[static_cast<size_t>(p * bins + bin)];
    }
    out[bin] = static_cast<T>(sum);
  }
}

/// Divides by the total and by each bin's volume.
void normalise(const Tensor& histogram, at::TensorList edges) {
  histogram.div_(histogram.sum().item());
  for (size_t dim = 0; dim < edges.size(); ++dim) {
    std::vector<int64_t> shape(edges.size(), 1);
    shape[dim] = edges[dim].numel() - 1;
    histogram.div_(at::diff(edges[dim]).reshape(shape));
  }
}

void histogram_of(const Tensor& self, const std::optional<Tensor>& weight, bool density,
                  const Tensor& out, at::TensorList edges, Search search) {
  const int64_t dimensions = self.size(-1);
  const int64_t points = c10::multiply_integers(self.sizes().slice(0, self.dim() - 1));
  const Tensor weights =
      weight.has_value() && weight->defined() ? weight->reshape({points}).contiguous() : Tensor();
  visit<FloatingAndHalfTypes>(self.scalar_type(), "histogram_cpu", [&]<class T>() {
    if (dimensions == 0) {
      out.zero_();
      return;
    }
    const std::vector<Axis<T>> axes(edges.begin(), edges.end());
    const Tensor rows = self.reshape({points, dimensions});
    write_dense(out,
                [&](const Tensor& histogram) { count(rows, weights, axes, search, histogram); });
  });
  if (density) {
    normalise(out, edges);
  }
}

}  // namespace

void histogramdd(const Tensor& self, const std::optional<Tensor>& weight, bool density,
                 Tensor& hist, const at::TensorList& bin_edges) {
  histogram_of(self, weight, density, hist, bin_edges, Search::Binary);
}

/// For edges that are evenly spaced. histc returns no edges, so that there it does not matter if
/// rounding puts an element into the neighbouring bin.
void histogramdd_linear(const Tensor& self, const std::optional<Tensor>& weight, bool density,
                        Tensor& hist, const at::TensorList& bin_edges, bool local_search) {
  histogram_of(self, weight, density, hist, bin_edges,
               local_search ? Search::LinearThenNeighbours : Search::Linear);
}

/// The least and the greatest coordinate along each of the `dimensions` of `input`'s points.
void histogram_select_outer_bin_edges(const Tensor& input, const int64_t dimensions,
                                      std::vector<double>& leftmost_edges,
                                      std::vector<double>& rightmost_edges) {
  visit<FloatingTypes>(input.scalar_type(), "histogramdd", [&]<class T>() {
    const auto [least, greatest] = at::aminmax(input, 0);
    std::copy_n(least.template const_data_ptr<T>(), dimensions, leftmost_edges.begin());
    std::copy_n(greatest.template const_data_ptr<T>(), dimensions, rightmost_edges.begin());
  });
}

}  // namespace alt::kernels
