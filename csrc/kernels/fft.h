// One-dimensional discrete Fourier transforms of contiguous lanes: all that the operators in
// fft.cpp ask of a library. MKL's DFTI where libtorch carries it, an engine of ours elsewhere.
#pragma once

#include <cstdint>
#include <memory>

namespace alt::fft {

enum class Kind { kComplex, kRealToComplex, kComplexToReal };

/// What a transform computes: `scale` times the sum over j of x[j] exp(-+ 2 pi i j k / length),
/// minus where `forward`. The complex side of a real transform has length / 2 + 1 elements.
struct Description {
  Kind kind;
  int64_t length;
  bool forward;
  double scale;
};

/// A transform of lanes whose real numbers are of type T. Several threads may run one plan.
template <class T>
class Plan {
 public:
  virtual ~Plan() = default;
  /// Complex numbers are pairs of T. `out` must not overlap `in`.
  virtual void run(const T* in, T* out) const = 0;
};

/// The fastest plan there is in this process. For float and double.
template <class T>
std::unique_ptr<Plan<T>> make_plan(const Description& description);

/// Whether libtorch has MKL's DFTI.
bool has_dfti();

/// MKL's, or null where there is none.
template <class T>
std::unique_ptr<Plan<T>> make_dfti_plan(const Description& description);

/// Ours, for any length.
template <class T>
std::unique_ptr<Plan<T>> make_own_plan(const Description& description);

}  // namespace alt::fft
