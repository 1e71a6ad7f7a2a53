// segment_reduce and its gradient: reductions over consecutive segments of one dimension.
//
// The data are [outer, length, inner], and each outer index has segments of its own. A segment is a
// task: it steps rows of `inner` elements into a row of accumulators. Sums are made of runs of kRun
// rows, which are then added up.

#include <ATen/core/Tensor.h>
#include <ATen/native/SegmentReduce.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using at::native::ReductionType;
using Initial = std::optional<at::Scalar>;

constexpr int64_t kRun = 64;

struct Segment {
  int64_t begin;  // in rows of the data, all outer indices counted
  int64_t length;
};

/// The segments of all outer indices, in the order of the results' rows.
struct Segments {
  Segments(const Tensor& data, const Tensor& boundaries, bool offsets, const char* name)
      : axis(boundaries.dim() - 1),
        count(boundaries.size(axis) - (offsets ? 1 : 0)),
        outer(c10::multiply_integers(data.sizes().slice(0, axis))),
        inner(c10::multiply_integers(data.sizes().slice(axis + 1))) {
    const int64_t rows = data.size(axis);
    visit<TypeList<int32_t, int64_t>>(boundaries.scalar_type(), name, [&]<class T>() {
      const T* given = boundaries.const_data_ptr<T>();
      for (int64_t o = 0; o < outer; ++o) {
        int64_t position = 0;
        for (int64_t i = 0; i < count; ++i, ++given) {
          const int64_t begin = offsets ? given[0] : position;
          const int64_t segment_length = offsets ? given[1] - begin : given[0];
          TORCH_CHECK(segment_length >= 0);
          TORCH_CHECK(begin >= 0 && begin + segment_length <= rows, "segment_reduce: segment ", i,
                      " ends at ", begin + segment_length, ", outside of the data's ", rows);
          all.push_back({o * rows + begin, segment_length});
          position = begin + segment_length;
        }
        given += offsets ? 1 : 0;
      }
    });
  }

  template <class Body>
  void for_each(Body&& body) const {
    const auto tasks = static_cast<int64_t>(all.size());
    int64_t rows = 0;
    for (const auto& segment : all) {
      rows += segment.length;
    }
    const int64_t work = rows * inner / std::max<int64_t>(tasks, 1);
    parallel_for(0, tasks, 16384 / std::max<int64_t>(work, 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        body(all[static_cast<size_t>(i)], i * inner);
      }
    });
  }

  int64_t axis;
  int64_t count;
  int64_t outer;
  int64_t inner;
  std::vector<Segment> all;
};

template <class A>
A identity(ReductionType reduction) {
  switch (reduction) {
    case ReductionType::MAX:
      return -std::numeric_limits<A>::infinity();
    case ReductionType::MIN:
      return std::numeric_limits<A>::infinity();
    case ReductionType::PROD:
      return A(1);
    default:
      return A(0);
  }
}

/// NaN wins over every number.
template <class A>
A combine(ReductionType reduction, A a, A b) {
  switch (reduction) {
    case ReductionType::MAX:
      return std::isnan(b) || b > a ? b : a;
    case ReductionType::MIN:
      return std::isnan(b) || b < a ? b : a;
    case ReductionType::PROD:
      return a * b;
    default:
      return a + b;
  }
}

template <class T>
void reduce_segment(ReductionType reduction, const Initial& initial, const Segment& segment,
                    int64_t inner, const T* data, T* out) {
  using A = opmath_t<T>;
  const A start = initial.has_value() ? static_cast<A>(initial->to<T>()) : identity<A>(reduction);
  const A nothing = identity<A>(reduction);
  std::vector<A> total(static_cast<size_t>(inner), start), run(static_cast<size_t>(inner));
  const T* row = data + segment.begin * inner;
  for (int64_t begin = 0; begin < segment.length; begin += kRun) {
    std::fill(run.begin(), run.end(), nothing);
    for (int64_t j = begin; j < std::min(begin + kRun, segment.length); ++j, row += inner) {
      for (int64_t i = 0; i < inner; ++i) {
        run[i] = combine(reduction, run[i], static_cast<A>(row[i]));
      }
    }
    for (int64_t i = 0; i < inner; ++i) {
      total[i] = combine(reduction, total[i], run[i]);
    }
  }
  const bool mean = reduction == ReductionType::MEAN;
  for (int64_t i = 0; i < inner; ++i) {
    A result = total[i];
    if (mean && segment.length > 0) {
      result /= static_cast<A>(segment.length);
    } else if (mean && !initial.has_value()) {
      result = std::numeric_limits<A>::quiet_NaN();
    }
    out[i] = static_cast<T>(result);
  }
}

/// A column of a segment: what the gradients of one result's elements need.
template <class T>
struct Column {
  using A = opmath_t<T>;
  const T* data;
  T* grad_data;
  int64_t length;
  int64_t stride;

  A at(int64_t j) const { return static_cast<A>(data[j * stride]); }
  void set(int64_t j, A grad) const { grad_data[j * stride] = static_cast<T>(grad); }

  void spread(A grad) const {
    for (int64_t j = 0; j < length; ++j) {
      set(j, grad);
    }
  }

  /// Elements that are the extremum share its gradient.
  void share(A grad, A extremum) const {
    const auto is_extremum = [&](int64_t j) { return std::isnan(at(j)) || at(j) == extremum; };
    int64_t shares = 0;
    for (int64_t j = 0; j < length; ++j) {
      shares += is_extremum(j) ? 1 : 0;
    }
    for (int64_t j = 0; j < length; ++j) {
      if (is_extremum(j)) {
        set(j, grad / static_cast<A>(shares));
      }
    }
  }

  /// The product of the others, by division where this is not zero.
  void product(A grad, A result, A start) const {
    for (int64_t j = 0; j < length; ++j) {
      const A value = at(j);
      if (value != A(0) && !std::isnan(value)) {
        set(j, grad * result / value);
        continue;
      }
      A others = start;
      for (int64_t k = 0; k < length; ++k) {
        others *= k == j ? A(1) : at(k);
      }
      set(j, grad * others);
    }
  }
};

Tensor reduce(ReductionType reduction, const Tensor& data, const Tensor& boundaries, bool offsets,
              const Initial& initial, const char* name) {
  const Segments segments(data, boundaries, offsets, name);
  auto sizes = data.sizes().vec();
  sizes[static_cast<size_t>(segments.axis)] = segments.count;
  const Tensor output = at::empty(sizes, data.options());
  visit<FloatingAndHalfTypes>(data.scalar_type(), "_segment_reduce_cpu", [&]<class T>() {
    const T* from = data.const_data_ptr<T>();
    T* to = output.mutable_data_ptr<T>();
    segments.for_each([&](const Segment& segment, int64_t place) {
      reduce_segment(reduction, initial, segment, segments.inner, from, to + place);
    });
  });
  return output;
}

Tensor reduce_backward(const Tensor& grad, const Tensor& output, const Tensor& data,
                       ReductionType reduction, const Tensor& boundaries, bool offsets,
                       const Initial& initial, const char* name) {
  const Segments segments(data, boundaries, offsets, name);
  const Tensor grad_data = at::zeros(data.sizes(), grad.options());
  visit<FloatingAndHalfTypes>(data.scalar_type(), "_segment_reduce_cpu", [&]<class T>() {
    using A = opmath_t<T>;
    const T *slope = grad.const_data_ptr<T>(), *result = output.const_data_ptr<T>();
    const T* from = data.const_data_ptr<T>();
    T* to = grad_data.mutable_data_ptr<T>();
    const A start = initial.has_value() ? static_cast<A>(initial->to<T>()) : A(1);
    segments.for_each([&](const Segment& segment, int64_t place) {
      for (int64_t i = 0; i < segments.inner; ++i) {
        const int64_t first = segment.begin * segments.inner + i;
        const Column<T> column{from + first, to + first, segment.length, segments.inner};
        const A g = static_cast<A>(slope[place + i]), r = static_cast<A>(result[place + i]);
        switch (reduction) {
          case ReductionType::SUM:
            column.spread(g);
            break;
          case ReductionType::MEAN:
            column.spread(g / static_cast<A>(segment.length));
            break;
          case ReductionType::PROD:
            column.product(g, r, start);
            break;
          default:
            column.share(g, r);
        }
      }
    });
  });
  return grad_data;
}

}  // namespace

// The axis is where the boundaries' last dimension is.

Tensor segment_reduce_lengths(ReductionType reduction, const Tensor& data, const Tensor& lengths,
                              int64_t /*axis*/, const Initial& initial) {
  return reduce(reduction, data, lengths, /*offsets=*/false, initial,
                "_segment_reduce_lengths_cpu_kernel1");
}

Tensor segment_reduce_offsets(ReductionType reduction, const Tensor& data, const Tensor& offsets,
                              int64_t /*axis*/, const Initial& initial) {
  return reduce(reduction, data, offsets, /*offsets=*/true, initial,
                "_segment_reduce_offsets_cpu_kernel1");
}

Tensor segment_reduce_lengths_backward(const Tensor& grad, const Tensor& output, const Tensor& data,
                                       ReductionType reduction, const Tensor& lengths,
                                       int64_t /*axis*/, const Initial& initial) {
  return reduce_backward(grad, output, data, reduction, lengths, /*offsets=*/false, initial,
                         "_segment_reduce_lengths_cpu_backward_kernel1");
}

Tensor segment_reduce_offsets_backward(const Tensor& grad, const Tensor& output, const Tensor& data,
                                       ReductionType reduction, const Tensor& offsets,
                                       int64_t /*axis*/, const Initial& initial) {
  return reduce_backward(grad, output, data, reduction, offsets, /*offsets=*/true, initial,
                         "_segment_reduce_offsets_cpu_backward_kernel1");
}

}  // namespace alt::kernels
