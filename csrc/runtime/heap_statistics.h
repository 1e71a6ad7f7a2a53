#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>

namespace alt {

// What the heap of a device counts, of whatever memory it is, and the limit that it keeps.
class HeapStatistics {
 public:
  using Stats = c10::CachingDeviceAllocator::DeviceStats;
  static constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

  void set_limit(size_t bytes);
  size_t limit() const;

  virtual Stats stats() const = 0;
  int64_t allocated_bytes() const;
  int64_t reserved_bytes() const;
  void reset_accumulated_stats();
  void reset_peak_stats();
  void count_retry();
  void count_out_of_memory();

  // Gives segments that nothing lies in back to the system.
  virtual void empty_cache() = 0;

  virtual bool contains(const void* pointer) const = 0;

  std::mutex& mutex() const { return mutex_; }

 protected:
  HeapStatistics() = default;
  ~HeapStatistics() = default;

  // Changes a statistic of the kind of memory that `kind` names, and of all.
  template <class F>
  static void update(c10::CachingAllocator::StatType kind, c10::CachingAllocator::StatArray& stat,
                     F&& change) {
    change(stat[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)]);
    change(stat[static_cast<size_t>(kind)]);
  }

  // Whether `size` more bytes may be taken from the system.
  bool within_limit(size_t size) const {
    const auto reserved = static_cast<size_t>(stats_.reserved_bytes[0].current);
    return size <= limit_ && reserved <= limit_ - size;
  }

  mutable std::mutex mutex_;  // Of everything below, and of what a heap adds.
  size_t limit_ = kNoLimit;
  Stats stats_;
};

}  // namespace alt
