// The walk across the reduced dimension (reduce.h): a row of outputs at a time, groups of rows of
// elements stepped into a row of accumulators.
#pragma once

#include <algorithm>
#include <array>

#include "loops/lanes.h"
#include "loops/reduce_operator.h"
#include "loops/stream.h"

namespace alt::reduce {

/// The first elements of `count` rows, as many as whole vectors hold, into a row of accumulators.
/// Each row is read from end to end, so that the hardware fetches all of them ahead: strips whose
/// sums stay in registers while they go down many rows reach two thirds of the bandwidth.
template <int64_t count, class Op, class T>
void step_streams(const Op& op, typename Op::Acc* acc, const T* const* rows, int64_t n) {
  using V = Vec<typename Op::Acc>;
  std::array<const T*, count> row;
  std::copy_n(rows, count, row.begin());
  for (int64_t i = 0; i + V::size <= n; i += V::size) {
    V sum = V::load(acc + i);
#pragma GCC unroll 8
    for (int64_t r = 0; r < count; ++r) {
      sum = op.step(sum, read_as<typename Op::Acc>(row[r] + i), 0);
    }
    sum.store(acc + i);
  }
}

/// Rows that are no longer than `vectors`, whose sums stay in registers.
template <int64_t vectors, class Op, class T>
void step_short_rows(const Op& op, typename Op::Acc* acc, const T* const* rows, int64_t count) {
  using V = Vec<typename Op::Acc>;
  V sum[vectors];
#pragma GCC unroll 16
  for (int64_t k = 0; k < vectors; ++k) sum[k] = V::load(acc + k * V::size);
  for (int64_t r = 0; r < count; ++r) {
#pragma GCC unroll 16
    for (int64_t k = 0; k < vectors; ++k) {
      sum[k] = op.step(sum[k], read_as<typename Op::Acc>(rows[r] + k * V::size), 0);
    }
  }
#pragma GCC unroll 16
  for (int64_t k = 0; k < vectors; ++k) sum[k].store(acc + k * V::size);
}

/// Short rows come from memory one after another: eight at once leave the hardware no direction.
template <class Op, class T>
void step_in_order(const Op& op, typename Op::Acc* acc, const T* const* rows, int64_t count,
                   int64_t n) {
  constexpr int64_t kLanes = Vec<typename Op::Acc>::size;
  if (n == 16 * kLanes) return step_short_rows<16>(op, acc, rows, count);
  if (n == 8 * kLanes) return step_short_rows<8>(op, acc, rows, count);
  if (n == 4 * kLanes) return step_short_rows<4>(op, acc, rows, count);
  for (int64_t r = 0; r < count; ++r) step_streams<1>(op, acc, rows + r, n);
}

/// As step_streams, a group of `count` rows, of which the index-th is the first.
template <class Op, class T>
void step_columns(const Op& op, typename Op::Acc* acc, const T* const* rows, int64_t count,
                  int64_t n, int64_t index, bool in_order) {
  using V = Vec<typename Op::Input>;
  using Columns = decltype(op.template columns<V>());
  Columns held[widest_row<Op>() / V::size];
  const int64_t vectors = n / V::size;
  std::fill_n(held, vectors, op.template columns<V>());
  const auto stream = [&]<int64_t streams>(int64_t first) {
    std::array<const T*, streams> row;
    std::copy_n(rows + first, streams, row.begin());
    const auto step = [&]<int64_t together>(int64_t i) {
      std::array<Columns, together> columns;
      std::copy_n(held + i, together, columns.begin());
#pragma GCC unroll 8
      for (int64_t r = 0; r < streams; ++r) {
#pragma GCC unroll 2
        for (int64_t k = 0; k < together; ++k) {
          const auto x = read_as<typename Op::Input>(row[r] + (i + k) * V::size);
          op.step(columns[k], x, first + r);
        }
      }
      std::copy_n(columns.begin(), together, held + i);
    };
    // Two vectors together: the processor takes one's steps while it waits for the other's.
    int64_t i = 0;
    for (; i + 2 <= vectors; i += 2) step.template operator()<2>(i);
    if (i < vectors) step.template operator()<1>(i);
  };
  int64_t r = 0;
  for (; !in_order && r + kStreams <= count; r += kStreams) {
    stream.template operator()<kStreams>(r);
  }
  for (; r < count; ++r) stream.template operator()<1>(r);
  for (int64_t i = 0; i < vectors; ++i) op.merge(acc + i * V::size, held[i], count, index);
}

/// `count` rows of `n` elements, the first of them the index-th, into a row of accumulators.
template <class Op, class T>
void step_rows(const Op& op, typename Op::Acc* acc, const T* const* rows, int64_t count, int64_t n,
               int64_t index, bool from_memory) {
  static_assert(takes<Op, Walk::kAcross, T>());
  const bool in_order = from_memory && n * static_cast<int64_t>(sizeof(T)) <= kShortRow;
  int64_t i = 0;
  if constexpr (HasColumns<Op>) {
    step_columns(op, acc, rows, count, n, index, in_order);
    i = n - n % Vec<typename Op::Input>::size;
  } else if constexpr (uses_lanes<Op>()) {
    if (in_order) {
      step_in_order(op, acc, rows, count, n);
    } else {
      int64_t r = 0;
      for (; r + kStreams <= count; r += kStreams) step_streams<kStreams>(op, acc, rows + r, n);
      for (; r < count; ++r) step_streams<1>(op, acc, rows + r, n);
    }
    i = n - n % Vec<typename Op::Acc>::size;
  }
  if (i == n) return;
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t k = i; k < n; ++k) {
      acc[k] = op.step(acc[k], static_cast<typename Op::Input>(rows[r][k]), index + r);
    }
  }
}

/// A row of `width` outputs, their elements begin..end.
template <class Op>
void across(const Op& op, const Reduction& shape, const Loader<typename Op::Input>& load,
            const char* base, int64_t width, int64_t begin, int64_t end, typename Op::Acc* row) {
  using Input = typename Op::Input;
  constexpr int64_t kRows = group_size<Op>();
  // What merges a group of rows at its end is given several to gather, too, as many as the second
  // cache holds.
  constexpr int64_t kGathered = HasColumns<Op> ? std::min<int64_t>(kRows, 32) : 1;
  // Apart by more than a power of two, which would put the same columns into one set of a cache.
  constexpr int64_t kApart = widest_row<Op>() + 64 / sizeof(Input);
  Input buffer[kGathered * kApart];
  Cursor cursor(shape, base, begin);
  const int64_t stride = shape.kept[0].in;
  const bool from_memory = worth_streaming(shape.count * shape.outputs * load.element_size);
  auto step_group = [&](int64_t from, int64_t to) {
    const auto as_they_lie = [&]<class T>(T) {
      const T* rows[kRows];
      for (int64_t r = 0; r < to - from; ++r, cursor.advance(1)) {
        rows[r] = reinterpret_cast<const T*>(cursor.at());
      }
      step_rows(op, row, rows, to - from, width, from, from_memory);
    };
    if (stride == load.element_size && as_they_are<Op, Walk::kAcross>(load, as_they_lie)) return;
    const Input* rows[kGathered];
    for (int64_t position = from; position < to; position += kGathered) {
      const int64_t count = std::min(kGathered, to - position);
      for (int64_t r = 0; r < count; ++r, cursor.advance(1)) {
        rows[r] = buffer + r * kApart;
        load.gather(buffer + r * kApart, cursor.at(), stride, width);
      }
      step_rows(op, row, rows, count, width, position, /*from_memory=*/false);
    }
  };
  // Where order is all that matters there is no rounding to keep small.
  const bool one_group = is_ordered<Op>() || end - begin <= kRows;
  Cascade<Op> cascade(op, width);
  for (int64_t position = begin; position < end; position += kRows) {
    if (position == begin || !one_group) std::fill(row, row + width, op.identity());
    step_group(position, std::min(end, position + kRows));
    if (!one_group) cascade.push(row);
  }
  if (!one_group) cascade.finish(row);
}

}  // namespace alt::reduce
