// The draws that every random operator is made of, and the serial fill that they go through.
//
// A seed gives the numbers that stock CPU torch gives for it, bit for bit. That fixes three things:
// how many engine words a draw takes, the order in which elements are visited (TensorIterator's),
// and the roundings, which is why the fused multiply-adds are spelled out.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Generator.h>
#include <c10/util/MathConstants.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <type_traits>

#include "loops/dtype.h"
#include "runtime/generator.h"

namespace alt::kernels::draws {

using RealAndBoolTypes = concat_t<RealTypes, TypeList<bool>>;
using RealBoolAndUnsignedTypes = concat_t<RealAndBoolTypes, BarebonesUnsignedTypes>;

/// How many integers random_() without bounds chooses from: 0 to the largest of T, or as many as
/// are exact.
template <class T>
constexpr uint64_t integers_in() {
  if constexpr (std::is_same_v<T, bool>) {
    return 2;
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<uint64_t>(std::numeric_limits<T>::max()) + 1;
  } else {
    return (uint64_t{1} << std::numeric_limits<T>::digits) + 1;
  }
}

inline void check_exponential(at::ScalarType dtype) {
  TORCH_CHECK(at::isFloatingType(dtype),
              "Exponential distribution is a continuous probability distribution. dtype must be a "
              "floating point but you specified ",
              dtype);
}

/// A word of a generator or of its Words, or two of them.
template <class Bits, class Source>
Bits draw(Source& source) {
  if constexpr (sizeof(Bits) == sizeof(uint32_t)) {
    return source.random();
  } else {
    return source.random64();
  }
}

/// The generator's words, a block of them made at once: the same words as one by one, of which the
/// generator forgets as many as were taken when this is destroyed. Hold the generator's lock.
///
/// The recurrence of MT19937 (Matsumoto and Nishimura, 1998) reaches 227 words back or 397 ahead,
/// further than a vector is long; tempering knows no neighbours.
class Words {
 public:
  /// For some `draws`; of few, a block is not worth making.
  Words(HostGenerator& generator, int64_t draws)
      : generator_(generator), in_blocks_(draws >= kWords / 2) {
    if (!in_blocks_) return;
    state_ = generator.engine().data();
    temper();
  }
  ~Words() {
    if (in_blocks_) generator_.engine().set_data(state_);
  }
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;

  uint32_t random() {
    if (!in_blocks_) return generator_.random();
    if (state_.left_ == 1) twist();
    --state_.left_;
    return tempered_[state_.next_++];
  }
  uint64_t random64() {
    const uint64_t high = random();
    return high << 32 | random();
  }
  /// out[i] = function(draw<Bits>(*this)), `count` times: what is left of a block in one loop,
  /// which becomes vectors where the function allows.
  template <class Bits, class T, class Function>
  void fill(T* out, int64_t count, Function&& function) {
    constexpr int64_t words = sizeof(Bits) / sizeof(uint32_t);
    for (int64_t i = 0; i < count;) {
      const int64_t n = std::min(left() / words, count - i);
      if (n == 0) {
        out[i++] = function(draw<Bits>(*this));
        continue;
      }
      const uint32_t* const rest = tempered_ + state_.next_;
      for (int64_t k = 0; k < n; ++k) {
        Bits bits;
        std::memcpy(&bits, rest + k * words, sizeof(bits));
        // The first word of two is the upper half.
        out[i + k] = function(words == 1 ? bits : std::rotl(bits, 32));
      }
      state_.left_ -= static_cast<int>(n * words);
      state_.next_ += static_cast<uint32_t>(n * words);
      i += n;
    }
  }
  HostGenerator& generator() { return generator_; }

 private:
  /// Words of the block that nobody has taken.
  int64_t left() const { return in_blocks_ ? state_.left_ - 1 : 0; }

  static constexpr int kWords = at::MERSENNE_STATE_N, kAhead = at::MERSENNE_STATE_M;

  static uint32_t next_word(uint32_t word, uint32_t next, uint32_t ahead) {
    const uint32_t mixed = (word & at::UMASK) | (next & at::LMASK);
    return ahead ^ (mixed >> 1) ^ (-(next & 1) & at::MATRIX_A);
  }
  void twist() {
    uint32_t* state = state_.state_.data();
    for (int k = 0; k < kWords - kAhead; ++k) {
      state[k] = next_word(state[k], state[k + 1], state[k + kAhead]);
    }
#pragma GCC ivdep
    for (int k = kWords - kAhead; k < kWords - 1; ++k) {
      state[k] = next_word(state[k], state[k + 1], state[k + kAhead - kWords]);
    }
    state[kWords - 1] = next_word(state[kWords - 1], state[0], state[kAhead - 1]);
    state_.left_ = kWords + 1;  // one more than there are, as ever
    state_.next_ = 0;
    temper();
  }
  void temper() {
    for (int k = 0; k < kWords; ++k) {
      uint32_t y = state_.state_[k];
      y ^= y >> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      tempered_[k] = y ^ (y >> 18);
    }
  }

  HostGenerator& generator_;
  const bool in_blocks_;
  at::mt19937_data_pod state_;
  uint32_t tempered_[kWords];
};

/// What a uniform T is made of.
template <class T>
using UniformBits = std::conditional_t<(std::numeric_limits<T>::digits > 32), uint64_t, uint32_t>;

template <class T>
inline constexpr auto uniform_mask =
    static_cast<UniformBits<T>>((uint64_t{1} << std::numeric_limits<T>::digits) - 1);

/// Uniform in [0, 1): as many random bits as T's significand holds.
template <class T>
inline T unit_uniform_of(UniformBits<T> bits) {
  constexpr T unit = T(1) / static_cast<T>(uint64_t{1} << std::numeric_limits<T>::digits);
  return static_cast<T>(bits & uniform_mask<T>) * unit;
}

template <class T, class Source>
inline T unit_uniform(Source& source) {
  return unit_uniform_of<T>(draw<UniformBits<T>>(source));
}

/// One double from the Box-Muller transform, whose other half is kept in the generator.
inline double normal(Words& words, double mean, double std) {
  HostGenerator& generator = words.generator();
  double sample;
  if (const auto kept = generator.next_double_normal_sample()) {
    sample = *kept;
    generator.set_next_double_normal_sample(std::nullopt);
  } else {
    const double u1 = unit_uniform<double>(words);
    const double u2 = unit_uniform<double>(words);
    const double radius = std::sqrt(-2.0 * std::log1p(-u2));
    const double theta = 2.0 * c10::pi<double> * u1;
    generator.set_next_double_normal_sample(radius * std::sin(theta));
    sample = radius * std::cos(theta);
  }
  return std::fma(sample, std, mean);
}

/// body.operator()<T>(words) for `numel` elements of a dtype, holding the generator's lock.
template <class List, class Body>
void with_words(at::ScalarType dtype, int64_t numel, const char* name,
                const std::optional<at::Generator>& generator_argument, Body&& body) {
  HostGenerator& generator = *get_generator(generator_argument);
  visit<List>(dtype, name, [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    Words words(generator, numel);
    body.template operator()<T>(words);
  });
}

/// Writes draw() to every element, one at a time, in the order in which TensorIterator visits them.
template <class T, class Draw>
void serial_fill(at::TensorIteratorBase& iter, Draw&& draw) {
  if (iter.numel() == 0) {
    return;
  }
  iter.serial_for_each(
      [&](char** data, const int64_t* strides, int64_t size0, int64_t size1) {
        for (int64_t j = 0; j < size1; ++j) {
          char* out = data[0] + j * strides[1];
          for (int64_t i = 0; i < size0; ++i) {
            *reinterpret_cast<T*>(out + i * strides[0]) = static_cast<T>(draw());
          }
        }
      },
      {0, iter.numel()});
}

}  // namespace alt::kernels::draws
