// normal_: the fill of a contiguous tensor of 16 elements or more by Box-Muller on blocks of 16,
// and one element at a time otherwise, as stock does, so that a seed gives the same bits.
//
// float runs on 8 AVX2 lanes with the logarithm and sine of avx_mathfun (a public header of torch),
// because stock's bits are those of these polynomials; double and other processors use libm.
#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include "kernels/random.h"
#include "runtime/thread_pool.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define CPU_CAPABILITY_AVX2
#include <ATen/native/cpu/avx_mathfun.h>
#undef CPU_CAPABILITY_AVX2
#define ALT_NORMAL_AVX2
#endif

namespace alt::kernels {
namespace {

constexpr int64_t kBlock = 16;

/// Sixteen uniforms become sixteen normals: element j and element j + 8 make one pair.
template <class Real>
void normal_from_uniform(Real* block, Real mean, Real std) {
  for (int j = 0; j < 8; ++j) {
    const Real radius = std::sqrt(-2 * std::log(1 - block[j]));
    const auto theta = static_cast<Real>(2.0f * c10::pi<double> * block[j + 8]);
    block[j] = std::fma(radius * std::cos(theta), std, mean);
    block[j + 8] = std::fma(radius * std::sin(theta), std, mean);
  }
}

#ifdef ALT_NORMAL_AVX2
template <>
void normal_from_uniform<float>(float* block, float mean, float std) {
  const __m256 u1 = _mm256_sub_ps(_mm256_set1_ps(1.0f), _mm256_loadu_ps(block));
  const __m256 u2 = _mm256_loadu_ps(block + 8);
  const __m256 radius = _mm256_sqrt_ps(_mm256_mul_ps(_mm256_set1_ps(-2.0f), log256_ps(u1)));
  const __m256 theta =
      _mm256_mul_ps(_mm256_set1_ps(static_cast<float>(2.0f * c10::pi<double>)), u2);
  __m256 sine;
  __m256 cosine;
  sincos256_ps(theta, &sine, &cosine);
  const __m256 mean8 = _mm256_set1_ps(mean);
  const __m256 std8 = _mm256_set1_ps(std);
  _mm256_storeu_ps(block, _mm256_fmadd_ps(_mm256_mul_ps(radius, cosine), std8, mean8));
  _mm256_storeu_ps(block + 8, _mm256_fmadd_ps(_mm256_mul_ps(radius, sine), std8, mean8));
}
#endif

/// Where uniforms need no conversion all of them are drawn, those of the ragged end included,
/// before the threads share the blocks.
template <class T>
void normal_blocks(T* data, int64_t size, double mean, double std, draws::Words& words) {
  using Real = opmath_t<T>;
  const auto draw = [&](Real* to, int64_t count) {
    words.fill<draws::UniformBits<Real>>(to, count, draws::unit_uniform_of<Real>);
  };
  const auto transform = [&](Real* block) {
    normal_from_uniform(block, static_cast<Real>(mean), static_cast<Real>(std));
  };
  if constexpr (std::is_same_v<T, Real>) {
    constexpr int64_t blocks_worth_a_thread = 256;  // some 5 us
    draw(data, size);
    parallel_for(0, size / kBlock, blocks_worth_a_thread, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) transform(data + i * kBlock);
    });
    if (size % kBlock != 0) {
      draw(data + size - kBlock, kBlock);
      transform(data + size - kBlock);
    }
  } else {
    const auto block = [&](T* out) {
      Real values[kBlock];
      draw(values, kBlock);
      transform(values);
      for (int64_t j = 0; j < kBlock; ++j) out[j] = static_cast<T>(values[j]);
    };
    for (int64_t i = 0; i + kBlock <= size; i += kBlock) block(data + i);
    if (size % kBlock != 0) block(data + size - kBlock);
  }
}

}  // namespace

void normal(const at::TensorBase& self, const double mean, const double std,
            std::optional<at::Generator> generator) {
  const auto fill = [&]<class T>(draws::Words& words) {
    if (self.numel() >= kBlock && self.is_contiguous()) {
      normal_blocks(self.mutable_data_ptr<T>(), self.numel(), mean, std, words);
    } else {
      auto iter = at::TensorIterator::borrowing_nullary_op(self);
      draws::serial_fill<T>(iter, [&] { return draws::normal(words, mean, std); });
    }
  };
  draws::with_words<FloatingAndHalfTypes>(self.scalar_type(), self.numel(), "normal_kernel_cpu",
                                          generator, fill);
}

}  // namespace alt::kernels
