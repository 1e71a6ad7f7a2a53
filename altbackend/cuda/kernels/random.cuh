// Random fills. Each operator has a key, drawn from the device's generator on the host; an
// element's words are Philox4x32-10 of its number, in row-major order, under that key. So a seed
// gives the same numbers for any strides and on any GPU, though others than the host engine's
// sequential one.
//
// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace random {
enum Integers { kKey, kKind, kRange, kBase };
/// What numbers[0] and numbers[1] are.
enum Kind {
  kUniform,      // from, to
  kNormal,       // mean, standard deviation
  kLogNormal,    // of the logarithm
  kExponential,  // rate
  kGeometric,    // probability of success
  kCauchy,       // median, width
  kBernoulli,    // probability, or a tensor of them
  kInteger,      // none: kBase + one of kRange; of 0, 2^64
};

struct Words {
  uint32_t at[4];
  ALT_FN uint64_t wide(int i) const {
    return static_cast<uint64_t>(at[2 * i]) << 32 | at[2 * i + 1];
  }
};

ALT_FN uint64_t product(uint32_t a, uint32_t b) {
  return static_cast<uint64_t>(a) * b;
}

ALT_FN Words philox(uint64_t key, uint64_t counter) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  Words w = {{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0u, 0u}};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = product(0xD2511F53u, w.at[0]), b = product(0xCD9E8D57u, w.at[2]);
    w = {{static_cast<uint32_t>(b >> 32) ^ w.at[1] ^ k0, static_cast<uint32_t>(b),
          static_cast<uint32_t>(a >> 32) ^ w.at[3] ^ k1, static_cast<uint32_t>(a)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return w;
}

/// In [0, 1): as many bits as the significand has.
template <class A>
ALT_FN A unit(const Words& w, int i) {
  if constexpr (std::is_same_v<A, double>) {
    return static_cast<double>(w.wide(i) >> 11) * 0x1p-53;
  } else {
    return static_cast<float>(w.at[2 * i] >> 8) * 0x1p-24f;
  }
}

/// Of mean 0 and standard deviation 1, by Box and Muller.
template <class A>
ALT_FN A normal(const Words& w) {
  const A radius = math::sqrt(A(-2) * math::log(A(1) - unit<A>(w, 0)));
  return radius * math::cos(A(6.283185307179586) * unit<A>(w, 1));
}

/// Where the type is float too, for what is drawn in it.
template <class T>
using real_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

ALT_FN double continuous(int64_t kind, const Words& w, double first, double second) {
  const double u = unit<double>(w, 0);
  switch (kind) {
    case kLogNormal:
      return math::exp(first + second * normal<double>(w));
    case kExponential:
      return -math::log1p(-u) / first;
    case kGeometric:
      // u is in (0, 1] here, so that the result is 1 at least.
      return maximum(1.0, math::ceil(math::log1p(-u) / math::log1p(-first)));
    default:
      return first + second * math::tan(3.141592653589793 * (u - 0.5));
  }
}
}  // namespace random

/// tensors: output, probabilities (double, of the output's sizes) or none.
template <class T>
ALT_FN void random_fill(const KernelArgs& a) {
  using namespace random;
  using R = real_t<T>;
  const TensorArgs &output = a.tensors[0], &probabilities = a.tensors[1];
  int64_t n = 1;
  for (int64_t d = 0; d < output.ndim; ++d) n *= output.sizes[d];
  const double first = a.numbers[0], second = a.numbers[1];
  const auto key = static_cast<uint64_t>(a.integers[kKey]);
  const int64_t kind = a.integers[kKind];
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const Words w = philox(key, static_cast<uint64_t>(i));
    T value;
    if (kind == kUniform) {
      const R from = static_cast<R>(first), to = static_cast<R>(second);
      value = convert<T>(from + unit<R>(w, 0) * (to - from));
      // Rounding can reach the bound that the interval leaves out.
      const bool at_end = convert<R>(value) == convert<R>(convert<T>(to));
      if (at_end) value = convert<T>(from);
    } else if (kind == kNormal) {
      value = convert<T>(static_cast<R>(first) + static_cast<R>(second) * normal<R>(w));
    } else if (kind == kBernoulli) {
      const double p = probabilities.data == nullptr
                           ? first
                           : data_of<double>(probabilities)[offset_at(probabilities, i)];
      if (!(p >= 0.0 && p <= 1.0)) fail(FailureKind::kBadValue, static_cast<int64_t>(p), 1);
      value = convert<T>(unit<double>(w, 0) < p ? 1.0f : 0.0f);
    } else if (kind == kInteger) {
      const uint64_t range = static_cast<uint64_t>(a.integers[kRange]);
      const uint64_t word = range == 0 ? w.wide(0) : w.wide(0) % range;
      value = convert<T>(static_cast<int64_t>(word + static_cast<uint64_t>(a.integers[kBase])));
    } else {
      value = convert<T>(continuous(kind, w, first, second));
    }
    data_of<T>(output)[offset_at(output, i)] = value;
  }
}

}  // namespace alt::kernels
