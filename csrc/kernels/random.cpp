// Random fills: uniform, exponential, geometric, log-normal, Cauchy, Bernoulli and integers.
//
// The front ends (checks, empty tensors, complex as pairs) are PyTorch's; these are their stubs.
// The engine is sequential, so a fill is too. The formulas are those of stock's CPU distributions,
// in the same precision: double for all but uniform, whatever the dtype of the result.
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <mutex>

#include "kernels/random.h"

namespace alt::kernels {
namespace {

using draws::serial_fill;
using draws::unit_uniform;

using RealTypes = concat_t<IntegralTypes, FloatingAndHalfTypes>;
using RealAndBoolTypes = concat_t<RealTypes, TypeList<bool>>;
using RealBoolAndUnsignedTypes = concat_t<RealAndBoolTypes, BarebonesUnsignedTypes>;

/// One fill: visits the dtype, holds the generator's lock, draws for every element.
template <class List, class MakeDraw>
void fill(at::TensorIteratorBase& iter, const char* name,
          const std::optional<at::Generator>& generator_argument, MakeDraw&& make_draw) {
  HostGenerator& generator = *get_generator(generator_argument);
  visit<List>(iter.dtype(), name, [&]<class T>() {
    std::lock_guard lock(generator.mutex_);
    serial_fill<T>(iter, make_draw.template operator()<T>(generator));
  });
}

/// The largest integer that random_() without bounds gives in T.
template <class T>
constexpr uint64_t last_integer() {
  if constexpr (std::is_integral_v<T>) {
    return static_cast<uint64_t>(std::numeric_limits<T>::max());
  } else {
    return uint64_t{1} << std::numeric_limits<T>::digits;
  }
}

}  // namespace

void uniform(at::TensorIteratorBase& iter, const double from, const double to,
             std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(
      iter, "uniform_kernel_cpu", generator, [&]<class T>(HostGenerator& source) {
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
                 std::optional<at::Generator> generator) {
  TORCH_CHECK(at::isFloatingType(iter.dtype()),
              "Exponential distribution is a continuous probability distribution. dtype must be a "
              "floating point but you specified ",
              iter.dtype());
  fill<FloatingAndHalfTypes>(iter, "exponential_cpu", generator,
                             [&]<class T>(HostGenerator& source) {
                               return [&source, scale = -1.0 / lambda] {
                                 return scale * std::log1p(-unit_uniform<double>(source));
                               };
                             });
}

void geometric(at::TensorIteratorBase& iter, const double p,
               std::optional<at::Generator> generator) {
  fill<RealTypes>(iter, "geometric_cpu", generator, [&]<class T>(HostGenerator& source) {
    return [&source, log_failure = std::log1p(-p)] {
      return std::ceil(std::log(unit_uniform<double>(source)) / log_failure);
    };
  });
}

void log_normal(at::TensorIteratorBase& iter, const double mean, const double std,
                std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(
      iter, "log_normal_cpu", generator, [&]<class T>(HostGenerator& source) {
        return [&source, mean, std] { return std::exp(draws::normal(source, mean, std)); };
      });
}

void cauchy(at::TensorIteratorBase& iter, const double median, const double sigma,
            std::optional<at::Generator> generator) {
  fill<FloatingAndHalfTypes>(iter, "cauchy_cpu", generator, [&]<class T>(HostGenerator& source) {
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
      iter, "random_from_to_kernel_cpu", generator, [&]<class T>(HostGenerator& source) {
        return [&source, range, base, wide = range >= one_word] {
          const uint64_t word = wide ? source.random64() : source.random();
          return static_cast<T>(static_cast<int64_t>(word % range + static_cast<uint64_t>(base)));
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
  fill<Types>(
      iter, "random_full_64_bits_range_kernel_cpu", generator, [&]<class T>(HostGenerator& source) {
        return [&source] { return static_cast<T>(static_cast<int64_t>(source.random64())); };
      });
}

void random(at::TensorIteratorBase& iter, std::optional<at::Generator> generator) {
  fill<RealAndBoolTypes>(iter, "random_kernel_cpu", generator, [&]<class T>(HostGenerator& source) {
    return [&source] {
      if constexpr (std::is_same_v<T, bool>) {
        return static_cast<bool>(source.random() & 1);
      } else if constexpr (std::is_same_v<T, double> || std::is_same_v<T, int64_t>) {
        return static_cast<T>(source.random64() % (last_integer<T>() + 1));
      } else {
        return static_cast<T>(source.random() % (last_integer<T>() + 1));
      }
    };
  });
}

void bernoulli_scalar(const at::TensorBase& self, const double p,
                      std::optional<at::Generator> generator) {
  auto iter = at::TensorIterator::borrowing_nullary_op(self);
  fill<RealAndBoolTypes>(iter, "bernoulli_scalar_cpu_", generator,
                         [&]<class T>(HostGenerator& source) {
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
          for_each([&](T& out, Real p_in) {
            out = static_cast<T>(unit_uniform<Real>(generator) < p_in ? 1 : 0);
          });
        });
  });
}

}  // namespace alt::kernels
