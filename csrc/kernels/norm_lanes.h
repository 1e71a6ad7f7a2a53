// What normalisations, softmax, losses and recurrent cells share: memory of any floating type read
// and written as lanes of the type it accumulates in, and sums over a row that stay accurate
// however long the row is.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "loops/dtype.h"
#include "loops/lanes.h"
#include "loops/vec.h"

#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace alt::kernels {

template <class T>
using Lanes = Vec<opmath_t<T>>;

// The count of a group in which every lane is used; an int says how many of the first lanes are.
struct Full {};

namespace detail {

// Half and BFloat16 are stored through an array: g++ turns the BFloat16 loop into vector shifts,
// and F16C has Half.
template <class T>
void narrow(const float* from, T* to, int n) {
  int i = 0;
#if defined(__F16C__)
  if constexpr (std::is_same_v<T, at::Half>) {
    for (; i + 8 <= n; i += 8) {
      const auto bits = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), bits);
    }
  }
#endif
  for (; i < n; ++i) to[i] = static_cast<T>(from[i]);
}

template <class T>
constexpr bool is_reduced = !std::is_same_v<T, opmath_t<T>>;

// The first n lanes in one masked instruction, where there is one: rows shorter than a vector are
// common.
#if defined(__AVX512F__)
template <class T>
constexpr bool has_masks = has_vec_v<T>;

inline Vec<float> masked_load(const float* from, int n, float rest) {
  return Vec<float>(_mm512_mask_loadu_ps(_mm512_set1_ps(rest), (1u << n) - 1, from));
}
inline Vec<double> masked_load(const double* from, int n, double rest) {
  return Vec<double>(_mm512_mask_loadu_pd(_mm512_set1_pd(rest), (1u << n) - 1, from));
}
inline Vec<float> masked(const Vec<float>& value, int n) {
  return Vec<float>(_mm512_maskz_mov_ps((1u << n) - 1, value.native));
}
inline Vec<double> masked(const Vec<double>& value, int n) {
  return Vec<double>(_mm512_maskz_mov_pd((1u << n) - 1, value.native));
}
#else
template <class T>
constexpr bool has_masks = false;

// What the callers name, behind has_masks.
template <class T>
Vec<T> masked_load(const T* from, int n, T rest) = delete;
template <class T>
Vec<T> masked(const Vec<T>& value, int n) = delete;
#endif

}  // namespace detail

template <class T>
Lanes<T> load_lanes(const T* from, Full) {
  return read_widened(from);
}

// Lanes from `n` on hold `rest`.
template <class T>
Lanes<T> load_lanes(const T* from, int n, opmath_t<T> rest = 0) {
  if constexpr (detail::has_masks<T>) {
    return detail::masked_load(from, n, rest);
  } else {
    alignas(64) opmath_t<T> wide[Lanes<T>::size];
    std::fill_n(wide, Lanes<T>::size, rest);
    for (int i = 0; i < n; ++i) wide[i] = static_cast<opmath_t<T>>(from[i]);
    return Lanes<T>::load(wide);
  }
}

template <class T>
Lanes<T> load_lanes(const T* from, Full, opmath_t<T>) {
  return load_lanes(from, Full{});
}

template <class T>
void store_lanes(const Lanes<T>& value, T* to, Full) {
  if constexpr (detail::is_reduced<T>) {
    alignas(64) float wide[Vec<float>::size];
    value.store(wide);
    detail::narrow(wide, to, Vec<float>::size);
  } else {
    value.store(to);
  }
}

template <class T>
void store_lanes(const Lanes<T>& value, T* to, int n) {
  if constexpr (detail::has_masks<T>) {
    value.store(to, n);
  } else {
    alignas(64) opmath_t<T> wide[Lanes<T>::size];
    value.store(wide);
    for (int i = 0; i < n; ++i) to[i] = static_cast<T>(wide[i]);
  }
}

// Lanes from `n` on of `value` replaced by zero, for sums of what a partial load computed.
template <class V>
V first_lanes(const V& value, Full) {
  return value;
}
template <class A>
Vec<A> first_lanes(const Vec<A>& value, int n) {
  if constexpr (detail::has_masks<A>) {
    return detail::masked(value, n);
  } else {
    alignas(64) A wide[Vec<A>::size];
    value.store(wide);
    for (int i = n; i < Vec<A>::size; ++i) wide[i] = 0;
    return Vec<A>::load(wide);
  }
}

// body(i, count) for each group of lanes in [begin, end): count is Full{}, and an int for the last
// if it is partial.
template <class A, class F>
void for_lanes(int64_t begin, int64_t end, F&& body) {
  int64_t i = begin;
  for (; i + Vec<A>::size <= end; i += Vec<A>::size) body(i, Full{});
  if (i < end) body(i, static_cast<int>(end - i));
}

// Sums of K terms over [0, n), body(i, count) giving std::array<Vec<A>, K>. Lanes accumulate in A
// for a block of 4096 elements at most, blocks accumulate in double: the error of a float sum does
// not grow with the row. Several groups of lanes accumulate side by side, as each addition waits
// for the one before.
template <class A, int K, class F>
std::array<double, K> sum_lanes(int64_t n, F&& body) {
  constexpr int64_t block = 4096, lanes = Vec<A>::size;
  constexpr int groups = K == 1 ? 4 : 2;
  std::array<double, K> total{};
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = std::min(begin + block, n);
    std::array<Vec<A>, K> partial[groups];
    for (auto& group : partial) group.fill(Vec<A>(A(0)));
    int64_t i = begin;
    for (; i + groups * lanes <= end; i += groups * lanes) {
#pragma GCC unroll 4
      for (int g = 0; g < groups; ++g) {
        const std::array<Vec<A>, K> terms = body(i + g * lanes, Full{});
        for (int k = 0; k < K; ++k) partial[g][k] += terms[k];
      }
    }
    for_lanes<A>(i, end, [&](int64_t at, auto count) {
      const std::array<Vec<A>, K> terms = body(at, count);
      for (int k = 0; k < K; ++k) partial[0][k] += first_lanes(terms[k], count);
    });
    for (int k = 0; k < K; ++k) {
      for (int width = groups / 2; width > 0; width /= 2) {
        for (int g = 0; g < width; ++g) partial[g][k] += partial[g + width][k];
      }
      total[k] += static_cast<double>(reduce_add(partial[0][k]));
    }
  }
  return total;
}

template <class A>
const A* data_or_null(const at::Tensor& value) {
  return value.defined() ? value.const_data_ptr<A>() : nullptr;
}

}  // namespace alt::kernels
