// The walk along the reduced dimension (reduce.h): an output at a time, its elements as runs.
#pragma once

#include <algorithm>
#include <utility>

#include "loops/lanes.h"
#include "loops/reduce_operator.h"

namespace alt::reduce {

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
  if constexpr (HasBlockOf<Op, T>) {
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
    using Input = typename Op::Input;
    constexpr int64_t kParts = 8;
    Acc parts[kParts];
    std::fill(parts, parts + kParts, op.identity());
    int64_t i = 0;
    for (; i + kParts <= n; i += kParts) {
      for (int64_t k = 0; k < kParts; ++k) {
        parts[k] = op.step(parts[k], static_cast<Input>(x[i + k]), index + i + k);
      }
    }
    for (int64_t k = 0; i < n; ++i, ++k) {
      parts[k] = op.step(parts[k], static_cast<Input>(x[i]), index + i);
    }
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

}  // namespace alt::reduce
