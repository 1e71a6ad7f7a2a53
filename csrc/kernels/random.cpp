// Random fills: uniform, exponential, geometric, log-normal, Cauchy, Bernoulli and integers.
//
// The front ends (checks, empty tensors, complex as pairs) are PyTorch's; these are their stubs.
// The engine is sequential, so a fill is too. The formulas are those of stock's CPU distributions,
// in the same precision: double for all but uniform, whatever the dtype of the result.
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "kernels/random.h"
#include "loops/lanes.h"
#include "loops/math.h"
#include "loops/vec.h"

namespace alt::kernels {
namespace {

using draws::integers_in;
using draws::RealAndBoolTypes;
using draws::RealBoolAndUnsignedTypes;
using draws::serial_fill;
using draws::unit_uniform;
using draws::Words;

/// One fill: visits the dtype, holds the generator's lock, draws for every element.
template <class List, class MakeDraw>
void fill(at::TensorIteratorBase& iter, const char* name,
          const std::optional<at::Generator>& generator_argument, MakeDraw&& make_draw) {
  HostGenerator& generator = *get_generator(generator_argument);
  visit<List>(iter.dtype(), name, [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    Words words(generator, iter.numel());
    serial_fill<T>(iter, make_draw.template operator()<T>(words));
  });
}

double exponential_draw(Words& words, double scale) {
  return scale * std::log1p(-unit_uniform<double>(words));
}

/// Contiguous exponentials of less than double precision, bit for bit those of libm's log1p, most
/// of them by a vector logarithm. Its results and libm's differ by some last bits of a double:
/// where both ends of that interval round to one float, so do all of it. Others, some of a hundred
/// million, are computed anew.
template <class T>
void exponentials(Words& words, double scale, T* out, int64_t count) {
  constexpr int64_t kBlock = 256;
  constexpr double kDoubt = 0x1p-49;
  alignas(64) double uniforms[kBlock], results[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    for (int64_t i = 0; i < n; ++i) uniforms[i] = unit_uniform<double>(words);
    std::fill(uniforms + n, uniforms + kBlock, 0.0);
    for_each_lane<double>(kBlock, [&]<class V>(int64_t i) {
      // + 0: log1p(-0) is -0, whose product is not.
      write(V(scale) * math::log1p(V(0) - read<V>(uniforms + i)) + V(0), results + i);
    });
    int doubts = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto low = static_cast<float>(results[i] * (1 - kDoubt));
      doubts += low != static_cast<float>(results[i] * (1 + kDoubt));
    }
    for (int64_t i = 0; doubts != 0 && i < n; ++i) {
      if (static_cast<float>(results[i] * (1 - kDoubt)) ==
          static_cast<float>(results[i] * (1 + kDoubt))) {
        continue;
      }
      results[i] = scale * std::log1p(-uniforms[i]);
      --doubts;
    }
    for (int64_t i = 0; i < n; ++i) out[begin + i] = static_cast<T>(results[i]);
  }
}

/// unit_uniform<double>(words) < p, `count` times. The bits of the draw are compared as an integer
/// with the least that is not below p.
void bernoullis(Words& words, double p, bool* out, int64_t count) {
  using Bits = Mask<double>::Native;
  constexpr int64_t side = Mask<double>::size;
  const auto least = static_cast<int64_t>(std::ceil(std::ldexp(p, 53)));
  for (int64_t i = 0; i < count;) {
    const int64_t n = std::min(words.left() / 2, count - i) / side * side;
    if (n == 0) {
      out[i++] = unit_uniform<double>(words) < p;
      continue;
    }
    for (int64_t k = 0; k < n; k += side) {
      Bits pairs;  // of words, the upper half of the draw first
      std::memcpy(&pairs, words.rest() + 2 * k, sizeof(pairs));
      const Bits draws = (pairs & 0x1fffff) << 32 | (pairs >> 32 & 0xffffffff);
      Mask<double>{draws < least}.store(out + i + k);
    }
    words.skip(2 * n);
    i += n;
  }
}

/// Remainders of words by a divisor, by multiplication: Lemire, Kaser and Kurz, "Faster remainder
/// by direct computation" (2019), exact for words and divisors of 32 bits.
class Remainder {
 public:
  explicit Remainder(uint64_t divisor) : divisor_(divisor), inverse_(~uint64_t{0} / divisor + 1) {}
  uint64_t of(uint32_t word) const {
    const uint64_t fraction = inverse_ * word;
    return static_cast<uint64_t>((static_cast<unsigned __int128>(fraction) * divisor_) >> 64);
  }

 private:
  uint64_t divisor_, inverse_;
};

}  // namespace

void uniform(at::TensorIteratorBase& iter, const double from, const double to,
             std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(iter, "uniform_kernel_cpu", generator, [&]<class T>(Words& source) {
    using Real = opmath_t<T>;
    const auto low = static_cast<Real>(from);
    const auto high = static_cast<Real>(to);
    const auto excluded = static_cast<T>(to);
    const auto replacement = static_cast<T>(from);
    const Real width = high - low;
    return [&source, low, width, excluded, replacement] {
      const auto value = static_cast<T>(std::fma(unit_uniform<Real>(source), width, low));
      // Rounding can reach the bound that the interval leaves out.
      return value == excluded ? replacement : value;
    };
  });
}

void exponential(at::TensorIteratorBase& iter, const double lambda,
                 std::optional<at::Generator> generator_argument) {
  draws::check_exponential(iter.dtype());
  HostGenerator& generator = *get_generator(generator_argument);
  visit<FloatingAndHalfTypes>(iter.dtype(), "exponential_cpu", [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    Words words(generator, iter.numel());
    if (!std::is_same_v<T, double> && iter.is_contiguous()) {
      exponentials(words, -1.0 / lambda, static_cast<T*>(iter.data_ptr(0)), iter.numel());
    } else {
      serial_fill<T>(iter, [&, scale = -1.0 / lambda] { return exponential_draw(words, scale); });
    }
  });
}

void geometric(at::TensorIteratorBase& iter, const double p,
               std::optional<at::Generator> generator) {
  fill<RealTypes>(iter, "geometric_cpu", generator, [&]<class T>(Words& source) {
    return [&source, log_failure = std::log1p(-p)] {
      return std::ceil(std::log(unit_uniform<double>(source)) / log_failure);
    };
  });
}

void log_normal(at::TensorIteratorBase& iter, const double mean, const double std,
                std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(iter, "log_normal_cpu", generator, [&]<class T>(Words& source) {
    return [&source, mean, std] { return std::exp(draws::normal(source, mean, std)); };
  });
}

void cauchy(at::TensorIteratorBase& iter, const double median, const double sigma,
            std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(iter, "cauchy_cpu", generator, [&]<class T>(Words& source) {
    return [&source, median, sigma] {
      const double angle = c10::pi<double> * (unit_uniform<double>(source) - 0.5);
      return std::fma(sigma, std::tan(angle), median);
    };
  });
}

void random_from_to(at::TensorIteratorBase& iter, const uint64_t range, const int64_t base,
                    std::optional<at::Generator> generator) {
  // Below this range one engine word is enough, with a skew of 5% at worst.
  constexpr uint64_t one_word = uint64_t{1} << 28;
  fill<RealBoolAndUnsignedTypes>(
      iter, "random_from_to_kernel_cpu", generator, [&]<class T>(Words& source) {
        return [&source, range, base, wide = range >= one_word, remainder = Remainder(range)] {
          const uint64_t drawn = wide ? source.random64() % range : remainder.of(source.random());
          return static_cast<T>(static_cast<int64_t>(drawn + static_cast<uint64_t>(base)));
        };
      });
}

void random_full_64_bits_range(at::TensorIteratorBase& iter,
                               std::optional<at::Generator> generator) {
  using Types = TypeList<int64_t, double, float, at::BFloat16>;
  const auto dtype = iter.dtype();
  TORCH_CHECK(
      dtype == at::kLong || dtype == at::kDouble || dtype == at::kFloat || dtype == at::kBFloat16,
      "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16");
  fill<Types>(iter, "random_full_64_bits_range_kernel_cpu", generator, [&]<class T>(Words& source) {
    return [&source] { return static_cast<T>(static_cast<int64_t>(source.random64())); };
  });
}

void random(at::TensorIteratorBase& iter, std::optional<at::Generator> generator) {
  fill<RealAndBoolTypes>(iter, "random_kernel_cpu", generator, [&]<class T>(Words& source) {
    return [&source] {
      if constexpr (std::is_same_v<T, double> || std::is_same_v<T, int64_t>) {
        return static_cast<T>(source.random64() % integers_in<T>());
      } else {
        return static_cast<T>(source.random() % integers_in<T>());
      }
    };
  });
}

void bernoulli_scalar(const at::TensorBase& self, const double p,
                      std::optional<at::Generator> generator) {
  if (self.scalar_type() == at::kBool && self.is_contiguous()) {
    HostGenerator& source = *get_generator(generator);
    std::lock_guard lock(source.mutex_);
    Words words(source, self.numel());
    return bernoullis(words, p, self.mutable_data_ptr<bool>(), self.numel());
  }
  auto iter = at::TensorIterator::borrowing_nullary_op(self);
  fill<RealAndBoolTypes>(iter, "bernoulli_scalar_cpu_", generator, [&]<class T>(Words& source) {
    return [&source, p] { return unit_uniform<double>(source) < p ? 1 : 0; };
  });
}

void bernoulli_tensor(const at::TensorBase& self, const at::TensorBase& p,
                      std::optional<at::Generator> generator_argument) {
  const at::Tensor self_tensor(self);
  const at::Tensor probability =
      at::Tensor(p).to(self.device()).expand(self.sizes(), /*implicit=*/true);
  auto iter = at::TensorIteratorConfig()
                  .add_output(self)
                  .add_const_input(probability)
                  .check_all_same_dtype(false)
                  .build();
  HostGenerator& generator = *get_generator(generator_argument);
  visit<RealAndBoolTypes>(self.scalar_type(), "bernoulli_tensor_cpu_self_", [&]<class T>() {
    visit<FloatingAndHalfTypes>(
        probability.scalar_type(), "bernoulli_tensor_cpu_p_", [&]<class P>() {
          using Real = opmath_t<P>;
          const auto for_each = [&](auto&& body) {
            iter.serial_for_each(
                [&](char** data, const int64_t* strides, int64_t size0, int64_t size1) {
                  for (int64_t j = 0; j < size1; ++j) {
                    char* out = data[0] + j * strides[2];
                    const char* in = data[1] + j * strides[3];
                    for (int64_t i = 0; i < size0; ++i) {
                      body(*reinterpret_cast<T*>(out + i * strides[0]),
                           static_cast<Real>(*reinterpret_cast<const P*>(in + i * strides[1])));
                    }
                  }
                },
                {0, iter.numel()});
          };
          for_each([](T&, Real p_in) { TORCH_CHECK(p_in >= 0 && p_in <= 1); });
          std::lock_guard lock(generator.mutex_);
          Words words(generator, iter.numel());
          for_each([&](T& out, Real p_in) {
            out = static_cast<T>(unit_uniform<Real>(words) < p_in ? 1 : 0);
          });
        });
  });
}

}  // namespace alt::kernels
