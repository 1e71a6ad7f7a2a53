// The loops of a product of our own: columns of C in ranges that a packed B of 512 KiB covers (half
// of a second-level cache), k in ranges of 256, blocks of some six rows, panels of B, and in the
// registers k again (gemm_panels.h). A block's rows of A stay in the first-level cache for all
// panels; where A is transposed they are packed there, a masked vector for each k. B is packed once
// for its range of k and columns, by all threads, which then share out the rows of C, or its
// columns where they are more: the layout reads any strides, so a transposed operand costs no copy
// of its own. For few rows of A a B of whole vectors is read where it lies.
//
// A and B are a Matrix, or what has rows_of, columns_from, is_read_in_place and skip as a Matrix
// has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "kernels/blas.h"
#include "kernels/gemm_panels.h"
#include "kernels/gemm_strips.h"
#include "runtime/thread_pool.h"

namespace alt::blas {

inline constexpr int64_t kDepth = 256;
inline constexpr int64_t kPackedBytes = 512 * 1024;
inline constexpr int64_t kBlocksAtOnce = 4;
inline constexpr double kOperationsWorthAThread = 1e6;  // about 10 us of a core
inline constexpr int64_t kTasksAThread = 2;
inline constexpr int kMostRows = kBlocksAtOnce * 12;
inline constexpr int kSecondLevel = 2;  // of the cache, in __builtin_prefetch's numbers

/// Rows [row, row + count) of A for k in [k, k + depth): where they are, or packed in `buffer`.
/// Then each k is in a page of its own, which no hardware fetches ahead: the lines of the next rows
/// are asked for here, and come while these are multiplied.
template <class T>
Rows<T> rows_of(Matrix<T> a, int64_t row, int64_t count, int64_t k, int64_t depth, T* buffer) {
  if (!a.transposed) return {a.data + row * a.stride + k, a.stride};
  const T* from = a.data + k * a.stride + row;
  for (int64_t i = 0; i < depth; ++i, from += a.stride) {
    __builtin_prefetch(from + count, 0, kSecondLevel);
    __builtin_prefetch(from + 2 * count - 1, 0, kSecondLevel);
    kernels::for_lanes<T>(0, count, [&](int64_t r, auto lanes) {
      kernels::store_lanes<T>(kernels::load_lanes(from + r, lanes), buffer + i * count + r, lanes);
    });
  }
  return {buffer, 1, count};
}

/// B's columns from row k on.
template <class T>
Columns<T> columns_from(const Matrix<T>& b, int64_t k) {
  return b.transposed ? Columns<T>{b.data + k, 1, b.stride}
                      : Columns<T>{b.data + k * b.stride, b.stride, 1};
}

template <class MultiplyAdd, class M, class T>
void multiply(int64_t m, int64_t n, int64_t k, const M& a, const M& b, bool add, T* c,
              int64_t c_stride) {
  const int groups = neighbours<T>(n), most = block_rows(groups);
  const int64_t width = groups * Vec<T>::size;
  const int64_t range = std::max<int64_t>(1, kPackedBytes / (kDepth * width * sizeof(T)));
  const int64_t blocks = (m + most - 1) / most;
  const bool in_place = is_read_in_place(m, n, b);
  for (int64_t first = 0; first < n; first += range * width) {
    const int64_t panels = std::min(range, (n - first + width - 1) / width);
    for (int64_t l = 0; l < std::max<int64_t>(k, 1); l += kDepth) {
      const int64_t depth = std::min(kDepth, k - l);
      const auto source = columns_from(b, l);
      std::optional<Packed<T>> packed;
      if (!in_place) {
        packed.emplace(
            source, panels, groups, depth,
            [&](int64_t panel, int64_t g) { return first + panel * width + g * Vec<T>::size; },
            [&](int64_t) { return n; });
      }
      const auto columns = [&](int64_t panel) {
        if constexpr (std::is_same_v<M, Matrix<T>>) {
          if (in_place) return Panel<T>{source.data + first + panel * width, source.k_stride};
        }
        return packed->panel(panel);
      };
      const double operations =
          2.0 * static_cast<double>(m * depth) * static_cast<double>(panels * width);
      const int64_t tasks =
          std::clamp<int64_t>(static_cast<int64_t>(operations / kOperationsWorthAThread), 1,
                              std::min<int64_t>(blocks, kTasksAThread * num_threads()));
      parallel_for(0, tasks, 1, [&](int64_t first_task, int64_t last_task) {
        alignas(64) std::array<T, kDepth * kMostRows> buffer;
        const auto row_of = [&](int64_t block) { return block * m / blocks; };
        const int64_t stop = last_task * blocks / tasks;
        for (int64_t begin_block = first_task * blocks / tasks; begin_block < stop;
             begin_block += kBlocksAtOnce) {
          const int64_t end_block = std::min(begin_block + kBlocksAtOnce, stop);
          const int64_t first_row = row_of(begin_block);
          const Rows<T> rows =
              rows_of(a, first_row, row_of(end_block) - first_row, l, depth, buffer.data());
          for (int64_t i = begin_block; i < end_block; ++i) {
            const int64_t row = row_of(i), count = row_of(i + 1) - row;
            const Rows<T> block_rows{rows.data + (row - first_row) * rows.stride, rows.stride,
                                     rows.step};
            Target<T> to{c + row * c_stride, c_stride};
            to.add.fill(add || l > 0);
            for (int64_t panel = 0; panel < panels; ++panel) {
              for (int g = 0; g < groups; ++g) {
                to.offset[g] = first + panel * width + g * Vec<T>::size;
                to.lanes[g] =
                    static_cast<int>(std::clamp<int64_t>(n - to.offset[g], 0, Vec<T>::size));
              }
              find_block<T, MultiplyAdd>(to.groups(), count)(depth, block_rows, columns(panel), to);
            }
          }
        }
      });
    }
  }
}

/// Rows are split among the threads in `multiply`, where they share a packed B; columns here.
template <class MultiplyAdd, class M, class T>
void multiply_in_threads(int64_t m, int64_t n, int64_t k, const M& a, const M& b, bool add, T* c,
                         int64_t c_stride) {
  if (m >= n) return multiply<MultiplyAdd>(m, n, k, a, b, add, c, c_stride);
  for_strips(m, n, k, a, b, c, c_stride,
             [&](int64_t rows, int64_t columns, const M& left, const M& right, T* to) {
               multiply<MultiplyAdd>(rows, columns, k, left, right, add, to, c_stride);
             });
}

}  // namespace alt::blas
