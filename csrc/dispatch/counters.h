// What ran natively and what fell back.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/environment.h"

namespace alt {

extern std::atomic<int64_t> native_calls;

/// Called by every generated wrapper. Calls that threads make at the same instant may count as one:
/// an addition that misses none would cost a small operator a hundredth of its time.
inline void count_native_call() {
  native_calls.store(native_calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

/// Whose kernel an operator without one of its engine's ran on.
enum class FallbackKind {
  kStock,  // stock torch's, on the CPU
  kHost,   // the host engine's, in the place of the CUDA engine's
};

struct FallbackRecord {
  std::string op;
  FallbackKind kind = FallbackKind::kStock;
  std::string site;  // "file:line function" of the Python frame that called, or "autograd"
  int64_t calls = 0;
  int64_t bytes = 0;  // of the alt tensors that were lent to stock kernels, or copied to the host
};

/// Counts a fallback; warns or raises where the mode says so.
void account_fallback(FallbackKind kind, const std::string& op, int64_t bytes);
std::vector<FallbackRecord> fallback_report();
void reset_fallback_report();

/// ALT_FALLBACK at first. One mode for the whole process: backward passes run on autograd's own
/// threads, and a ban that stopped at the thread's border would not see them.
FallbackMode fallback_mode();
void set_fallback_mode(FallbackMode mode);

/// Names the Python frame that is running; set by the Python module.
using CallSiteFunction = std::string (*)();
void set_call_site_function(CallSiteFunction function);
std::string call_site();

}  // namespace alt
