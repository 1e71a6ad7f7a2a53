// The FFT engine where libtorch brings none: mixed radix, and Bluestein for large prime factors.
//
// A transform of length n = p m takes m butterflies of p points, p the smallest prime factor, and
// then p transforms of length m, which lie interleaved: in the order of Stockham, where each stage
// writes its results in another buffer and in the end all are in their place. A stage's inner loop
// runs over the transforms that lie side by side. A length with a prime factor above 31 is written
// as a convolution with exp(pi i j j / n), which transforms of a power of two compute (Bluestein).
// Real transforms run as complex ones.

#include <c10/util/complex.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/fft.h"

namespace alt::fft {
namespace {

constexpr int64_t kLargestRadix = 31;

template <class T>
using Vector = std::vector<c10::complex<T>>;

/// exp(2 pi i k / n)
template <class T>
c10::complex<T> root_of_unity(int64_t k, int64_t n) {
  const double angle = 2 * M_PI * (static_cast<double>(k % n) / static_cast<double>(n));
  return {static_cast<T>(std::cos(angle)), static_cast<T>(std::sin(angle))};
}

std::vector<int64_t> prime_factors(int64_t n) {
  std::vector<int64_t> factors;
  for (int64_t p = 2; p * p <= n; ++p) {
    for (; n % p == 0; n /= p) {
      factors.push_back(p);
    }
  }
  if (n > 1) {
    factors.push_back(n);
  }
  return factors;
}

/// Lengths whose prime factors are all small, in Stockham's order.
template <class T>
class MixedRadix {
 public:
  MixedRadix(int64_t n, std::vector<int64_t> factors, bool forward)
      : n_(n), factors_(std::move(factors)), roots_(n) {
    for (int64_t k = 0; k < n; ++k) {
      roots_[k] = root_of_unity<T>(forward ? (n - k) % n : k, n);
    }
  }

  /// `x` and `scratch` have n elements; the transform replaces x.
  void run(Vector<T>& x, Vector<T>& scratch) const {
    int64_t side_by_side = 1;
    for (const int64_t p : factors_) {
      stage(p, side_by_side, x.data(), scratch.data());
      x.swap(scratch);
      side_by_side *= p;
    }
  }

 private:
  /// Butterflies of p points for each of the `s` transforms that lie side by side.
  void stage(int64_t p, int64_t s, const c10::complex<T>* x, c10::complex<T>* y) const {
    const int64_t m = n_ / s / p;
    for (int64_t q = 0; q < m; ++q) {
      for (int64_t r = 0; r < p; ++r) {
        c10::complex<T>* out = y + s * (p * q + r);
        std::fill(out, out + s, c10::complex<T>(0));
        for (int64_t j = 0; j < p; ++j) {
          const c10::complex<T> factor = roots_[j * r % p * (n_ / p)] * roots_[q * r * s];
          const c10::complex<T>* in = x + s * (q + m * j);
          for (int64_t k = 0; k < s; ++k) {
            out[k] += in[k] * factor;
          }
        }
      }
    }
  }

  int64_t n_;
  std::vector<int64_t> factors_;
  Vector<T> roots_;
};

template <class T>
MixedRadix<T> power_of_two(int64_t n, bool forward) {
  return MixedRadix<T>(n, prime_factors(n), forward);
}

/// Any length, as a circular convolution of a power of two.
template <class T>
class Bluestein {
 public:
  Bluestein(int64_t n, bool forward)
      : n_(n),
        m_(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(2 * n - 1)))),
        to_spectrum_(power_of_two<T>(m_, true)),
        from_spectrum_(power_of_two<T>(m_, false)),
        chirp_(n),
        filter_(m_, 0) {
    for (int64_t j = 0; j < n; ++j) {
      // j * j modulo 2 n, without overflow for lengths below 2^31.
      const c10::complex<T> root = root_of_unity<T>(j * j % (2 * n), 2 * n);
      chirp_[j] = forward ? std::conj(root) : root;
      const c10::complex<T> tap = std::conj(chirp_[j]) / static_cast<T>(m_);
      filter_[j] = tap;
      filter_[(m_ - j) % m_] = tap;
    }
    Vector<T> scratch(m_);
    to_spectrum_.run(filter_, scratch);
  }

  void run(Vector<T>& x, Vector<T>& scratch) const {
    thread_local Vector<T> signal;
    signal.assign(m_, 0);
    scratch.resize(m_);
    for (int64_t j = 0; j < n_; ++j) {
      signal[j] = x[j] * chirp_[j];
    }
    to_spectrum_.run(signal, scratch);
    for (int64_t k = 0; k < m_; ++k) {
      signal[k] *= filter_[k];
    }
    from_spectrum_.run(signal, scratch);
    for (int64_t j = 0; j < n_; ++j) {
      x[j] = signal[j] * chirp_[j];
    }
  }

 private:
  int64_t n_;
  int64_t m_;
  MixedRadix<T> to_spectrum_;
  MixedRadix<T> from_spectrum_;
  Vector<T> chirp_;
  Vector<T> filter_;
};

template <class T, class Engine>
class OwnPlan final : public Plan<T> {
 public:
  OwnPlan(const Description& description, Engine engine)
      : description_(description), engine_(std::move(engine)) {}

  void run(const T* in, T* out) const override {
    const int64_t n = description_.length;
    thread_local Vector<T> x;
    thread_local Vector<T> scratch;
    x.resize(n);
    scratch.resize(n);
    load(in, x);
    engine_.run(x, scratch);
    store(x, out);
  }

 private:
  void load(const T* in, Vector<T>& x) const {
    const int64_t n = description_.length;
    const auto* complex = reinterpret_cast<const c10::complex<T>*>(in);
    switch (description_.kind) {
      case Kind::kRealToComplex:
        std::copy(in, in + n, x.begin());
        return;
      case Kind::kComplex:
        std::copy(complex, complex + n, x.begin());
        return;
      case Kind::kComplexToReal:
        x[0] = complex[0].real();
        for (int64_t k = 1; k <= n / 2; ++k) {
          x[n - k] = std::conj(complex[k]);
          x[k] = 2 * k == n ? c10::complex<T>(complex[k].real()) : complex[k];
        }
        return;
    }
  }

  void store(const Vector<T>& x, T* out) const {
    const int64_t n = description_.length;
    const auto scale = static_cast<T>(description_.scale);
    if (description_.kind == Kind::kComplexToReal) {
      for (int64_t j = 0; j < n; ++j) {
        out[j] = x[j].real() * scale;
      }
      return;
    }
    const int64_t kept = description_.kind == Kind::kComplex ? n : n / 2 + 1;
    for (int64_t k = 0; k < kept; ++k) {
      out[2 * k] = x[k].real() * scale;
      out[2 * k + 1] = x[k].imag() * scale;
    }
  }

  Description description_;
  Engine engine_;
};

}  // namespace

template <class T>
std::unique_ptr<Plan<T>> make_own_plan(const Description& description) {
  const int64_t n = description.length;
  std::vector<int64_t> factors = prime_factors(n);
  if (!factors.empty() && factors.back() > kLargestRadix) {
    return std::make_unique<OwnPlan<T, Bluestein<T>>>(description,
                                                      Bluestein<T>(n, description.forward));
  }
  return std::make_unique<OwnPlan<T, MixedRadix<T>>>(
      description, MixedRadix<T>(n, std::move(factors), description.forward));
}

template <class T>
std::unique_ptr<Plan<T>> make_plan(const Description& description) {
  if (auto plan = make_dfti_plan<T>(description)) {
    return plan;
  }
  return make_own_plan<T>(description);
}

template std::unique_ptr<Plan<float>> make_plan<float>(const Description&);
template std::unique_ptr<Plan<double>> make_plan<double>(const Description&);
template std::unique_ptr<Plan<float>> make_own_plan<float>(const Description&);
template std::unique_ptr<Plan<double>> make_own_plan<double>(const Description&);

}  // namespace alt::fft
