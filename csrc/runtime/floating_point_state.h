#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace alt {

// Rounding mode and treatment of denormals (torch.set_flush_denormal) of a thread.
class FloatingPointState {
 public:
  static FloatingPointState current() {
#if defined(__x86_64__)
    return FloatingPointState(_mm_getcsr());
#elif defined(__aarch64__)
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return FloatingPointState(value);
#else
    return FloatingPointState(0);
#endif
  }

  void apply() const {
#if defined(__x86_64__)
    _mm_setcsr(static_cast<unsigned>(value_));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(value_));
#endif
  }

 private:
  explicit FloatingPointState(uint64_t value) : value_(value) {}
  uint64_t value_;
};

}  // namespace alt
