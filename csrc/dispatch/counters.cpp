#include "dispatch/counters.h"

#include <map>
#include <mutex>
#include <utility>

namespace alt {

std::atomic<int64_t> native_calls{0};

namespace {

struct Records {
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, FallbackRecord> by_op_and_site;
};

// Never destroyed: autograd threads may still count while the process ends.
Records& records() {
  static auto* instance = new Records;
  return *instance;
}

constexpr int kNotSet = -1;
std::atomic<int> mode{kNotSet};
std::atomic<CallSiteFunction> call_site_function{nullptr};

}  // namespace

void count_fallback(const std::string& op, const std::string& site, int64_t bytes) {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  FallbackRecord& record = all.by_op_and_site[{op, site}];
  record.op = op;
  record.site = site;
  record.calls += 1;
  record.bytes += bytes;
}

std::vector<FallbackRecord> fallback_report() {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  std::vector<FallbackRecord> report;
  for (const auto& [key, record] : all.by_op_and_site) report.push_back(record);
  return report;
}

void reset_fallback_report() {
  Records& all = records();
  const std::lock_guard lock(all.mutex);
  all.by_op_and_site.clear();
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
