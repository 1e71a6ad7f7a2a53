// Random fills on the GPU (altbackend/cuda/kernels/random.cuh). A call draws its key from the same
// generator that the host engine draws from, so that seeding, saving and restoring a generator
// means what it means there; the numbers are other ones.
#include <ATen/MemoryOverlap.h>
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>

#include <cmath>
#include <mutex>
#include <optional>

#include "kernels/cuda/launches.h"
#include "kernels/cuda/random_sample.h"
#include "kernels/operands.h"
#include "kernels/random.h"
#include "runtime/generator.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;
using draws::RealAndBoolTypes;
using draws::RealBoolAndUnsignedTypes;
using OptionalGenerator = std::optional<at::Generator>;

/// random::Kind of the kernel.
enum Kind : int64_t {
  kUniform,
  kNormal,
  kLogNormal,
  kExponential,
  kGeometric,
  kCauchy,
  kBernoulli,
  kInteger,
};

int64_t draw_key(const OptionalGenerator& generator) {
  HostGenerator& source = *get_generator(generator);
  const std::lock_guard lock(source.mutex_);
  return static_cast<int64_t>(source.random64());
}

/// An unsigned integer gets the bits of a signed one.
at::ScalarType filled_as(at::ScalarType dtype) {
  switch (dtype) {
    case at::kUInt16:
      return at::kShort;
    case at::kUInt32:
      return at::kInt;
    case at::kUInt64:
      return at::kLong;
    default:
      return dtype;
  }
}

/// Two numbers, or a range and its base.
struct Parameters {
  double first = 0, second = 0;
  uint64_t range = 0;
  int64_t base = 0;
};

template <class Types>
void fill(const char* name, const at::TensorBase& output, Kind kind, const Parameters& p,
          const OptionalGenerator& generator, const Tensor& probabilities = {}) {
  check_type<Types>(output.scalar_type(), name);
  at::assert_no_internal_overlap(output);  // which a front-end with an iterator has seen to
  if (output.numel() == 0) return;
  launch_elements(kernel("random_fill", {filled_as(output.scalar_type())}), output.numel(),
                  arguments({tensor_args(output), tensor_args(probabilities)},
                            {draw_key(generator), kind, static_cast<int64_t>(p.range), p.base},
                            {p.first, p.second}));
}

}  // namespace

void uniform(at::TensorIteratorBase& iter, const double from, const double to,
             OptionalGenerator generator) {
  fill<FloatingAndHalfTypes>("uniform_kernel_cpu", iter.tensor_base(0), kUniform, {from, to},
                             generator);
}

void normal(const at::TensorBase& self, const double mean, const double std,
            OptionalGenerator generator) {
  fill<FloatingAndHalfTypes>("normal_kernel_cpu", self, kNormal, {mean, std}, generator);
}

void exponential(at::TensorIteratorBase& iter, const double lambda, OptionalGenerator generator) {
  draws::check_exponential(iter.dtype());
  fill<FloatingAndHalfTypes>("exponential_cpu", iter.tensor_base(0), kExponential, {lambda},
                             generator);
}

void geometric(at::TensorIteratorBase& iter, const double p, OptionalGenerator generator) {
  fill<RealTypes>("geometric_cpu", iter.tensor_base(0), kGeometric, {p}, generator);
}

void log_normal(at::TensorIteratorBase& iter, const double mean, const double std,
                OptionalGenerator generator) {
  fill<FloatingAndHalfTypes>("log_normal_cpu", iter.tensor_base(0), kLogNormal, {mean, std},
                             generator);
}

void cauchy(at::TensorIteratorBase& iter, const double median, const double sigma,
            OptionalGenerator generator) {
  fill<FloatingAndHalfTypes>("cauchy_cpu", iter.tensor_base(0), kCauchy, {median, sigma},
                             generator);
}

void random_from_to(at::TensorIteratorBase& iter, const uint64_t range, const int64_t base,
                    OptionalGenerator generator) {
  fill<RealBoolAndUnsignedTypes>("random_from_to_kernel_cpu", iter.tensor_base(0), kInteger,
                                 {0, 0, range, base}, generator);
}

void random_full_64_bits_range(at::TensorIteratorBase& iter, OptionalGenerator generator) {
  using Types = TypeList<int64_t, double, float, at::BFloat16>;
  fill<Types>("random_full_64_bits_range_kernel_cpu", iter.tensor_base(0), kInteger, {}, generator);
}

void random(at::TensorIteratorBase& iter, OptionalGenerator generator) {
  uint64_t count = 0;
  visit<RealAndBoolTypes>(iter.dtype(), "random_kernel_cpu",
                          [&]<class T>() { count = draws::integers_in<T>(); });
  fill<RealAndBoolTypes>("random_kernel_cpu", iter.tensor_base(0), kInteger, {0, 0, count, 0},
                         generator);
}

void bernoulli_scalar(const at::TensorBase& self, const double p, OptionalGenerator generator) {
  fill<RealAndBoolTypes>("bernoulli_scalar_cpu_", self, kBernoulli, {p}, generator);
}

void bernoulli_tensor(const at::TensorBase& self, const at::TensorBase& p,
                      OptionalGenerator generator) {
  check_type<FloatingAndHalfTypes>(p.scalar_type(), "bernoulli_tensor_cpu_p_");
  const Tensor probability =
      Tensor(p).to(self.device(), at::kDouble).expand(self.sizes(), /*implicit=*/true);
  fill<RealAndBoolTypes>("bernoulli_tensor_cpu_self_", self, kBernoulli, {}, generator,
                         probability);
}

void permute(const Tensor& out, int64_t n, const OptionalGenerator& generator) {
  const Tensor keys = at::empty({n}, out.options().dtype(at::kLong));
  fill<TypeList<int64_t>>("randperm", keys, kInteger, {}, generator);
  out.copy_(std::get<1>(keys.sort(/*stable=*/true, 0, /*descending=*/false)));
}

namespace {

/// Of probabilities and their sums; the host waits for the device, once.
void check_distributions(const Tensor& probabilities, const Tensor& totals) {
  const auto wide = [](const Tensor& number) { return number.to(at::kDouble); };
  const Tensor found =
      at::stack({wide(probabilities.min()), wide(probabilities.max()), totals.min()}).to(at::kCPU);
  const double* number = found.const_data_ptr<double>();
  TORCH_CHECK(number[0] >= 0,
              "invalid multinomial distribution (encountering probability entry < 0)");
  TORCH_CHECK(
      std::isfinite(number[1]),
      "invalid multinomial distribution (encountering probability entry = infinity or NaN)");
  TORCH_CHECK(number[2] > 0, "invalid multinomial distribution (sum of probabilities <= 0)");
}

}  // namespace

void multinomial_with_replacement(Tensor& result, const Tensor& self, int64_t n_sample,
                                  OptionalGenerator generator) {
  check_type<FloatingAndHalfTypes>(self.scalar_type(), "multinomial");
  if (result.numel() == 0) return;
  TORCH_CHECK(self.numel() > 0, "invalid multinomial distribution (sum of probabilities <= 0)");
  Tensor cumulative = self.to(at::kDouble).cumsum(-1);
  const Tensor totals = cumulative.narrow(-1, self.size(-1) - 1, 1);
  check_distributions(self, totals);
  cumulative = cumulative.div(totals);
  at::DimVector sizes(self.sizes().begin(), self.sizes().end());
  sizes.back() = n_sample;
  const Tensor samples = at::empty(sizes, cumulative.options());
  fill<FloatingTypes>("multinomial", samples, kUniform, {0, 1}, generator);
  result.copy_(at::searchsorted(cumulative, samples));
}

}  // namespace alt::kernels::cuda
