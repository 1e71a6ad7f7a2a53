// The inner loops of attention: small matrix products and transpositions on lanes.
//
// Every product here has the form C[r][lane] += sum over l of A(r, l) * B[l][lane]: B and C are
// rows of whole vectors that lie in the first- or second-level cache, A is read an element at a
// time, from any strides, and broadcast. So keys and values are read where they lie, whichever way
// round the product needs them. A tile of C stays in registers: 4 rows of 4 vectors are 16
// independent sums, which covers the latency of fma, and need 8 loads for 16 fma.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "kernels/norm_lanes.h"
#include "kernels/square.h"
#include "loops/vec.h"

namespace alt::kernels {

// Vectors side by side in a tile: with 4 rows, 16 sums of 32 registers, or 12 of AVX2's 16.
#if defined(__AVX2__) && !defined(__AVX512F__)
inline constexpr int kTileVectors = 3;
#else
inline constexpr int kTileVectors = 4;
#endif

/// A(r, l) is data[r * row + l * step].
template <class T>
struct Broadcast {
  const T* data;
  int64_t row, step;
};

/// Rows of vectors, `stride` elements apart.
template <class T>
struct Rows {
  T* data;
  int64_t stride;

  T* operator[](int64_t row) const { return data + row * stride; }
};

/// What becomes of C's old values: dropped, added to, or first multiplied by a factor a lane.
enum class Into { kSet, kAdd, kScale };

namespace detail {
/// Makes g++ hold a vector in its register. It would read it from memory at each of its uses
/// instead, and the loads would take longer than the fma.
template <class T>
void hold(Vec<T>& x) {
#if defined(__AVX2__) || defined(__AVX512F__)
  asm("" : "+v"(x.native));
#else
  (void)x;
#endif
}
}  // namespace detail

template <Into into, int rows, int vectors, class T>
void product_tile(int64_t depth, Broadcast<T> a, Rows<const T> b, Rows<T> c, const T* factors) {
  using V = Vec<T>;
  V sum[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      if constexpr (into == Into::kSet) {
        sum[r][v] = V(T(0));
      } else {
        sum[r][v] = V::load(c[r] + v * V::size);
        if constexpr (into == Into::kScale) sum[r][v] *= V::load(factors + v * V::size);
      }
    }
  }
  for (int64_t l = 0; l < depth; ++l) {
    V lanes[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      lanes[v] = V::load(b[l] + v * V::size);
      detail::hold(lanes[v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const V x(a.data[r * a.row + l * a.step]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[r][v] = fma(x, lanes[v], sum[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[r][v].store(c[r] + v * V::size);
  }
}

// All rows of C in tiles of `tile` rows, what remains in tiles of half as many.
template <Into into, int tile, int vectors, class T>
void product_rows(int64_t rows, int64_t depth, Broadcast<T> a, Rows<const T> b, Rows<T> c,
                  const T* factors) {
  int64_t r = 0;
  for (; r + tile <= rows; r += tile) {
    product_tile<into, tile, vectors>(depth, {a.data + r * a.row, a.row, a.step}, b,
                                      {c[r], c.stride}, factors);
  }
  if constexpr (tile > 1) {
    product_rows<into, tile / 2, vectors>(rows - r, depth, {a.data + r * a.row, a.row, a.step}, b,
                                          {c[r], c.stride}, factors);
  }
}

/// C (rows of `vectors` vectors) = A B, C + A B or C * factors + A B.
template <Into into, class T>
void product(int64_t rows, int64_t vectors, int64_t depth, Broadcast<T> a, Rows<const T> b,
             Rows<T> c, const T* factors = nullptr) {
  for (int64_t first = 0; first < vectors; first += kTileVectors) {
    const int64_t lane = first * Vec<T>::size;
    const Rows<const T> b_part{b.data + lane, b.stride};
    const Rows<T> c_part{c.data + lane, c.stride};
    const T* const factors_part = factors ? factors + lane : nullptr;
    switch (std::min<int64_t>(vectors - first, kTileVectors)) {
      case 1:
        product_rows<into, 8, 1>(rows, depth, a, b_part, c_part, factors_part);
        break;
      case 2:
        product_rows<into, kTileVectors == 4 ? 8 : 4, 2>(rows, depth, a, b_part, c_part,
                                                         factors_part);
        break;
      case 3:
        product_rows<into, 4, 3>(rows, depth, a, b_part, c_part, factors_part);
        break;
      default:
        product_rows<into, 4, kTileVectors>(rows, depth, a, b_part, c_part, factors_part);
    }
  }
}

/// Lane i of the result is the sum of the lanes of vectors[i].
template <class T>
Vec<T> sum_of_each(Vec<T> (&vectors)[Vec<T>::size]) {
  transpose(vectors);
#pragma GCC unroll 4
  for (int width = Vec<T>::size / 2; width > 0; width /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < width; ++i) vectors[i] += vectors[i + width];
  }
  return vectors[0];
}

/// square(row, column, height, width): calls for the squares of lanes that cover rows x columns.
template <class T, class F>
void for_squares(int64_t rows, int64_t columns, F&& square) {
  constexpr int64_t lanes = Vec<T>::size;
  for (int64_t row = 0; row < rows; row += lanes) {
    for (int64_t column = 0; column < columns; column += lanes) {
      square(row, column, static_cast<int>(std::min(lanes, rows - row)),
             static_cast<int>(std::min(lanes, columns - column)));
    }
  }
}

/// to[column][row] = factor * from[row][column]; rows up to a whole vector are filled with zeros.
template <class S, class T>
void transpose_in(const S* from, int64_t stride, int64_t rows, int64_t columns, T factor,
                  Rows<T> to) {
  for_squares<T>(rows, columns, [&](int64_t row, int64_t column, int height, int width) {
    Vec<T> square[Vec<T>::size];
    load_square<T>(square, from + row * stride + column, stride, height, width);
    transpose(square);
    for (int i = 0; i < width; ++i) (square[i] * Vec<T>(factor)).store(to[column + i] + row);
  });
}

/// to[column][row] = factors[column] * from[row][column], or from[row][column] without factors.
/// `from` has whole vectors a row.
template <class S, class T>
void transpose_out(Rows<const T> from, int64_t rows, int64_t columns, const T* factors, S* to,
                   int64_t stride) {
  for_squares<T>(rows, columns, [&](int64_t row, int64_t column, int height, int width) {
    Vec<T> square[Vec<T>::size];
    const Vec<T> factor = factors ? Vec<T>::load(factors + column) : Vec<T>(T(1));
    for (int i = 0; i < Vec<T>::size; ++i) {
      square[i] = i < height ? Vec<T>::load(from[row + i] + column) * factor : Vec<T>(T(0));
    }
    transpose(square);
    for (int i = 0; i < width; ++i) {
      S* const target = to + (column + i) * stride + row;
      if (height == Vec<T>::size) {
        store_lanes<S>(square[i], target, Full{});
      } else {
        store_lanes<S>(square[i], target, height);
      }
    }
  });
}

}  // namespace alt::kernels
