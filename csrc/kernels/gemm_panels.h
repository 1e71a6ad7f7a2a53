// Small products C (+)= A B by registers: A has a few rows, B is packed in panels. For products too
// short for a BLAS call, or whose result something wants while it is in the first-level cache (the
// gates of recurrent layers); gemm_blocked.h makes whole products of them.
//
// A panel is up to four groups, each a vector of columns: panel[k][group][lane]. The groups may be
// neighbours or lie anywhere (the gates of one vector of hidden units). A block keeps rows x groups
// accumulators in registers through all of k: 24 of the 32 registers of AVX-512 and NEON, 12 of the
// 16 of AVX2. k runs in order within an accumulator whatever the block, so an element's bits depend
// neither on how many rows there are nor on the threads.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "kernels/norm_lanes.h"
#include "kernels/square.h"
#include "loops/vec.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::blas {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kAccumulators = 24;
#else
inline constexpr int kAccumulators = 12;
#endif

inline constexpr int kMostGroups = 4;

/// Most rows of a block.
constexpr int block_rows(int groups) {
  return std::min(kAccumulators / groups, 12);
}

/// How many neighbouring vectors of columns make a panel: as many as registers allow, and so that
/// the last panel, which has what is left, is not much narrower.
template <class T>
int neighbours(int64_t columns) {
  const int64_t vectors = std::max<int64_t>(divide_up(columns, Vec<T>::size), 1);
  return static_cast<int>(divide_up(vectors, divide_up(vectors, kMostGroups)));
}

/// Where a block's result goes: group g of row r at data + r * row_stride + offset[g], of which the
/// first lanes[g] elements exist; added to what is there, or in its place.
template <class T>
struct Target {
  T* data;
  int64_t row_stride;
  std::array<int64_t, kMostGroups> offset{};
  std::array<int, kMostGroups> lanes{};
  std::array<bool, kMostGroups> add{};

  /// The groups that exist, which come first.
  int groups() const {
    return static_cast<int>(std::ranges::count_if(lanes, [](int count) { return count > 0; }));
  }
};

/// Rows of A: element (r, k) is data[r * stride + k * step].
template <class T>
struct Rows {
  const T* data;
  int64_t stride, step = 1;
};

/// Columns of B: group g of row k is the vector at data + k * step + g * lanes. Packed they are
/// side by side; a matrix that few rows of A are multiplied by is read where it lies.
template <class T>
struct Panel {
  const T* data;
  int64_t step;
};

/// What a block does with an element of A, in all lanes, and a vector of B.
template <class T>
struct FusedMultiplyAdd {
  static Vec<T> in_all_lanes(const T& element) { return Vec<T>(element); }
  static Vec<T> add(Vec<T> factor, Vec<T> b, Vec<T> sum) { return fma(factor, b, sum); }
};

/// Asks for the lines of the result, which lie in the last cache where the matrices are large,
/// while the sums are made: the steps of an LSTM are 8 % faster.
template <class T, int groups, int rows>
void fetch_target(const Target<T>& target) {
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      __builtin_prefetch(target.data + r * target.row_stride + target.offset[g], /*rw=*/1);
    }
  }
}

template <class T, int groups, int rows, class MultiplyAdd>
void multiply_block(int64_t depth, Rows<T> a, Panel<T> panel, const Target<T>& target) {
  using V = Vec<T>;
  constexpr int64_t depth_worth_fetching = 64;
  if (depth >= depth_worth_fetching) fetch_target<T, groups, rows>(target);
  V sum[rows][groups];
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) sum[r][g] = V(T(0));
  }
  for (int64_t k = 0; k < depth; ++k, panel.data += panel.step) {
    V b[groups];
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) b[g] = V::load(panel.data + g * V::size);
#pragma GCC unroll 24
    for (int r = 0; r < rows; ++r) {
      const V factor = MultiplyAdd::in_all_lanes(a.data[r * a.stride + k * a.step]);
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) sum[r][g] = MultiplyAdd::add(factor, b[g], sum[r][g]);
    }
  }
#pragma GCC unroll 24
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int g = 0; g < groups; ++g) {
      T* to = target.data + r * target.row_stride + target.offset[g];
      if (target.lanes[g] == V::size) {
        (target.add[g] ? sum[r][g] + V::load(to) : sum[r][g]).store(to);
      } else {
        const V before = target.add[g] ? kernels::load_lanes(to, target.lanes[g]) : V(T(0));
        kernels::store_lanes<T>(sum[r][g] + before, to, target.lanes[g]);
      }
    }
  }
}

template <class T>
using Block = void (*)(int64_t, Rows<T>, Panel<T>, const Target<T>&);

template <class T, int groups, class MultiplyAdd>
inline constexpr auto kBlocks = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Block<T>, sizeof...(i)>{&multiply_block<T, groups, i + 1, MultiplyAdd>...};
}(std::make_integer_sequence<int, block_rows(groups)>{});

/// function.operator()<groups>().
template <class Function>
auto visit_groups(int groups, Function&& function) {
  switch (groups) {
    case 1:
      return function.template operator()<1>();
    case 2:
      return function.template operator()<2>();
    case 3:
      return function.template operator()<3>();
    default:
      return function.template operator()<kMostGroups>();
  }
}

template <class T, class MultiplyAdd = FusedMultiplyAdd<T>>
Block<T> find_block(int groups, int64_t rows) {
  return visit_groups(groups, [rows]<int n>() { return kBlocks<T, n, MultiplyAdd>[rows - 1]; });
}

/// `count` columns of B in a group: to[k * width + lane], zero where there is no column. Columns
/// that lie along k are transposed in registers, a square of a vector's side or what is left of k
/// at a time.
template <class T>
void pack_group(const T* from, int64_t k_stride, int64_t column_stride, int count, int64_t depth,
                int64_t width, T* to) {
  constexpr int64_t side = Vec<T>::size;
  if (column_stride == 1 || count == 0) {
    for (int64_t k = 0; k < depth; ++k) {
      (count == side ? Vec<T>::load(from + k * k_stride)
                     : kernels::load_lanes(from + k * k_stride, count))
          .store(to + k * width);
    }
    return;
  }
  if (k_stride == 1 && count > side / 2) {
    kernels::for_lanes<T>(0, depth, [&](int64_t k, auto lanes) {
      Vec<T> square[side];
      for (int64_t lane = 0; lane < side; ++lane) {
        square[lane] = lane < count ? kernels::load_lanes(from + lane * column_stride + k, lanes)
                                    : Vec<T>(T(0));
      }
      kernels::transpose<T>(square);
      const int64_t rows = std::min(side, depth - k);
      for (int64_t row = 0; row < rows; ++row) square[row].store(to + (k + row) * width);
    });
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    for (int lane = 0; lane < side; ++lane) {
      to[k * width + lane] = lane < count ? from[k * k_stride + lane * column_stride] : T(0);
    }
  }
}

/// Columns that lie in memory as numbers do: element (k, column) is data[k * k_stride + column *
/// column_stride].
template <class T>
struct Columns {
  const T* data;
  int64_t k_stride, column_stride;

  /// `count` of them from the first on, as one group of a panel.
  void pack(int64_t first, int count, int64_t depth, int64_t width, T* to) const {
    pack_group(data + first * column_stride, k_stride, column_stride, count, depth, width, to);
  }
};

/// A panel, which `source` packs group by group, as Columns does. column(panel, group) is the first
/// column of a group; columns from end(group) on are zero.
template <class T, class Source, class Column, class End>
void pack_panel(const Source& source, int64_t panel, int groups, int64_t depth, Column&& column,
                End&& end, T* to) {
  constexpr int64_t side = Vec<T>::size;
  for (int g = 0; g < groups; ++g) {
    const int64_t first = column(panel, g);
    const auto count = static_cast<int>(std::clamp<int64_t>(end(g) - first, 0, side));
    source.pack(first, count, depth, groups * side, to + g * side);
  }
}

/// A matrix B in panels.
template <class T>
class Packed {
 public:
  template <class Source, class Column, class End>
  Packed(const Source& source, int64_t panels, int groups, int64_t depth, Column&& column,
         End&& end)
      : depth_(depth),
        groups_(groups),
        memory_(scratch(panels * depth * width())),
        data_(memory_.const_data_ptr<T>()) {
    T* to = memory_.mutable_data_ptr<T>();
    const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, depth * width()));
    parallel_for(0, panels, grain, [&](int64_t begin, int64_t stop) {
      for (int64_t p = begin; p < stop; ++p) {
        pack_panel(source, p, groups, depth, column, end, to + p * depth * width());
      }
    });
  }

  Panel<T> panel(int64_t index) const { return {data_ + index * depth_ * width(), width()}; }

  /// `count` rows of A times a panel, in blocks of about equal height; body(first_row, end_row)
  /// follows each block.
  template <class Body>
  void multiply(int64_t index, int64_t count, Rows<T> a, Target<T> target, Body&& body) const {
    const int most = block_rows(groups_);
    const int64_t blocks = (count + most - 1) / most;
    const T* const first = a.data;
    T* const data = target.data;
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t begin = i * count / blocks, end = (i + 1) * count / blocks;
      a.data = first + begin * a.stride;
      target.data = data + begin * target.row_stride;
      find_block<T>(target.groups(), end - begin)(depth_, a, panel(index), target);
      body(begin, end);
    }
  }

 private:
  int64_t width() const { return groups_ * Vec<T>::size; }

  static at::Tensor scratch(int64_t elements) {
    return at::empty(
        {elements},
        at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value).device(at::kPrivateUse1));
  }

  int64_t depth_;
  int groups_;
  at::Tensor memory_;
  const T* data_;
};

}  // namespace alt::blas
