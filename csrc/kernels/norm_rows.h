// What normalisations of rows share: layer norm and RMS norm.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/norm_lanes.h"
#include "kernels/row_writer.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

inline constexpr int64_t kElementsPerTask = 16384;

inline int64_t rows_per_task(int64_t width) {
  return std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, width));
}

/// A weight's lanes, or one.
template <class A, class Count>
Vec<A> weight_lanes(const A* weight, int64_t i, Count lanes) {
  return weight ? load_lanes(weight + i, lanes) : Vec<A>(A(1));
}

/// Sums over rows, `width` of them in all: of fixed chunks of rows, and the chunks in order, so
/// that the result does not depend on the threads.
template <class A>
class RowSums {
 public:
  /// `rows` of `row_width` elements; a width of 0 where no sums are wanted.
  RowSums(int64_t rows, int64_t row_width, int64_t width)
      : rows_(rows),
        row_width_(row_width),
        chunk_(rows_per_task(row_width)),
        chunks_((rows + chunk_ - 1) / chunk_),
        width_(width),
        partials_(chunks_ * width, A(0)) {}

  /// body(writer, row, what the row is to add itself to) for all rows, of which each gives a row of
  /// a result of T.
  template <class T, class Body>
  void run(const Body& body) {
    parallel_for(0, chunks_, 1, [&](int64_t begin, int64_t end) {
      const RowWriter<T> writer(rows_ * row_width_);
      for (int64_t row = begin * chunk_; row < std::min(end * chunk_, rows_); ++row) {
        body(writer, row, partials_.data() + row / chunk_ * width_);
      }
    });
  }

  /// `count` of the sums, from `offset` on, added up in double.
  void join(int64_t offset, int64_t count, A* to) const {
    std::vector<double> totals(count, 0.0);
    for (int64_t c = 0; c < chunks_; ++c) {
      const A* partials = partials_.data() + c * width_ + offset;
      for (int64_t i = 0; i < count; ++i) totals[i] += static_cast<double>(partials[i]);
    }
    for (int64_t i = 0; i < count; ++i) to[i] = static_cast<A>(totals[i]);
  }

 private:
  int64_t rows_, row_width_, chunk_, chunks_, width_;
  std::vector<A> partials_;
};

}  // namespace alt::kernels
