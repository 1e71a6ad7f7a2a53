#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "check.h"
#include "kernels/fft.h"

namespace {

using alt::fft::Description;
using alt::fft::Kind;
using Complex = std::complex<double>;

// Powers of two, composites, small primes, and lengths with large prime factors.
const std::vector<int64_t> kLengths{1, 2, 3, 4, 5, 8, 12, 30, 31, 32, 37, 74, 97, 120, 128};

Complex root(int64_t k, int64_t n) {
  return std::polar(1.0, 2 * M_PI * static_cast<double>(k % n) / static_cast<double>(n));
}

// The sum as it is defined.
std::vector<Complex> transform(const std::vector<Complex>& x, bool forward, double scale) {
  const auto n = static_cast<int64_t>(x.size());
  std::vector<Complex> result(n);
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t j = 0; j < n; ++j) {
      result[k] += scale * x[j] * root(forward ? (n - 1) * j % n * k : j * k, n);
    }
  }
  return result;
}

std::vector<Complex> signal(int64_t n) {
  std::vector<Complex> x(n);
  for (int64_t j = 0; j < n; ++j) {
    x[j] = {std::sin(1.0 + 3.7 * j), std::cos(2.0 + 1.3 * j * j)};
  }
  return x;
}

template <class T>
std::vector<T> flatten(const std::vector<Complex>& x, size_t count, bool complex) {
  std::vector<T> flat;
  for (size_t i = 0; i < count; ++i) {
    flat.push_back(static_cast<T>(x[i].real()));
    if (complex) {
      flat.push_back(static_cast<T>(x[i].imag()));
    }
  }
  return flat;
}

template <class T>
void check_plan(const alt::fft::Plan<T>& plan, const std::vector<T>& in,
                const std::vector<T>& expected) {
  std::vector<T> out(expected.size());
  plan.run(in.data(), out.data());
  const double bound = sizeof(T) == 4 ? 2e-5 : 1e-12;
  for (size_t i = 0; i < out.size(); ++i) {
    CHECK(std::abs(out[i] - expected[i]) <= bound * std::max<double>(1, std::abs(expected[i])));
  }
}

// Our engine and the one that make_plan chooses against the definition, for each kind of transform.
template <class T>
void plans_compute_the_definition() {
  const double scale = 0.5;
  for (const int64_t n : kLengths) {
    const size_t half = n / 2 + 1;
    const std::vector<Complex> x = signal(n);
    std::vector<Complex> real = x;
    for (Complex& value : real) {
      value = value.real();
    }
    const std::vector<Complex> spectrum = transform(real, true, 1);
    for (const auto make : {alt::fft::make_own_plan<T>, alt::fft::make_plan<T>}) {
      for (const bool forward : {true, false}) {
        check_plan<T>(*make({Kind::kComplex, n, forward, scale}), flatten<T>(x, n, true),
                      flatten<T>(transform(x, forward, scale), n, true));
      }
      check_plan<T>(*make({Kind::kRealToComplex, n, true, scale}), flatten<T>(real, n, false),
                    flatten<T>(transform(real, true, scale), half, true));
      check_plan<T>(*make({Kind::kComplexToReal, n, false, scale}),
                    flatten<T>(spectrum, half, true),
                    flatten<T>(transform(spectrum, false, scale), n, false));
    }
  }
}

}  // namespace

int main() {
  check::test("plans_compute_the_definition<float>", plans_compute_the_definition<float>);
  check::test("plans_compute_the_definition<double>", plans_compute_the_definition<double>);
  return check::finish();
}
