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
using draws::uniform_mask;
using draws::UniformBits;
using draws::unit_uniform;
using draws::unit_uniform_of;
using draws::with_words;
using draws::Words;

/// What a draw is a function of.
template <class Draw, class Result, class Bits>
Bits argument_of(Result (Draw::*)(Bits) const);
template <class Draw>
using BitsOf = decltype(argument_of(&Draw::operator()));

/// One fill: every element is make_draw.operator()<T>(), a function of a word or of two.
template <class List, class MakeDraw>
void fill(at::TensorIteratorBase& iter, const char* name,
          const std::optional<at::Generator>& generator, MakeDraw&& make_draw) {
  with_words<List>(iter.dtype(), iter.numel(), name, generator, [&]<class T>(Words& words) {
    auto draw = make_draw.template operator()<T>();
    using Bits = BitsOf<decltype(draw)>;
    if (iter.is_contiguous()) {
      words.fill<Bits>(static_cast<T*>(iter.data_ptr(0)), iter.numel(), draw);
    } else {
      serial_fill<T>(iter, [&] { return draw(draws::draw<Bits>(words)); });
    }
  });
}

/// The same, without an iterator where it can be.
template <class List, class MakeDraw>
void fill(const at::TensorBase& self, const char* name,
          const std::optional<at::Generator>& generator, MakeDraw&& make_draw) {
  if (!self.is_contiguous()) {
    auto iter = at::TensorIterator::borrowing_nullary_op(self);
    return fill<List>(iter, name, generator, make_draw);
  }
  with_words<List>(self.scalar_type(), self.numel(), name, generator, [&]<class T>(Words& words) {
    auto draw = make_draw.template operator()<T>();
    words.fill<BitsOf<decltype(draw)>>(self.mutable_data_ptr<T>(), self.numel(), draw);
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
    words.fill<uint64_t>(uniforms, n, unit_uniform_of<double>);
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

/// Remainders of words by a divisor of at most 28 bits, by multiplication: Lemire, Kaser and Kurz,
/// "Faster remainder by direct computation" (2019), exact for words and divisors of 32 bits.
class Remainder {
 public:
  explicit Remainder(uint64_t divisor) : divisor_(divisor), inverse_(~uint64_t{0} / divisor + 1) {}
  uint64_t of(uint32_t word) const {
    const uint64_t fraction = inverse_ * word;
    // The upper half of fraction * divisor, from two halves: vectors multiply no wider.
    return ((fraction >> 32) * divisor_ + ((fraction & 0xffffffff) * divisor_ >> 32)) >> 32;
  }

 private:
  uint64_t divisor_, inverse_;
};

}  // namespace

void uniform(at::TensorIteratorBase& iter, const double from, const double to,
             std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(iter, "uniform_kernel_cpu", generator, [&]<class T>() {
    using Real = opmath_t<T>;
    const auto low = static_cast<Real>(from);
    const auto high = static_cast<Real>(to);
    const auto excluded = static_cast<T>(to);
    const auto replacement = static_cast<T>(from);
    return [low, width = high - low, excluded, replacement](UniformBits<Real> bits) {
      const auto value = static_cast<T>(std::fma(unit_uniform_of<Real>(bits), width, low));
      // Rounding can reach the bound that the interval leaves out.
      return value == excluded ? replacement : value;
    };
  });
}

void exponential(at::TensorIteratorBase& iter, const double lambda,
                 std::optional<at::Generator> generator) {
  draws::check_exponential(iter.dtype());
  with_words<FloatingAndHalfTypes>(
      iter.dtype(), iter.numel(), "exponential_cpu", generator, [&]<class T>(Words& words) {
        const double scale = -1.0 / lambda;
        if (!std::is_same_v<T, double> && iter.is_contiguous()) {
          exponentials(words, scale, static_cast<T*>(iter.data_ptr(0)), iter.numel());
        } else {
          serial_fill<T>(iter, [&] { return exponential_draw(words, scale); });
        }
      });
}

void geometric(at::TensorIteratorBase& iter, const double p,
               std::optional<at::Generator> generator) {
  fill<RealTypes>(iter, "geometric_cpu", generator, [&]<class T>() {
    return [log_failure = std::log1p(-p)](uint64_t bits) {
      return static_cast<T>(std::ceil(std::log(unit_uniform_of<double>(bits)) / log_failure));
    };
  });
}

void log_normal(at::TensorIteratorBase& iter, const double mean, const double std,
                std::optional<at::Generator> generator) {
  with_words<FloatingAndHalfTypes>(
      iter.dtype(), iter.numel(), "log_normal_cpu", generator, [&]<class T>(Words& words) {
        serial_fill<T>(iter, [&] { return std::exp(draws::normal(words, mean, std)); });
      });
}

void cauchy(at::TensorIteratorBase& iter, const double median, const double sigma,
            std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(iter, "cauchy_cpu", generator, [&]<class T>() {
    return [median, sigma](uint64_t bits) {
      const double angle = c10::pi<double> * (unit_uniform_of<double>(bits) - 0.5);
      return static_cast<T>(std::fma(sigma, std::tan(angle), median));
    };
  });
}

void random_from_to(at::TensorIteratorBase& iter, const uint64_t range, const int64_t base,
                    std::optional<at::Generator> generator) {
  const auto fill_by = [&](auto&& make_draw) {
    fill<RealBoolAndUnsignedTypes>(iter, "random_from_to_kernel_cpu", generator, make_draw);
  };
  const auto first = static_cast<uint64_t>(base);
  // Below this range one engine word is enough, with a skew of 5% at worst.
  constexpr uint64_t one_word = uint64_t{1} << 28;
  if (range < one_word) {
    fill_by([&]<class T>() {
      return [first, remainder = Remainder(range)](uint32_t bits) {
        return static_cast<T>(static_cast<int64_t>(remainder.of(bits) + first));
      };
    });
  } else {
    fill_by([&]<class T>() {
      return [first, range](uint64_t bits) {
        return static_cast<T>(static_cast<int64_t>(bits % range + first));
      };
    });
  }
}

void random_full_64_bits_range(at::TensorIteratorBase& iter,
                               std::optional<at::Generator> generator) {
  using Types = TypeList<int64_t, double, float, at::BFloat16>;
  const auto dtype = iter.dtype();
  TORCH_CHECK(
      dtype == at::kLong || dtype == at::kDouble || dtype == at::kFloat || dtype == at::kBFloat16,
      "random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16");
  fill<Types>(iter, "random_full_64_bits_range_kernel_cpu", generator, []<class T>() {
    return [](uint64_t bits) { return static_cast<T>(static_cast<int64_t>(bits)); };
  });
}

void random(at::TensorIteratorBase& iter, std::optional<at::Generator> generator) {
  fill<RealAndBoolTypes>(iter, "random_kernel_cpu", generator, []<class T>() {
    constexpr bool is_wide = std::is_same_v<T, double> || std::is_same_v<T, int64_t>;
    return [](std::conditional_t<is_wide, uint64_t, uint32_t> bits) {
      return static_cast<T>(bits % integers_in<T>());
    };
  });
}

void bernoulli_scalar(const at::TensorBase& self, const double p,
                      std::optional<at::Generator> generator) {
  // A uniform double is below p where its bits are below the least that are not.
  const auto least = static_cast<int64_t>(std::ceil(std::ldexp(p, 53)));
  fill<RealAndBoolTypes>(self, "bernoulli_scalar_cpu_", generator, [&]<class T>() {
    return [least](uint64_t bits) {
      return static_cast<T>(static_cast<int64_t>(bits & uniform_mask<double>) < least ? 1 : 0);
    };
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
