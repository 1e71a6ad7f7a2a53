#include "runtime/heap_statistics.h"

namespace alt {
namespace {

template <class F>
void for_each_stat(HeapStatistics::Stats& stats, F&& visit) {
  for (auto* array : {&stats.allocation, &stats.segment, &stats.active, &stats.inactive_split,
                      &stats.allocated_bytes, &stats.reserved_bytes, &stats.active_bytes,
                      &stats.inactive_split_bytes, &stats.requested_bytes}) {
    for (auto& stat : *array) visit(stat);
  }
}

}  // namespace

void HeapStatistics::set_limit(size_t bytes) {
  std::lock_guard lock(mutex_);
  limit_ = bytes;
}

size_t HeapStatistics::limit() const {
  std::lock_guard lock(mutex_);
  return limit_;
}

int64_t HeapStatistics::allocated_bytes() const {
  std::lock_guard lock(mutex_);
  return stats_.allocated_bytes[0].current;
}

int64_t HeapStatistics::reserved_bytes() const {
  std::lock_guard lock(mutex_);
  return stats_.reserved_bytes[0].current;
}

void HeapStatistics::reset_accumulated_stats() {
  std::lock_guard lock(mutex_);
  for_each_stat(stats_, [](auto& stat) { stat.reset_accumulated(); });
  stats_.num_alloc_retries = 0;
  stats_.num_ooms = 0;
  stats_.num_device_alloc = 0;
  stats_.num_device_free = 0;
}

void HeapStatistics::reset_peak_stats() {
  std::lock_guard lock(mutex_);
  for_each_stat(stats_, [](auto& stat) { stat.reset_peak(); });
}

void HeapStatistics::count_retry() {
  std::lock_guard lock(mutex_);
  ++stats_.num_alloc_retries;
}

void HeapStatistics::count_out_of_memory() {
  std::lock_guard lock(mutex_);
  ++stats_.num_ooms;
}

}  // namespace alt
