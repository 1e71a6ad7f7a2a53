// What a reduction's operator says of itself (reduce.h), and the order in which its parts are
// combined.
#pragma once

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "loops/reduce_shape.h"
#include "loops/vec.h"

namespace alt::reduce {

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

/// Whether an operator takes contiguous elements of T: its Inputs, or what lanes widen to them. Of
/// those that are counted and summed in int64, the common ones: each is one more loop to compile.
template <class Op, Walk walk, class T>
constexpr bool takes() {
  using Input = typename Op::Input;
  if constexpr (std::is_same_v<T, Input>) return true;
  if constexpr (std::is_same_v<Input, int64_t>) {  // the compiler's lanes
    const bool is_counted = std::is_same_v<T, bool> || std::is_same_v<T, int32_t>;
    return is_counted && walk == Walk::kAlong && std::is_same_v<Input, typename Op::Acc> &&
           !is_ordered<Op>() && !HasBlock<Op>;
  }
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
  return as(typename Op::Input{}) || as(float{}) || as(at::Half{}) || as(at::BFloat16{}) ||
         as(bool{}) || as(int32_t{});
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

}  // namespace alt::reduce
