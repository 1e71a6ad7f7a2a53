#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <chrono>
#include <cmath>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_placement.h"
#include "runtime/thread_pool.h"

namespace {

using alt::parallel_for;

// Each index once, whatever the range, the grain and the threads.
void covers_each_index_once() {
  for (int threads : {1, 2, 3, 8}) {
    alt::set_num_threads(threads);
    for (int64_t count : {0, 1, 2, 7, 64, 1000, 4099}) {
      for (int64_t grain : {0, 1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> seen(count);
        parallel_for(5, 5 + count, grain, [&](int64_t begin, int64_t end) {
          CHECK(begin < end);
          for (int64_t i = begin; i < end; ++i) seen[i - 5].fetch_add(1);
        });
        for (const auto& times : seen) CHECK(times == 1);
      }
    }
  }
}

void chunks_are_multiples_of_the_grain() {
  alt::set_num_threads(4);
  parallel_for(0, 10'000, 48, [&](int64_t begin, int64_t end) {
    CHECK(begin % 48 == 0);
    CHECK(end % 48 == 0 || end == 10'000);
  });
}

void huge_ranges_do_not_overflow() {
  alt::set_num_threads(4);
  const int64_t most = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> total{0};
  parallel_for(0, most, most / 3, [&](int64_t begin, int64_t end) { total += end - begin; });
  CHECK(total == most);
}

void several_threads_take_part() {
  alt::set_num_threads(3);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  parallel_for(0, 24, 1, [&](int64_t, int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  CHECK(threads.size() >= 2);
  CHECK(threads.size() <= 3);
}

void nested_calls_run_inline() {
  alt::set_num_threads(4);
  std::atomic<int> inner_calls{0};
  CHECK(!alt::in_parallel_region());
  parallel_for(0, 64, 1, [&](int64_t begin, int64_t end) {
    CHECK(alt::in_parallel_region());
    const auto outer = std::this_thread::get_id();
    for (int64_t i = begin; i < end; ++i) {
      parallel_for(0, 100, 1, [&](int64_t inner_begin, int64_t inner_end) {
        CHECK(std::this_thread::get_id() == outer);
        CHECK(inner_begin == 0 && inner_end == 100);
        ++inner_calls;
      });
    }
  });
  CHECK(inner_calls == 64);
  CHECK(!alt::in_parallel_region());
}

void exceptions_reach_the_caller() {
  alt::set_num_threads(4);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> bodies{0};
    CHECK_THROWS(std::domain_error, parallel_for(0, 1000, 1, [&](int64_t begin, int64_t) {
                   ++bodies;
                   if (begin >= 10) throw std::domain_error("no");
                 }));
    CHECK(bodies > 0);
    CHECK(!alt::in_parallel_region());
  }
}

void callers_on_many_threads() {
  alt::set_num_threads(4);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total{0};
  for (int t = 0; t < 6; ++t) {
    callers.emplace_back([&] {
      for (int round = 0; round < 300; ++round) {
        int64_t sum = 0;
        std::mutex mutex;
        parallel_for(0, 512, 8, [&](int64_t begin, int64_t end) {
          std::lock_guard lock(mutex);
          sum += end - begin;
        });
        total += sum;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  CHECK(total == 6 * 300 * 512);
}

// The caller finishes its work alone when every worker of the pool is held up elsewhere.
void the_caller_needs_nobody() {
  constexpr int kThreads = 8;  // more than any test before this one has started
  alt::set_num_threads(kThreads);
  std::atomic<bool> release{false};
  std::atomic<int> held{0};
  const auto main_thread = std::this_thread::get_id();
  std::thread other([&] {
    const auto self = std::this_thread::get_id();
    parallel_for(0, kThreads, 1, [&](int64_t, int64_t) {
      if (std::this_thread::get_id() == self) {
        while (held < kThreads - 1) std::this_thread::yield();
      } else {
        ++held;
        while (!release) std::this_thread::yield();
      }
    });
  });
  while (held < kThreads - 1) std::this_thread::yield();
  std::atomic<int> chunks{0};
  parallel_for(0, 1000, 1, [&](int64_t, int64_t) {
    CHECK(std::this_thread::get_id() == main_thread);
    ++chunks;
  });
  CHECK(chunks > 1);
  release = true;
  other.join();
}

void workers_take_the_callers_rounding() {
  alt::set_num_threads(4);
  const int before = std::fegetround();
  std::fesetround(FE_UPWARD);
  std::atomic<int> different{0};
  parallel_for(0, 64, 1, [&](int64_t, int64_t) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    volatile double one = 1.0;
    if (one + 1e-30 == 1.0) ++different;
  });
  std::fesetround(before);
  CHECK(different == 0);
}

void a_forked_child_has_a_pool_of_its_own() {
  alt::set_num_threads(4);
  parallel_for(0, 100, 1, [](int64_t, int64_t) {});
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    std::atomic<int64_t> total{0};
    for (int round = 0; round < 50; ++round) {
      parallel_for(0, 100, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
    }
    _exit(total == 5000 ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// On the CUDA engine a worker's allocations are host memory, and its operators the host's.
void workers_compute_on_the_host() {
  alt::set_num_threads(3);
  const auto caller = std::this_thread::get_id();
  std::atomic<int> on_device{0}, workers{0};
  parallel_for(0, 24, 1, [&](int64_t, int64_t) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (std::this_thread::get_id() == caller) return;
    ++workers;
    if (alt::cuda::state::on_host == 0) ++on_device;
  });
  CHECK(workers > 0);
  CHECK(on_device == 0);
  CHECK(alt::cuda::state::on_host == 0);
}

// Where the process has several processors. Alone on one, a thread stays there.
void a_thread_leaves_a_processor() {
  const int before = alt::current_processor();
  const auto allowed = alt::keep_off(before, alt::current_thread_id());
  if (!allowed) {
    CHECK(std::thread::hardware_concurrency() == 1);
    return;
  }
  CHECK(alt::current_processor() != before);
  const int now = alt::current_processor();
  const auto others = alt::keep_off(now, alt::current_thread_id());
  CHECK(others.has_value() == (std::thread::hardware_concurrency() > 2));
  alt::may_run_on(*allowed);
  CHECK(alt::keep_off(now, alt::current_thread_id()).has_value());
  alt::may_run_on(*allowed);
}

// Workers that slept, and were woken off the caller's processor, may run on all of them again.
void workers_may_run_everywhere() {
  alt::set_num_threads(4);
  cpu_set_t mine;
  CHECK(sched_getaffinity(0, sizeof(mine), &mine) == 0);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> different{0};
    parallel_for(0, 24, 1, [&](int64_t, int64_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      cpu_set_t set;
      different += sched_getaffinity(0, sizeof(set), &set) != 0 || !CPU_EQUAL(&set, &mine);
    });
    CHECK(different == 0);
  }
}

}  // namespace

int main() {
  check::test("covers_each_index_once", covers_each_index_once);
  check::test("chunks_are_multiples_of_the_grain", chunks_are_multiples_of_the_grain);
  check::test("huge_ranges_do_not_overflow", huge_ranges_do_not_overflow);
  check::test("several_threads_take_part", several_threads_take_part);
  check::test("nested_calls_run_inline", nested_calls_run_inline);
  check::test("exceptions_reach_the_caller", exceptions_reach_the_caller);
  check::test("callers_on_many_threads", callers_on_many_threads);
  check::test("the_caller_needs_nobody", the_caller_needs_nobody);
  check::test("workers_take_the_callers_rounding", workers_take_the_callers_rounding);
  check::test("workers_compute_on_the_host", workers_compute_on_the_host);
  check::test("a_forked_child_has_a_pool_of_its_own", a_forked_child_has_a_pool_of_its_own);
  check::test("a_thread_leaves_a_processor", a_thread_leaves_a_processor);
  check::test("workers_may_run_everywhere", workers_may_run_everywhere);
  return check::finish();
}
