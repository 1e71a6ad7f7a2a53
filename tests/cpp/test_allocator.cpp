#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "runtime/allocator.h"
#include "runtime/device.h"
#include "runtime/environment.h"
#include "runtime/pinned_memory.h"
#include "runtime/system_memory.h"

namespace {

using c10::CachingAllocator::StatType;

constexpr size_t kMiB = size_t{1} << 20;

c10::CachingDeviceAllocator::DeviceStats stats(c10::DeviceIndex device = 0) {
  return alt::device_allocator().getDeviceStats(device);
}

int64_t allocated() {
  return stats().allocated_bytes[0].current;
}
int64_t reserved() {
  return stats().reserved_bytes[0].current;
}

void empty_cache() {
  alt::device_allocator().emptyCache({0, 0});
}

bool aligned(const c10::DataPtr& data) {
  return reinterpret_cast<uintptr_t>(data.get()) % 64 == 0;
}

void memory_is_aligned_and_on_its_device() {
  for (size_t size : {1, 3, 64, 65, 4096, 1 << 20, (1 << 20) + 1, 40 << 20}) {
    const c10::DataPtr data = alt::allocate(size, 0);
    CHECK(data.get() != nullptr);
    CHECK(data.get() == data.get_context());
    CHECK(aligned(data));
    CHECK(data.device() == c10::Device(c10::DeviceType::PrivateUse1, 0));
    std::memset(data.get(), 7, size);
  }
}

void nothing_is_null() {
  const c10::DataPtr data = alt::allocate(0, 1);
  CHECK(data.get() == nullptr);
  CHECK(data.device().index() == 1);
}

void freed_memory_is_used_again() {
  for (size_t size : {size_t{100}, 3 * kMiB, 200 * kMiB}) {
    const void* first = alt::allocate(size, 0).get();
    const int64_t before = reserved();
    for (int i = 0; i < 10; ++i) {
      const c10::DataPtr again = alt::allocate(size, 0);
      CHECK(again.get() == first);
    }
    CHECK(reserved() == before);
  }
}

void empty_cache_gives_everything_back() {
  {
    std::vector<c10::DataPtr> all;
    for (size_t i = 1; i < 200; ++i) all.push_back(alt::allocate(i * 50'000, 0));
    CHECK(reserved() > allocated());
  }
  CHECK(allocated() == 0);
  CHECK(reserved() > 0);
  empty_cache();
  CHECK(reserved() == 0);
  CHECK(stats().inactive_split[0].current == 0);
}

// Small blocks wait unmerged for the next of their size, and are merged where that is not enough.
void what_waits_is_given_to_larger_blocks() {
  empty_cache();
  {
    std::vector<c10::DataPtr> all;
    for (int i = 0; i < 1000; ++i) all.push_back(alt::allocate(1024, 0));
  }
  const int64_t before = reserved();
  const c10::DataPtr larger = alt::allocate(1'000'000, 0);
  CHECK(reserved() == before);
}

void statistics_count_what_is_asked_for() {
  empty_cache();
  alt::device_allocator().resetPeakStats(0);
  alt::device_allocator().resetAccumulatedStats(0);
  {
    const c10::DataPtr small = alt::allocate(100, 0);
    const c10::DataPtr large = alt::allocate(2 * kMiB, 0);
    const auto now = stats();
    const auto small_pool = static_cast<size_t>(StatType::SMALL_POOL);
    const auto large_pool = static_cast<size_t>(StatType::LARGE_POOL);
    CHECK(now.allocation[0].current == 2);
    CHECK(now.allocation[small_pool].current == 1);
    CHECK(now.requested_bytes[0].current == static_cast<int64_t>(100 + 2 * kMiB));
    CHECK(now.allocated_bytes[small_pool].current == 128);
    CHECK(now.allocated_bytes[large_pool].current == static_cast<int64_t>(2 * kMiB));
    CHECK(now.active_bytes[0].current == now.allocated_bytes[0].current);
    CHECK(now.segment[0].current == 2);
  }
  const auto after = stats();
  CHECK(after.allocated_bytes[0].current == 0);
  CHECK(after.allocated_bytes[0].peak == static_cast<int64_t>(128 + 2 * kMiB));
  CHECK(after.allocated_bytes[0].freed == after.allocated_bytes[0].peak);
  alt::device_allocator().resetPeakStats(0);
  CHECK(stats().allocated_bytes[0].peak == 0);
}

// Random sizes live at once, each filled with its own byte: none may touch another's.
void allocations_do_not_overlap() {
  std::mt19937 random(1);
  struct Filled {
    c10::DataPtr data;
    size_t size;
    unsigned char value;
  };
  std::map<int, Filled> live;
  const auto check = [](const Filled& filled) {
    const auto* bytes = static_cast<const unsigned char*>(filled.data.get());
    bool same = true;
    for (size_t i = 0; i < filled.size; i += 61) same = same && bytes[i] == filled.value;
    CHECK(same && bytes[filled.size - 1] == filled.value);
  };
  for (int step = 0; step < 4000; ++step) {
    if (live.size() > 60 || (!live.empty() && random() % 2)) {
      auto victim = std::next(live.begin(), random() % live.size());
      check(victim->second);
      live.erase(victim);
    } else {
      const size_t size = 1 + random() % (size_t{1} << (4 + random() % 18));
      Filled filled{alt::allocate(size, 0), size, static_cast<unsigned char>(step)};
      CHECK(aligned(filled.data));
      std::memset(filled.data.get(), filled.value, size);
      live.emplace(step, std::move(filled));
    }
    if (step % 500 == 0) empty_cache();
  }
  for (const auto& [step, filled] : live) check(filled);
  live.clear();
  empty_cache();
  CHECK(reserved() == 0);
}

void too_much_is_out_of_memory_and_no_more() {
  const size_t physical = alt::SystemMemory::query().total;
  CHECK(physical > kMiB);
  for (size_t size :
       {physical * 2, size_t{1} << 45, size_t{1} << 60, std::numeric_limits<size_t>::max(),
        std::numeric_limits<size_t>::max() - 63}) {
    CHECK_THROWS(c10::OutOfMemoryError, alt::allocate(size, 0));
  }
  CHECK(stats().num_ooms >= 5);
  CHECK(alt::allocate(100, 0).get() != nullptr);
}

void the_message_has_the_sizes() {
  try {
    alt::allocate(size_t{1} << 45, 0);
    CHECK(false);
  } catch (const c10::OutOfMemoryError& error) {
    const std::string message = error.what_without_backtrace();
    CHECK(message.find("32.00 TiB") != std::string::npos);
    CHECK(message.find("out of memory") != std::string::npos);
  }
}

void the_limit_holds_and_the_cache_makes_room() {
  empty_cache();
  alt::set_memory_limit(0, 64 * kMiB);
  CHECK(alt::memory_limit(0) == std::optional<size_t>(64 * kMiB));
  CHECK_THROWS(c10::OutOfMemoryError, alt::allocate(65 * kMiB, 0));
  CHECK(alt::allocate(40 * kMiB, 0).get() != nullptr);
  // 40 MiB are cached now, too little for this one and too much to go beside it.
  CHECK(alt::allocate(50 * kMiB, 0).get() != nullptr);
  CHECK(reserved() <= static_cast<int64_t>(64 * kMiB));
  {
    const c10::DataPtr held = alt::allocate(50 * kMiB, 0);
    CHECK_THROWS(c10::OutOfMemoryError, alt::allocate(20 * kMiB, 0));
    CHECK(alt::allocate(5 * kMiB, 0).get() != nullptr);
  }
  alt::set_memory_limit(0, std::nullopt);
  CHECK(!alt::memory_limit(0));
  CHECK(alt::allocate(65 * kMiB, 0).get() != nullptr);
}

void many_threads() {
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      std::mt19937 random(t);
      std::vector<c10::DataPtr> live;
      for (int step = 0; step < 3000; ++step) {
        const size_t size = 1 + random() % 300'000;
        live.push_back(alt::allocate(size, 0));
        std::memset(live.back().get(), static_cast<int>(t), std::min<size_t>(size, 256));
        if (live.size() > 30) live.erase(live.begin() + random() % live.size());
        if (step % 700 == 0) empty_cache();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(allocated() == 0);
}

void memory_freed_in_another_thread() {
  c10::DataPtr data = alt::allocate(1000, 0);
  std::thread([moved = std::move(data)]() mutable { moved.clear(); }).join();
  CHECK(allocated() == 0);
}

void pointers_know_their_device() {
  const c10::DataPtr zero = alt::allocate(100, 0);
  const c10::DataPtr one = alt::allocate(3 * kMiB, 1);
  CHECK(alt::device_of(zero.get()).index() == 0);
  CHECK(alt::device_of(static_cast<char*>(one.get()) + kMiB).index() == 1);
  int on_the_stack = 0;
  CHECK_THROWS(c10::Error, alt::device_of(&on_the_stack));
}

void the_current_device_gives_the_memory() {
  alt::set_device(1);
  CHECK(alt::device_allocator().allocate(8).device().index() == 1);
  std::thread([] { CHECK(alt::current_device() == 0); }).join();
  alt::set_device(0);
  CHECK_THROWS(c10::Error, alt::set_device(2));
  CHECK_THROWS(c10::Error, alt::set_device(-1));
  CHECK(alt::current_device() == 0);
}

void clone_copies() {
  const c10::DataPtr data = alt::allocate(5, 0);
  std::memcpy(data.get(), "abcd", 5);
  const c10::DataPtr copy = alt::device_allocator().clone(data.get(), 5);
  CHECK(copy.get() != data.get());
  CHECK(std::strcmp(static_cast<const char*>(copy.get()), "abcd") == 0);
}

void pinned_memory_is_known() {
  int on_the_stack = 0;
  CHECK(!alt::is_pinned(&on_the_stack));
  CHECK(!alt::is_pinned(nullptr));
  const void* pointer = nullptr;
  {
    const c10::DataPtr pinned = alt::pinned_memory_allocator()->allocate(1000);
    pointer = pinned.get();
    CHECK(pinned.device().is_cpu());
    CHECK(alt::is_pinned(pointer));
    CHECK(alt::is_pinned(static_cast<const char*>(pointer) + 999));
    CHECK(!alt::is_pinned(static_cast<const char*>(pointer) + 1000));
  }
  CHECK(!alt::is_pinned(pointer));
}

// A thread allocates all the while: the child must find the locks free.
void a_forked_child_can_allocate() {
  const c10::DataPtr kept = alt::allocate(100, 0);
  std::strcpy(static_cast<char*>(kept.get()), "from the parent");
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) alt::allocate(5000, 0);
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      const c10::DataPtr own = alt::allocate(3 * kMiB, 0);
      std::memset(own.get(), 1, 3 * kMiB);
      empty_cache();
      _exit(std::strcmp(static_cast<const char*>(kept.get()), "from the parent") == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stop = true;
  busy.join();
}

// Runs `body` in a process of its own that is to end by a signal.
template <class F>
bool aborts(F&& body) {
  const pid_t child = fork();
  if (child == 0) {
    freopen("/dev/null", "w", stderr);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void corruption_ends_the_process() {
  // A block that an earlier test left may be 64 bytes larger than what is asked for: writing past
  // what was asked for harms nobody there.
  empty_cache();
  CHECK(aborts([] {
    c10::DataPtr data = alt::allocate(64, 0);
    c10::DataPtr neighbour = alt::allocate(64, 0);
    std::memset(data.get(), 0, 64 + 8);
    data.clear();
    neighbour.clear();
  }));
  CHECK(aborts([] {
    void* data = alt::device_allocator().raw_allocate(64);
    c10::DataPtr neighbour = alt::allocate(64, 0);
    alt::device_allocator().raw_deallocate(data);
    alt::device_allocator().raw_deallocate(data);
  }));
}

void sizes_are_parsed() {
  CHECK(alt::parse_bytes("X", "1000") == 1000);
  CHECK(alt::parse_bytes("X", "2K") == 2048);
  CHECK(alt::parse_bytes("X", "1.5M") == 3 * kMiB / 2);
  CHECK(alt::parse_bytes("X", "3g") == 3 * 1024 * kMiB);
  for (const char* wrong : {"", "M", "-1", "0", "1T", "1 M", "nan", "inf", "1e300", "12x"}) {
    CHECK_THROWS(c10::ValueError, alt::parse_bytes("X", wrong));
  }
}

}  // namespace

int main() {
  setenv("ALT_DEVICE_COUNT", "2", 1);
  check::test("memory_is_aligned_and_on_its_device", memory_is_aligned_and_on_its_device);
  check::test("nothing_is_null", nothing_is_null);
  check::test("freed_memory_is_used_again", freed_memory_is_used_again);
  check::test("empty_cache_gives_everything_back", empty_cache_gives_everything_back);
  check::test("what_waits_is_given_to_larger_blocks", what_waits_is_given_to_larger_blocks);
  check::test("statistics_count_what_is_asked_for", statistics_count_what_is_asked_for);
  check::test("allocations_do_not_overlap", allocations_do_not_overlap);
  check::test("too_much_is_out_of_memory_and_no_more", too_much_is_out_of_memory_and_no_more);
  check::test("the_message_has_the_sizes", the_message_has_the_sizes);
  check::test("the_limit_holds_and_the_cache_makes_room", the_limit_holds_and_the_cache_makes_room);
  check::test("many_threads", many_threads);
  check::test("memory_freed_in_another_thread", memory_freed_in_another_thread);
  check::test("pointers_know_their_device", pointers_know_their_device);
  check::test("the_current_device_gives_the_memory", the_current_device_gives_the_memory);
  check::test("clone_copies", clone_copies);
  check::test("pinned_memory_is_known", pinned_memory_is_known);
  check::test("a_forked_child_can_allocate", a_forked_child_can_allocate);
  check::test("corruption_ends_the_process", corruption_ends_the_process);
  check::test("sizes_are_parsed", sizes_are_parsed);
  return check::finish();
}
