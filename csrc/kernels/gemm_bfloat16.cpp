// Products of bfloat16, whose elements are multiplied in pairs: (k, k + 1) of a row of A and of a
// column of B. A pair is four bytes, so that a matrix of pairs is laid out, packed and walked as
// one of floats is (gemm_blocked.h); an odd last element is paired with zero. An instruction of
// AVX-512 multiplies two pairs a lane and adds both products to a float.
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstring>

#include "kernels/blas.h"
#include "kernels/gemm_blocked.h"

namespace alt::blas {

#if defined(__AVX512BF16__)
namespace {

using at::BFloat16;

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

/// Lines of `length` elements along k, `stride` apart: rows of A or columns of B.
struct LinesAlongK {
  const BFloat16* data;
  int64_t stride, length;

  /// Whether `depth` pairs of each line can be read as floats.
  bool are_floats(int64_t depth) const {
    return 2 * depth <= length && stride % 2 == 0 &&
           reinterpret_cast<uintptr_t>(data) % sizeof(float) == 0;
  }
  const float* floats() const { return reinterpret_cast<const float*>(data); }

  /// The first `depth` pairs of a line.
  void copy(int64_t line, int64_t depth, int64_t step, float* to) const {
    const BFloat16* const from = data + line * stride;
    for (int64_t pair = 0; pair < depth; ++pair) {
      const int64_t bytes = std::min<int64_t>(length - 2 * pair, 2) * sizeof(BFloat16);
      to[pair * step] = 0.0F;
      std::memcpy(to + pair * step, from + 2 * pair, bytes);
    }
  }
};

using Halves [[gnu::vector_size(32)]] = uint16_t;
using Pairs [[gnu::vector_size(64)]] = uint32_t;

/// Lines across k, `count` of them: columns of A or rows of B.
struct LinesAcrossK {
  const BFloat16* data;
  int64_t stride, count;

  /// Elements [first, first + n) of the pair-th two lines as pairs, in whole vectors.
  void join(int64_t pair, int64_t first, int64_t n, float* to) const {
    const BFloat16* const low = data + 2 * pair * stride + first;
    const bool both = 2 * pair + 1 < count;
    for (int64_t i = 0; i < n; i += Vec<float>::size) {
      const auto lanes =
          static_cast<__mmask16>((1U << std::min<int64_t>(n - i, Vec<float>::size)) - 1);
      const auto load = [&](const BFloat16* from) {
        return __builtin_convertvector((Halves)_mm256_maskz_loadu_epi16(lanes, from + i), Pairs);
      };
      Pairs pairs = load(low);
      if (both) pairs |= load(low + stride) << 16;
      _mm512_storeu_si512(to + i, (__m512i)pairs);
    }
  }
};

/// A or B of a product whose inner dimension, of `depth` elements, is counted in pairs.
struct PairMatrix {
  Matrix<BFloat16> elements;
  int64_t depth;
};

bool is_read_in_place(int64_t, int64_t, const PairMatrix&) {
  return false;
}

/// Of rows of A or columns of B: what lies along k stays whole.
PairMatrix skip(const PairMatrix& matrix, int64_t rows, int64_t columns) {
  return {skip(matrix.elements, rows, columns), matrix.depth};
}

/// As of a Matrix; what is packed ends in a whole vector, which the next one or the rest of the
/// buffer has room for.
Rows<float> rows_of(const PairMatrix& a, int64_t row, int64_t count, int64_t k, int64_t depth,
                    float* buffer) {
  const auto& [data, stride, transposed] = a.elements;
  if (transposed) {
    const LinesAcrossK lines{data + 2 * k * stride, stride, a.depth - 2 * k};
    for (int64_t i = 0; i < depth; ++i) lines.join(i, row, count, buffer + i * count);
    return {buffer, 1, count};
  }
  const LinesAlongK lines{data + row * stride + 2 * k, stride, a.depth - 2 * k};
  if (lines.are_floats(depth)) return {lines.floats(), stride / 2};
  for (int64_t r = 0; r < count; ++r) lines.copy(r, depth, 1, buffer + r * depth);
  return {buffer, depth};
}

/// Columns of B, for Packed.
struct PairColumns {
  PairMatrix b;
  int64_t k;

  void pack(int64_t first, int count, int64_t depth, int64_t width, float* to) const {
    const auto& [data, stride, transposed] = b.elements;
    if (!transposed) {
      const LinesAcrossK lines{data + 2 * k * stride, stride, b.depth - 2 * k};
      for (int64_t i = 0; i < depth; ++i) lines.join(i, first, count, to + i * width);
      return;
    }
    const LinesAlongK lines{data + first * stride + 2 * k, stride, b.depth - 2 * k};
    if (lines.are_floats(depth)) {
      pack_group(lines.floats(), 1, stride / 2, count, depth, width, to);
      return;
    }
    for (int64_t i = 0; i < depth; ++i) Vec<float>(0.0F).store(to + i * width);
    for (int lane = 0; lane < count; ++lane) lines.copy(lane, depth, width, to + lane);
  }
};

PairColumns columns_from(const PairMatrix& b, int64_t k) {
  return {b, k};
}

}  // namespace

void gemm_bfloat16(int64_t m, int64_t n, int64_t k, Matrix<BFloat16> a, Matrix<BFloat16> b,
                   bool add, float* c, int64_t c_stride) {
  multiply_in_threads<PairProduct>(m, n, (k + 1) / 2, PairMatrix{a, k}, PairMatrix{b, k}, add, c,
                                   c_stride);
}

#else
void gemm_bfloat16(int64_t, int64_t, int64_t, Matrix<at::BFloat16>, Matrix<at::BFloat16>, bool,
                   float*, int64_t) {}
#endif

}  // namespace alt::blas
