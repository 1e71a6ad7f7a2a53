// Sampling: permutations and multinomial with replacement.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <mutex>
#include <vector>

#include "kernels/cuda/random_sample.h"
#include "kernels/random.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using draws::unit_uniform;
using draws::Words;

/// Every integer below n must be exact in T.
template <class T>
void check_exact(int64_t n, const at::Tensor& out) {
  if constexpr (std::is_integral_v<T>) {
    // Raises for a value that T cannot hold.
    static_cast<void>(at::Scalar(std::max<int64_t>(n - 1, 0)).to<T>());
  } else {
    constexpr int digits = std::numeric_limits<T>::digits;
    TORCH_CHECK(n <= (int64_t{1} << digits) + 1, "n cannot be greater than 2^", digits, "+1 for ",
                at::toString(out.scalar_type()), " type.");
  }
}

/// `count` words, the k-th of them modulo `choices` - k. Together: vectors divide doubles, which
/// hold these quotients with so much to spare that none is rounded up to the next integer, and the
/// swaps that follow know where they go.
void draw_below(Words& words, uint32_t choices, int64_t count, uint32_t* drawn) {
  for (int64_t k = 0; k < count; ++k) drawn[k] = words.random();
  for (int64_t k = 0; k < count; ++k) {
    const uint32_t divisor = choices - static_cast<uint32_t>(k);
    const double quotient = static_cast<double>(drawn[k]) / static_cast<double>(divisor);
    drawn[k] -= static_cast<uint32_t>(quotient) * divisor;
  }
}

/// Fisher-Yates; above 2^32 / 20 elements one engine word would be skewed, so two are drawn.
template <class T>
void permute(T* out, int64_t stride, int64_t n, HostGenerator& generator) {
  if (n < std::numeric_limits<uint32_t>::max() / 20) {
    parallel_for(0, n, 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        out[i * stride] = static_cast<T>(i);
      }
    });
    Words words(generator, n - 1);
    std::array<uint32_t, 256> ahead;  // how far each element of a block is from its partner
    for (int64_t first = 0; first + 1 < n; first += std::ssize(ahead)) {
      const int64_t count = std::min<int64_t>(std::ssize(ahead), n - 1 - first);
      draw_below(words, static_cast<uint32_t>(n - first), count, ahead.data());
      for (int64_t i = first; i < first + count; ++i) {
        std::swap(out[i * stride], out[(i + ahead[static_cast<size_t>(i - first)]) * stride]);
      }
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const auto other = static_cast<int64_t>(generator.random64() % static_cast<uint64_t>(i + 1));
    out[i * stride] = out[other * stride];
    out[other * stride] = static_cast<T>(i);
  }
}

/// The running sum of one distribution, divided by its total.
template <class T, class Real>
void cumulate(const T* weights, int64_t stride, std::vector<Real>& cumulative) {
  Real sum = 0;
  for (size_t j = 0; j < cumulative.size(); ++j) {
    const auto value = static_cast<Real>(weights[static_cast<int64_t>(j) * stride]);
    TORCH_CHECK(value >= 0,
                "invalid multinomial distribution (encountering probability entry < 0)");
    TORCH_CHECK(
        std::isfinite(value),
        "invalid multinomial distribution (encountering probability entry = infinity or NaN)");
    sum += value;
    cumulative[j] = sum;
  }
  TORCH_CHECK(sum > 0, "invalid multinomial distribution (sum of probabilities <= 0)");
  for (Real& value : cumulative) {
    value /= sum;
  }
  cumulative.back() = 1;
}

/// The first slot whose cumulative weight reaches `sample`.
template <class Real>
int64_t find_slot(const std::vector<Real>& cumulative, double sample) {
  int64_t left = 0;
  auto right = static_cast<int64_t>(cumulative.size());
  while (left < right) {
    const int64_t middle = left + (right - left) / 2;
    if (cumulative[middle] < sample) {
      left = middle + 1;
    } else {
      right = middle;
    }
  }
  return left;
}

}  // namespace

at::Tensor& randperm_out(int64_t n, std::optional<at::Generator> generator_argument,
                         at::Tensor& out) {
  TORCH_CHECK(n >= 0, "n must be non-negative, got", n);
  HostGenerator& generator = *get_generator(generator_argument);
  visit<RealTypes>(out.scalar_type(), "randperm", [&]<class T>() {
    check_exact<T>(n, out);
    out.resize_({n});
    if (alt::cuda::on_gpu()) return cuda::permute(out, n, generator_argument);
    std::lock_guard lock(generator.mutex_);
    permute(out.mutable_data_ptr<T>(), n > 0 ? out.stride(0) : 1, n, generator);
  });
  return out;
}

void multinomial_with_replacement(at::Tensor& result, const at::Tensor& self, int64_t n_sample,
                                  std::optional<at::Generator> generator) {
  const int64_t distributions = self.dim() > 1 ? self.size(-2) : 1;
  const auto sample = [&]<class T>(Words& words) {
    using Real = opmath_t<T>;
    const T* weights = self.const_data_ptr<T>();
    auto* out = result.mutable_data_ptr<int64_t>();
    std::vector<Real> cumulative(static_cast<size_t>(self.size(-1)));
    for (int64_t i = 0; i < distributions; ++i) {
      cumulate(weights + (self.dim() > 1 ? i * self.stride(-2) : 0), self.stride(-1), cumulative);
      int64_t* row = out + (result.dim() > 1 ? i * result.stride(-2) : 0);
      for (int64_t j = 0; j < n_sample; ++j) {
        row[j * result.stride(-1)] = find_slot(cumulative, unit_uniform<double>(words));
      }
    }
  };
  draws::with_words<FloatingAndHalfTypes>(self.scalar_type(), 2 * distributions * n_sample,
                                          "multinomial", generator, sample);
}

}  // namespace alt::kernels
