#include "dispatch/counters.h"

#include <c10/util/Exception.h>

#include <map>
#include <mutex>
#include <tuple>
#include <utility>

namespace alt {

std::atomic<int64_t> native_calls{0};

namespace {

struct Records {
  std::mutex mutex;
  std::map<std::tuple<std::string, FallbackKind, std::string>, FallbackRecord> by_call;
};

// Never destroyed: autograd threads may still count while the process ends.
Records& records() {
  static auto* instance = new Records;
  return *instance;
}

constexpr int kNotSet = -1;
std::atomic<int> mode{kNotSet};
std::atomic<CallSiteFunction> call_site_function{nullptr};

void count(FallbackKind kind, const std::string& op, const std::string& site, int64_t bytes) {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  FallbackRecord& record = all.by_call[{op, kind, site}];
  record.op = op;
  record.kind = kind;
  record.site = site;
  record.calls += 1;
  record.bytes += bytes;
}

const char* replacement(FallbackKind kind) {
  return kind == FallbackKind::kStock ? "stock CPU torch" : "the host engine";
}

}  // namespace

void account_fallback(FallbackKind kind, const std::string& op, int64_t bytes) {
  const FallbackMode chosen = fallback_mode();
  TORCH_CHECK_NOT_IMPLEMENTED(
      chosen != FallbackMode::kForbid, "alt has no ", kind == FallbackKind::kHost ? "CUDA " : "",
      "kernel of its own for '", op, "' and falling back to ", replacement(kind),
      " is forbidden here (altbackend.no_fallback() or ALT_FALLBACK=forbid).");
  const std::string site = call_site();
  count(kind, op, site, bytes);
  if (chosen == FallbackMode::kWarn) {
    TORCH_WARN("alt: '", op, "' fell back to ", replacement(kind), " (", bytes,
               kind == FallbackKind::kStock ? " bytes lent) at " : " bytes copied) at ", site);
  }
}

std::vector<FallbackRecord> fallback_report() {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  std::vector<FallbackRecord> report;
  for (const auto& [key, record] : all.by_call) report.push_back(record);
  return report;
}

void reset_fallback_report() {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  all.by_call.clear();
}

FallbackMode fallback_mode() {
  const int chosen = mode.load(std::memory_order_relaxed);
  return chosen == kNotSet ? environment().fallback : static_cast<FallbackMode>(chosen);
}
void set_fallback_mode(FallbackMode value) {
  mode.store(static_cast<int>(value));
}

void set_call_site_function(CallSiteFunction function) {
  call_site_function.store(function);
}

std::string call_site() {
  const CallSiteFunction function = call_site_function.load();
  return function == nullptr ? "C++" : function();
}

}  // namespace alt
