// The draws that every random operator is made of, and the serial fill that they go through.
//
// A seed gives the numbers that stock CPU torch gives for it, bit for bit. That fixes three things:
// how many engine words a draw takes, the order in which elements are visited (TensorIterator's),
// and the roundings, which is why the fused multiply-adds are spelled out.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Generator.h>
#include <c10/util/MathConstants.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "loops/dtype.h"
#include "runtime/generator.h"

namespace alt::kernels::draws {

/// Uniform in [0, 1): as many random bits as T's significand holds.
template <class T>
inline T unit_uniform(HostGenerator& generator) {
  constexpr int digits = std::numeric_limits<T>::digits;
  constexpr uint64_t mask = (uint64_t{1} << digits) - 1;
  constexpr T unit = T(1) / static_cast<T>(uint64_t{1} << digits);
  if constexpr (digits > 32) {
    return static_cast<T>(generator.random64() & mask) * unit;
  } else {
    return static_cast<T>(generator.random() & static_cast<uint32_t>(mask)) * unit;
  }
}

/// One double from the Box-Muller transform, whose other half is kept in the generator.
inline double normal(HostGenerator& generator, double mean, double std) {
  double sample;
  if (const auto kept = generator.next_double_normal_sample()) {
    sample = *kept;
    generator.set_next_double_normal_sample(std::nullopt);
  } else {
    const double u1 = unit_uniform<double>(generator);
    const double u2 = unit_uniform<double>(generator);
    const double radius = std::sqrt(-2.0 * std::log1p(-u2));
    const double theta = 2.0 * c10::pi<double> * u1;
    generator.set_next_double_normal_sample(radius * std::sin(theta));
    sample = radius * std::cos(theta);
  }
  return std::fma(sample, std, mean);
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
