// A product of our own, of float, double or bfloat16.
//
// Loops: columns of C in ranges that a packed B of 512 KiB covers (half of a second-level cache), k
// in ranges of 256, blocks of some six rows, panels of B, and in the registers k again
// (gemm_panels.h). A block's rows of A stay in the first-level cache for all panels; where A is
// transposed they are packed there, a masked vector for each k. B is packed once for its range of k
// and columns, by all threads, which then share out the rows of C, or its columns where they are
// more: the layout reads any strides, so a transposed operand costs no copy of its own. For few
// rows of A a B of whole vectors is read where it lies.
//
// Of bfloat16 the elements are pairs, (k, k + 1) of a row of A and of a column of B: four bytes, so
// that a matrix of pairs is laid out and packed as one of floats is. An instruction of AVX-512
// multiplies two pairs a lane and adds both products to a float.
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "kernels/blas.h"
#include "kernels/gemm_panels.h"
#include "kernels/gemm_strips.h"
#include "runtime/rounding.h"

namespace alt::blas {
namespace {

constexpr int64_t kDepth = 256;
constexpr int64_t kPackedBytes = 512 * 1024;
constexpr int64_t kBlocksAtOnce = 4;
constexpr double kOperationsWorthAThread = 1e6;  // about 10 us of a core
constexpr int64_t kTasksAThread = 2;
constexpr int kMostRows = kBlocksAtOnce * 12;
constexpr int kSecondLevel = 2;  // of the cache, in __builtin_prefetch's numbers

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

template <class T, class MultiplyAdd = FusedMultiplyAdd<T>>
void multiply(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
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
      const int64_t k_stride = b.transposed ? 1 : b.stride;
      const int64_t column_stride = b.transposed ? b.stride : 1;
      std::optional<Packed<T>> packed;
      if (!in_place) {
        packed.emplace(
            b.data + l * k_stride, panels, groups, depth, k_stride, column_stride,
            [&](int64_t panel, int64_t g) { return first + panel * width + g * Vec<T>::size; },
            [&](int64_t) { return n; });
      }
      const auto columns = [&](int64_t panel) {
        return packed ? packed->panel(panel)
                      : Panel<T>{b.data + l * b.stride + first + panel * width, b.stride};
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
            const auto block = find_block<T, MultiplyAdd>(groups, count);
            Target<T> to{c + row * c_stride, c_stride};
            to.add.fill(add || l > 0);
            for (int64_t panel = 0; panel < panels; ++panel) {
              for (int g = 0; g < groups; ++g) {
                to.offset[g] = first + panel * width + g * Vec<T>::size;
                to.lanes[g] =
                    static_cast<int>(std::clamp<int64_t>(n - to.offset[g], 0, Vec<T>::size));
              }
              block(depth, block_rows, columns(panel), to);
            }
          }
        }
      });
    }
  }
}

/// Rows are split among the threads in `multiply`, where they share a packed B; columns here.
template <class T, class MultiplyAdd = FusedMultiplyAdd<T>>
void multiply_in_threads(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                         int64_t c_stride) {
  if (m >= n) return multiply<T, MultiplyAdd>(m, n, k, a, b, add, c, c_stride);
  for_strips(m, n, k, a, b, c, c_stride,
             [&](int64_t rows, int64_t columns, Matrix<T> left, Matrix<T> right, T* to) {
               multiply<T, MultiplyAdd>(rows, columns, k, left, right, add, to, c_stride);
             });
}

}  // namespace

template <class T>
void gemm_blocked(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                  int64_t c_stride) {
  multiply_in_threads(m, n, k, a, b, add, c, c_stride);
}

#if defined(__AVX512BF16__)
namespace {

/// Of pairs, whose bits stand in floats. They are moved as integers: none of them is a number.
struct PairProduct {
  static Vec<float> in_all_lanes(const float& pair) {
    int32_t bits;
    std::memcpy(&bits, &pair, sizeof(bits));
    return (Vec<float>::Native)_mm512_set1_epi32(bits);
  }
  static Vec<float> add(Vec<float> a, Vec<float> b, Vec<float> sum) {
    return (Vec<float>::Native)_mm512_dpbf16_ps((__m512)sum.native, (__m512bh)a.native,
                                                (__m512bh)b.native);
  }
};

/// A matrix as pairs along its rows (A) or along its columns (B): in place where they lie side by
/// side in memory, else in memory of its own. An odd last element is paired with zero.
class Pairs {
 public:
  Pairs(Matrix<at::BFloat16> from, int64_t rows, int64_t columns, bool along_rows) {
    const bool side_by_side = along_rows != from.transposed;
    const int64_t depth = along_rows ? columns : rows, others = along_rows ? rows : columns;
    if (side_by_side && depth % 2 == 0 && from.stride % 2 == 0) {
      matrix_ = {reinterpret_cast<const float*>(from.data), from.stride / 2, from.transposed};
      return;
    }
    const int64_t pairs = (depth + 1) / 2, inner = side_by_side ? pairs : others;
    memory_ = at::empty({(side_by_side ? others : pairs) * inner},
                        at::TensorOptions().dtype(at::kFloat).device(at::kPrivateUse1));
    matrix_ = {memory_.const_data_ptr<float>(), inner, from.transposed};
    auto* const joined = reinterpret_cast<uint32_t*>(memory_.mutable_data_ptr<float>());
    const auto* data = reinterpret_cast<const uint16_t*>(from.data);
    const int64_t grain = 16384 / std::max<int64_t>(inner, 1) + 1;
    parallel_for(0, side_by_side ? others : pairs, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        uint32_t* const to = joined + i * inner;
        if (side_by_side) {
          join(data + i * from.stride, data + i * from.stride + 1, 2, depth / 2, to);
          if (depth % 2 == 1) to[pairs - 1] = data[i * from.stride + depth - 1];
        } else if (2 * i + 1 < depth) {
          join(data + 2 * i * from.stride, data + (2 * i + 1) * from.stride, 1, others, to);
        } else {
          std::copy_n(data + 2 * i * from.stride, others, to);
        }
      }
    });
  }

  Matrix<float> matrix() const { return matrix_; }

 private:
  static void join(const uint16_t* low, const uint16_t* high, int64_t step, int64_t count,
                   uint32_t* to) {
    for (int64_t i = 0; i < count; ++i) to[i] = low[i * step] | uint32_t{high[i * step]} << 16;
  }

  at::Tensor memory_;
  Matrix<float> matrix_;
};

}  // namespace

void gemm_bfloat16(int64_t m, int64_t n, int64_t k, Matrix<at::BFloat16> a, Matrix<at::BFloat16> b,
                   bool add, float* c, int64_t c_stride) {
  const Pairs left(a, m, k, /*along_rows=*/true), right(b, k, n, /*along_rows=*/false);
  const int64_t depth = (k + 1) / 2;
  multiply_in_threads<float, PairProduct>(m, n, depth, left.matrix(), right.matrix(), add, c,
                                          c_stride);
}
#else
void gemm_bfloat16(int64_t, int64_t, int64_t, Matrix<at::BFloat16>, Matrix<at::BFloat16>, bool,
                   float*, int64_t) {}
#endif

template void gemm_blocked<float>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, bool,
                                  float*, int64_t);
template void gemm_blocked<double>(int64_t, int64_t, int64_t, Matrix<double>, Matrix<double>, bool,
                                   double*, int64_t);

}  // namespace alt::blas
