// The machinery of reductions: walks what is reduced, at any stride and dtype, in vector lanes and
// in parallel, for an operator that is a struct of four small functions (csrc/ops/reduction.h):
//
//   struct Operator {
//     using Input;                                // what an element becomes on load
//     using Acc;                                  // what is kept while reducing
//     Acc identity() const;
//     Acc step(Acc, Input, int64_t index) const;  // one more element, the index-th of its output
//     Acc combine(Acc, Acc) const;                // the left one's elements come first
//     A or Two<A, B> project(Acc, int64_t count) const;  // one output or two, cast on store
//   };
//
// An operator whose Acc is its Input and whose functions take Vec<T> as well says
// `static constexpr bool lanes = true`. One that knows better how to reduce a contiguous run has
// `Acc block(const Input*, int64_t n, int64_t index) const`. One whose Acc is more than a number
// says how a vector of columns goes down a group of rows: `Columns<V> columns() const` to begin
// with, `void step(Columns<V>&, V x, int64_t row) const`, and `void merge(Acc*, const Columns<V>&,
// int64_t count, int64_t index) const` into the accumulators of its lanes, where the group is of
// `count` rows, the first of them the index-th. `group` says how many at most. `static constexpr
// bool ordered = true`: elements come in order, and combining rounds nothing.
//
// Order of summation, the same for every thread count and every split, so results are reproducible:
//   the reduced extent is cut in chunks of a size that only the shape decides, a chunk in blocks of
//   at most kBlock elements (or group_size rows), and blocks, then chunks, are combined pairwise as
//   a binary counter does. Inside a block, lanes and kChains accumulators a lane, and the blocks of
//   a run in lanes are added chain to chain, one after another: where each met its neighbour, 200
//   ns went by in which no memory was read. The error of a float sum grows with kBlock / 128 +
//   kChunk / kBlock + log2(n), not with n.
//
// Two ways to walk, by which dimension has the smaller stride:
//   along:  the reduced dimension is the near one: an output at a time, its elements as runs.
//   across: the kept dimension is the near one: a row of outputs at a time, one reduced index after
//           another stepped into a row of accumulators.
// Elements that are not contiguous in the operator's Input type are gathered and cast, kGather at a
// time, into a buffer that stays in the first cache level.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "dispatch/host_call.h"
#include "loops/cuda/reduce.h"
#include "loops/dtype.h"
#include "loops/lanes.h"
#include "loops/reduce_shape.h"
#include "loops/stream.h"
#include "loops/vec.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt {

namespace reduce {

inline constexpr int64_t kBlock = 4096;      // elements of a contiguous run at once: 16 KiB
inline constexpr int64_t kChains = 8;        // vectors of sums of a run
inline constexpr int64_t kStreams = 8;       // rows that are read at once
inline constexpr int64_t kGather = 512;      // elements gathered at once
inline constexpr int64_t kGroup = 16;        // rows stepped one by one between combinations
inline constexpr int64_t kChunk = 1 << 16;   // elements of a unit of parallel work
inline constexpr int64_t kSerial = 1 << 15;  // elements that are not worth a second thread
inline constexpr int64_t kLarge = 1 << 20;   // elements that no second-level cache holds
inline constexpr int64_t kShortRow = 2048;   // bytes of rows that are read one after another
inline constexpr int64_t kShortRun = 16;     // runs below this are better walked across

template <class Op>
constexpr bool uses_lanes() {
  if constexpr (requires { Op::lanes; }) {
    return Op::lanes && has_vec_v<typename Op::Acc>;
  } else {
    return false;
  }
}

template <class Op>
constexpr bool is_ordered() {
  return requires { Op::ordered; };
}

/// Rows of outputs between combinations.
template <class Op>
constexpr int64_t group_size() {
  if constexpr (requires { Op::group; }) {
    return Op::group;
  } else {
    return kGroup;
  }
}

template <class Op>
concept HasColumns = has_vec_v<typename Op::Input> &&
                     requires(const Op& op) { op.template columns<Vec<typename Op::Input>>(); };

/// Outputs of a row at once, at most, and where `elements` are reduced. Of many whole pages are
/// read, where rows are streams (step_streams); narrower rows are more, for more threads.
template <class Op>
constexpr int64_t widest_row() {
  return uses_lanes<Op>() || HasColumns<Op> ? kRow : kRow / 2;
}
template <class Op>
int64_t row_width(int64_t elements) {
  return elements >= kLarge ? widest_row<Op>() : kRow / 2;
}

/// Whether block() takes elements of T.
template <class Op, class T>
concept HasBlockOf = requires(const Op& op, const T* x) { op.block(x, 1, 0); };

template <class Op>
concept HasBlock = HasBlockOf<Op, typename Op::Input>;

enum class Walk { kAlong, kAcross };

/// Whether an operator takes contiguous elements of T: its Inputs, or what lanes widen to them.
template <class Op, Walk walk, class T>
constexpr bool takes() {
  using Input = typename Op::Input;
  if constexpr (std::is_same_v<T, Input>) return true;
  const bool widens = std::is_same_v<Input, float>
                          ? std::is_same_v<T, at::Half> || std::is_same_v<T, at::BFloat16>
                          : std::is_same_v<Input, double> && std::is_same_v<T, float>;
  if constexpr (walk == Walk::kAcross && HasColumns<Op>) return widens;
  if constexpr (walk == Walk::kAlong && HasBlock<Op>) return widens && HasBlockOf<Op, T>;
  return widens && uses_lanes<Op>() && std::is_same_v<Input, typename Op::Acc>;
}

/// Calls body(T{}), where elements in memory are T and the operator takes them so; else returns
/// false.
template <class Op, Walk walk, class Body>
bool as_they_are(const Loader<typename Op::Input>& load, Body&& body) {
  const auto as = [&]<class T>(T zero) {
    if constexpr (takes<Op, walk, T>()) {
      if (load.dtype != c10::CppTypeToScalarType<T>::value) return false;
      body(zero);
      return true;
    } else {
      return false;
    }
  };
  if (load.same_dtype) {
    body(typename Op::Input{});
    return true;
  }
  return as(float{}) || as(at::Half{}) || as(at::BFloat16{});
}

/// Elements of a contiguous run that block() takes at once.
template <class Op>
constexpr int64_t longest_run() {
  return uses_lanes<Op>() && !HasBlock<Op> ? kChunk : kBlock;
}

/// Pairwise combination of rows of `width` accumulators that arrive in order.
template <class Op>
class Cascade {
 public:
  using Acc = typename Op::Acc;
  Cascade(const Op& op, int64_t width) : op_(op), width_(width) {}

  void push(const Acc* row) {
    int64_t level = 0;
    for (uint64_t taken = pushed_++; taken & 1; taken >>= 1) ++level;
    if ((level + 1) * width_ > static_cast<int64_t>(levels_.size())) {
      levels_.resize(static_cast<size_t>((level + 1) * width_), op_.identity());
    }
    Acc* top = &levels_[static_cast<size_t>(level * width_)];
    if (level == 0) {
      std::copy(row, row + width_, top);
      return;
    }
    combine(top, &levels_[0], row);
    for (int64_t below = 1; below < level; ++below) {
      combine(top, &levels_[static_cast<size_t>(below * width_)], top);
    }
  }

  void finish(Acc* row) const {
    bool first = true;
    int64_t level = 0;
    for (uint64_t left = pushed_; left != 0; left >>= 1, ++level) {
      if (!(left & 1)) continue;
      const Acc* held = &levels_[static_cast<size_t>(level * width_)];
      if (first) {
        std::copy(held, held + width_, row);
        first = false;
      } else {
        combine(row, held, row);
      }
    }
    if (first) std::fill(row, row + width_, op_.identity());
  }

 private:
  void combine(Acc* to, const Acc* left, const Acc* right) const {
    int64_t i = 0;
    if constexpr (uses_lanes<Op>()) {
      using V = Vec<Acc>;
      for (; i + V::size <= width_; i += V::size) {
        op_.combine(V::load(left + i), V::load(right + i)).store(to + i);
      }
    }
    for (; i < width_; ++i) to[i] = op_.combine(left[i], right[i]);
  }

  const Op& op_;
  int64_t width_;
  uint64_t pushed_ = 0;
  c10::SmallVector<Acc, 48> levels_;  // on the stack for one output of any length
};

/// `count` vectors combined by halves.
template <int64_t count, class Op, class V>
V fold_chains(const Op& op, const V* sum) {
  if constexpr (count == 1) {
    return *sum;
  } else {
    return op.combine(fold_chains<count / 2>(op, sum), fold_chains<count / 2>(op, sum + count / 2));
  }
}

/// The sums of a run, of an operator in lanes. Unrolled, they stay in registers: stores of whole
/// vectors would cost more than a short run.
template <class Op>
class Chains {
  using V = Vec<typename Op::Acc>;

 public:
  explicit Chains(const Op& op) : op_(op) {
#pragma GCC unroll 8
    for (int64_t k = 0; k < kChains; ++k) sums_[k] = V(op.identity());
  }

  /// As many of `n` elements as all chains take together; how many these were.
  template <class T>
  [[gnu::always_inline]] int64_t step(const T* x, int64_t n) {
    int64_t i = 0;
    for (; i + kChains * V::size <= n; i += kChains * V::size) {
#pragma GCC unroll 8
      for (int64_t k = 0; k < kChains; ++k) {
        sums_[k] = op_.step(sums_[k], read_as<typename Op::Acc>(x + i + k * V::size), 0);
      }
    }
    return i;
  }
  /// One vector.
  template <class T>
  [[gnu::always_inline]] void step(const T* x) {
    sums_[0] = op_.step(sums_[0], read_as<typename Op::Acc>(x), 0);
  }
  [[gnu::always_inline]] void combine(const Chains& other) {
#pragma GCC unroll 8
    for (int64_t k = 0; k < kChains; ++k) sums_[k] = op_.combine(sums_[k], other.sums_[k]);
  }
  [[gnu::always_inline]] typename Op::Acc fold() const {
    return fold_lanes(fold_chains<kChains>(op_, sums_),
                      [this](V a, V b) { return op_.combine(a, b); });
  }

 private:
  const Op& op_;
  V sums_[kChains];
};

/// Contiguous elements to one accumulator.
template <class Op, class T>
typename Op::Acc block(const Op& op, const T* x, int64_t n, int64_t index) {
  using Acc = typename Op::Acc;
  static_assert(takes<Op, Walk::kAlong, T>());
  if constexpr (HasBlock<Op>) {
    return op.block(x, n, index);
  } else if constexpr (uses_lanes<Op>()) {
    using V = Vec<Acc>;
    Acc result = op.identity();
    int64_t i = 0;
    if (n >= V::size) {
      Chains<Op> sum(op);
      for (; n - i > kBlock; i += kBlock) {
        Chains<Op> part(op);
        part.step(x + i, kBlock);
        sum.combine(part);
      }
      i += sum.step(x + i, n - i);
      for (; i + V::size <= n; i += V::size) sum.step(x + i);
      result = sum.fold();
    }
    for (; i < n; ++i) result = op.step(result, static_cast<Acc>(x[i]), 0);
    return result;
  } else if constexpr (!is_ordered<Op>()) {
    // Eight partial results, for the compiler to hold in lanes.
    constexpr int64_t kParts = 8;
    Acc parts[kParts];
    std::fill(parts, parts + kParts, op.identity());
    int64_t i = 0;
    for (; i + kParts <= n; i += kParts) {
      for (int64_t k = 0; k < kParts; ++k) parts[k] = op.step(parts[k], x[i + k], index + i + k);
    }
    for (int64_t k = 0; i < n; ++i, ++k) parts[k] = op.step(parts[k], x[i], index + i);
    for (int64_t width = kParts / 2; width > 0; width /= 2) {
      for (int64_t k = 0; k < width; ++k) parts[k] = op.combine(parts[k], parts[k + width]);
    }
    return parts[0];
  } else {
    Acc result = op.identity();
    for (int64_t i = 0; i < n; ++i) result = op.step(result, x[i], index + i);
    return result;
  }
}

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
    for (int64_t r = 0; r < count; ++r)
      sum = op.step(sum, read_as<typename Op::Acc>(row[r] + i), 0);
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

/// A run as it lies in memory, where lies_in_runs().
template <class Op>
typename Op::Acc block_as_it_lies(const Op& op, const Loader<typename Op::Input>& load,
                                  const char* x, int64_t n, int64_t index) {
  typename Op::Acc result = op.identity();
  as_they_are<Op, Walk::kAlong>(
      load, [&]<class T>(T) { result = block(op, reinterpret_cast<const T*>(x), n, index); });
  return result;
}

/// Whether elements that are reduced are neighbours in memory that need no gathering.
template <class Op>
bool lies_in_runs(const Reduction& shape, const Loader<typename Op::Input>& load) {
  return as_they_are<Op, Walk::kAlong>(load, [](auto) {}) &&
         (shape.reduced.empty() || shape.reduced[0].in == load.element_size);
}

/// Whether all elements of an output are.
template <class Op>
bool is_one_run(const Reduction& shape, const Loader<typename Op::Input>& load) {
  return shape.reduced.size() <= 1 && lies_in_runs<Op>(shape, load);
}

/// One output's elements begin..end.
template <class Op>
typename Op::Acc along(const Op& op, const Reduction& shape, const Loader<typename Op::Input>& load,
                       const char* base, int64_t begin, int64_t end) {
  using Input = typename Op::Input;
  const int64_t stride = shape.reduced.empty() ? 0 : shape.reduced[0].in;
  const bool direct = lies_in_runs<Op>(shape, load);
  Input buffer[kGather];
  Cursor cursor(shape, base, begin);

  auto next = [&](int64_t position) {
    int64_t left = end - position;
    if (direct) {
      int64_t n = std::min({left, cursor.run(), longest_run<Op>()});
      if (n == left || n >= kGather / 4) {
        auto result = block_as_it_lies(op, load, cursor.at(), n, position);
        cursor.advance(n);
        return std::pair(result, n);
      }
    }
    int64_t filled = 0;
    for (const int64_t wanted = std::min(left, kGather); filled < wanted;) {
      int64_t n = std::min(wanted - filled, cursor.run());
      load.gather(buffer + filled, cursor.at(), stride, n);
      cursor.advance(n);
      filled += n;
    }
    return std::pair(block(op, buffer, filled, position), filled);
  };

  auto [first, taken] = next(begin);
  if (begin + taken >= end) return first;
  Cascade<Op> cascade(op, 1);
  cascade.push(&first);
  for (int64_t position = begin + taken; position < end;) {
    auto [result, n] = next(position);
    cascade.push(&result);
    position += n;
  }
  cascade.finish(&first);
  return first;
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

inline bool walks_across(const Reduction& shape) {
  if (shape.kept.empty() || shape.reduced.empty()) return false;
  const auto& kept = shape.kept[0];
  const auto& reduced = shape.reduced[0];
  if (std::abs(kept.in) < std::abs(reduced.in)) return kept.size > 4 || kept.size > reduced.size;
  return reduced.size < kShortRun && kept.size > reduced.size;
}

}  // namespace reduce

/// Reduces `shape` by `op`, whose kernel on a GPU is `on_gpu`; where there is nothing to reduce,
/// nothing is written. `special` replaces the cast on load, for what is reduced as something else
/// than itself (complex numbers as magnitudes).
template <class Op>
void run_reduction(const Reduction& shape, const Op& op, const cuda::ReductionKernel& on_gpu,
                   ConvertFunction special = nullptr) {
  using namespace reduce;
  using Acc = typename Op::Acc;
  if (shape.count * shape.outputs == 0) return;
  if (cuda::on_gpu()) {
    cuda::reduce(shape, on_gpu);
    return;
  }
  const Loader<typename Op::Input> load(shape, special);
  const Storer<Op> storer(shape);
  const bool is_across = walks_across(shape);
  const int64_t work = shape.count * shape.outputs;
  const int64_t width =
      is_across ? row_width<Op>(work) : std::clamp<int64_t>(kSerial / shape.count, 1, kRow);
  const Rows rows(shape, width);
  const int64_t chunk =
      is_across ? std::max<int64_t>(group_size<Op>(), kChunk / rows.width) : kChunk;
  const int64_t chunks = (shape.count + chunk - 1) / chunk;

  auto reduce_chunk = [&](const Rows::Row& row, int64_t index, Acc* to) {
    const int64_t begin = index * chunk, end = std::min(begin + chunk, shape.count);
    if (is_across) {
      across(op, shape, load, row.in, row.width, begin, end, to);
      return;
    }
    const int64_t apart = shape.kept.empty() ? 0 : shape.kept[0].in;
    if (end - begin <= longest_run<Op>() && is_one_run<Op>(shape, load)) {
      const int64_t offset = begin * load.element_size;
      for (int64_t i = 0; i < row.width; ++i) {
        to[i] = block_as_it_lies(op, load, row.in + i * apart + offset, end - begin, begin);
      }
      return;
    }
    for (int64_t i = 0; i < row.width; ++i) {
      to[i] = along(op, shape, load, row.in + i * apart, begin, end);
    }
  };
  auto finish_row = [&](const Rows::Row& row, auto&& chunk_result) {
    Acc result[kRow];
    if (chunks == 1) {
      storer.store(op, chunk_result(0, result), row.width, row.out, rows.stride());
      return;
    }
    Cascade<Op> cascade(op, row.width);
    for (int64_t index = 0; index < chunks; ++index) cascade.push(chunk_result(index, result));
    cascade.finish(result);
    storer.store(op, result, row.width, row.out, rows.stride());
  };
  auto whole_rows = [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const auto row = rows[r];
      finish_row(row, [&](int64_t index, Acc* buffer) -> const Acc* {
        reduce_chunk(row, index, buffer);
        return buffer;
      });
    }
  };

  if (work <= kSerial) {
    whole_rows(0, rows.count);
  } else if (chunks == 1 || rows.count >= 4 * num_threads()) {
    const int64_t grain = std::max<int64_t>(1, kSerial / (shape.count * rows.width));
    parallel_for(0, rows.count, grain, whole_rows);
  } else {
    // Few outputs: threads share the reduced extent, and the chunks meet in the order they have.
    std::vector<Acc> parts(static_cast<size_t>(rows.count * chunks * rows.width), op.identity());
    auto part = [&](int64_t r, int64_t index) {
      return &parts[static_cast<size_t>((r * chunks + index) * rows.width)];
    };
    parallel_for(0, rows.count * chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t unit = first; unit < last; ++unit) {
        const int64_t r = unit / chunks, index = unit % chunks;
        reduce_chunk(rows[r], index, part(r, index));
      }
    });
    for (int64_t r = 0; r < rows.count; ++r) {
      finish_row(rows[r], [&](int64_t index, Acc*) -> const Acc* { return part(r, index); });
    }
  }
}

/// The dtype that elements of `dtype` are reduced in.
inline at::ScalarType reduction_dtype(at::ScalarType dtype) {
  if (dtype == at::kHalf || dtype == at::kBFloat16) return at::kFloat;
  // int64 holds every integer but the largest of uint64.
  return at::isIntegralType(dtype, /*includeBool=*/true) && dtype != at::kUInt64 ? at::kLong
                                                                                 : dtype;
}

using RealReduction = TypeList<float, double, int64_t>;
using RealAndComplexReduction = concat_t<RealReduction, ComplexTypes>;

/// Reduces what the iterator holds; an output of no elements is the operator's identity.
template <class Op>
void run_reduction(at::TensorIteratorBase& iter, const Op& op, const cuda::ReductionKernel& on_gpu,
                   ConvertFunction special = nullptr) {
  if (iter.numel() != 0) {
    const Reduction shape(iter);
    if (cuda::on_gpu() && !cuda::fits(shape)) {
      HostCall host_call(on_gpu.name);
      host_call.operands(iter);
      host_call.run([&] { run_reduction(iter, op, on_gpu, special); });
      return;
    }
    run_reduction(shape, op, on_gpu, special);
    return;
  }
  const auto result = op.project(op.identity(), 0);
  if constexpr (reduce::is_two_v<std::remove_const_t<decltype(result)>>) {
    iter.tensor(0).fill_(result.first);
    if (iter.noutputs() == 2) iter.tensor(1).fill_(result.second);
  } else {
    iter.tensor(0).fill_(result);
  }
}

/// A reduction as a DispatchStub calls it; `row` is its name in ops.yaml, or on a GPU.
template <template <class> class Op, class Types>
void reduction_stub(at::TensorIterator& iter, const char* row) {
  visit<Types>(reduction_dtype(iter.input_dtype()), Op<float>::name,
               [&]<class T>() { run_reduction(iter, Op<T>{}, {row}); });
}
template <template <class> class Op>
void truth_reduction_stub(at::TensorIterator& iter, const char* row) {
  run_reduction(iter, Op<bool>{}, {row});
}

}  // namespace alt
