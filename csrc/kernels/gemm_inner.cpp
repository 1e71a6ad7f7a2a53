// Products of few rows whose operands both lie along k, as a linear layer's do: x W^T.
//
// There the other kernels pack W so that its columns become lanes, which of some rows costs as much
// as the product. Here k is what lies in lanes: an element of C is an inner product, of which a
// block of four rows by six columns has 24 in registers, and each vector that is read serves four
// or six of them. At the end of k the lanes of all are added up together, half by half (a shuffle
// serves two sums), in the order of reduce_add; so an element's bits depend on k alone.
//
// Loops: columns of C in blocks, which the threads share; k in ranges, of which six columns of W
// and four rows of x stay in the first-level cache; blocks of rows; and in the registers k.
#include <algorithm>
#include <array>
#include <utility>

#include "kernels/blas.h"
#include "loops/vec.h"
#include "runtime/rounding.h"
#include "runtime/thread_pool.h"

namespace alt::blas {
namespace {

// Of a block, whose sums, a row of columns and an element of another row are all registers.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRows = 4, kMostColumns = 6;
#else
constexpr int kRows = 3, kMostColumns = 3;
#endif
template <class T>
constexpr int kColumns = std::min(kMostColumns, Vec<T>::size);

constexpr int64_t kRangeBytes = 4096;  // of k
constexpr double kOperationsWorthAThread = 5e5;

/// `a` and `b`, whose sums are spread over `width` lanes each, with their sums over half as many:
/// those of `a`, then those of `b`.
template <class T, int width, size_t... lane>
Vec<T> halve(const Vec<T>& a, const Vec<T>& b, std::index_sequence<lane...>) {
  constexpr size_t half = width / 2;
  constexpr auto from = [](size_t i) { return i / half * width + i % half; };
  return Vec<T>(__builtin_shufflevector(a.native, b.native, from(lane)...)) +
         Vec<T>(__builtin_shufflevector(a.native, b.native, (from(lane) + half)...));
}

/// The sums of the lanes of `count` vectors, in their order, at the beginning of `sums`.
template <class T, int width, int count>
void add_lanes(Vec<T>* sums) {
  if constexpr (width > 1) {
#pragma GCC unroll 12
    for (int i = 0; i < count / 2; ++i) {
      sums[i] =
          halve<T, width>(sums[2 * i], sums[2 * i + 1], std::make_index_sequence<Vec<T>::size>{});
    }
    if constexpr (count % 2 == 1) {
      sums[count / 2] = halve<T, width>(sums[count - 1], sums[count - 1],
                                        std::make_index_sequence<Vec<T>::size>{});
    }
    add_lanes<T, width / 2, (count + 1) / 2>(sums);
  }
}

/// g++ would read the vector from memory again for each row: it counts that as no more than a
/// register's use, but a core reads one vector a cycle (1.3 times as long).
template <class T>
void keep_in_register([[maybe_unused]] Vec<T>& value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value.native));
#endif
}

/// Of columns that do not exist the last that does is read, and nothing written.
template <class T>
struct Columns {
  std::array<const T*, kColumns<T>> data;
  int count;
};

template <class T, int rows>
void multiply_block(int64_t depth, const T* a, int64_t a_stride, const Columns<T>& b, bool add,
                    T* c, int64_t c_stride) {
  using V = Vec<T>;
  V sums[rows * kColumns<T>];
#pragma GCC unroll 24
  for (auto& sum : sums) sum = V(T(0));
  const auto multiply = [&](auto&& load) {
    V column[kColumns<T>];
#pragma GCC unroll 6
    for (int j = 0; j < kColumns<T>; ++j) {
      column[j] = load(b.data[j]);
      keep_in_register(column[j]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const V factor = load(a + r * a_stride);
#pragma GCC unroll 6
      for (int j = 0; j < kColumns<T>; ++j) {
        sums[r * kColumns<T> + j] = fma(factor, column[j], sums[r * kColumns<T> + j]);
      }
    }
  };
  int64_t k = 0;
  for (; k + V::size <= depth; k += V::size) {
    multiply([k](const T* from) { return V::load(from + k); });
  }
  if (k < depth) {
    const int lanes = static_cast<int>(depth - k);
    multiply([k, lanes](const T* from) { return V::load(from + k, lanes); });
  }
  add_lanes<T, V::size, rows * kColumns<T>>(sums);
  constexpr int vectors = (rows * kColumns<T> + V::size - 1) / V::size;
  alignas(64) std::array<T, (vectors + 1) * V::size> results;
#pragma GCC unroll 4
  for (int i = 0; i < vectors; ++i) sums[i].store(results.data() + i * V::size);
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
    T* const to = c + r * c_stride;
    const V result = V::load(results.data() + r * kColumns<T>);
    (add ? result + V::load(to, b.count) : result).store(to, b.count);
  }
}

template <class T>
using Block = void (*)(int64_t, const T*, int64_t, const Columns<T>&, bool, T*, int64_t);

template <class T>
constexpr std::array<Block<T>, kRows> kBlocks = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Block<T>, kRows>{&multiply_block<T, i + 1>...};
}(std::make_integer_sequence<int, kRows>{});

}  // namespace

template <class T>
void gemm_inner(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                int64_t c_stride) {
  constexpr int64_t range = kRangeBytes / sizeof(T);
  const int64_t ranges = std::max<int64_t>(1, divide_up(k, range));
  const int64_t row_blocks = divide_up(m, kRows), column_blocks = divide_up(n, kColumns<T>);
  const double operations = 2.0 * static_cast<double>(m * kColumns<T>) * static_cast<double>(k);
  const auto grain = static_cast<int64_t>(kOperationsWorthAThread / (operations + 1)) + 1;
  parallel_for(0, column_blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kColumns<T>;
      Columns<T> columns{{}, static_cast<int>(std::min<int64_t>(kColumns<T>, n - first))};
      for (int64_t l = 0; l < ranges; ++l) {
        const int64_t from = l * k / ranges, depth = (l + 1) * k / ranges - from;
        for (int j = 0; j < kColumns<T>; ++j) {
          const int64_t column = first + std::min(j, columns.count - 1);
          columns.data[j] = b.data + column * b.stride + from;
        }
        for (int64_t i = 0; i < row_blocks; ++i) {
          const int64_t row = i * m / row_blocks, count = (i + 1) * m / row_blocks - row;
          const Block<T> multiply = kBlocks<T>[count - 1];
          multiply(depth, a.data + row * a.stride + from, a.stride, columns, add || l > 0,
                   c + row * c_stride + first, c_stride);
        }
      }
    }
  });
}

template void gemm_inner<float>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, bool,
                                float*, int64_t);
template void gemm_inner<double>(int64_t, int64_t, int64_t, Matrix<double>, Matrix<double>, bool,
                                 double*, int64_t);

}  // namespace alt::blas
