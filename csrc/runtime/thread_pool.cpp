#include "runtime/thread_pool.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/blas_threads.h"
#include "runtime/cuda/engine.h"
#include "runtime/environment.h"
#include "runtime/floating_point_state.h"
#include "runtime/thread_placement.h"

namespace alt {
namespace {

constexpr int kChunksPerThread = 8;

using Clock = std::chrono::steady_clock;

// Waking a sleeping thread takes 5 us of the one that wakes it, and on a virtual machine 50 us go
// by until it runs: as long as a loop over a megabyte takes. So a thread waits awake for what is
// likely to come soon, and gives its core to whoever else wants it. Between the loops of a training
// step lie the random numbers of a dropout and Python's part of an optimizer, half a millisecond
// each.
constexpr auto kShortWait = std::chrono::microseconds(5);
constexpr auto kLongWait = std::chrono::milliseconds(2);

thread_local bool inside_parallel_region = false;

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits awake for `condition`, `wait` at most.
template <class Condition>
bool wait_awake(Clock::duration wait, Condition condition) {
  const auto start = Clock::now();
  for (Clock::duration waited{}; waited < wait; waited = Clock::now() - start) {
    for (int i = 0; i < 16; ++i) {
      if (condition()) return true;
      pause_briefly();
    }
    if (waited > kShortWait) std::this_thread::yield();
  }
  return condition();
}

// While it lives, this thread is inside a parallel region, and a BLAS call in it stays on it: the
// other threads are busy with other chunks.
class ParallelRegion {
 public:
  ParallelRegion() { inside_parallel_region = true; }
  ~ParallelRegion() { inside_parallel_region = false; }
  ParallelRegion(const ParallelRegion&) = delete;
  ParallelRegion& operator=(const ParallelRegion&) = delete;

 private:
  const BlasThreads blas_threads_{1};
};

// Chunks [next, end) of a job. Its own threads take them from one end, others from the other.
class alignas(64) Segment {
 public:
  void reset(uint64_t next, uint64_t end) { range_.store(end << 32 | next, relaxed); }
  bool empty() const { return next(range_.load(relaxed)) >= end(range_.load(relaxed)); }

  std::optional<int64_t> take_front() {
    return take([](uint64_t range) { return range + 1; }, next);
  }
  std::optional<int64_t> take_back() {
    return take([](uint64_t range) { return range - (uint64_t{1} << 32); },
                [](uint64_t range) { return end(range) - 1; });
  }

 private:
  static constexpr auto relaxed = std::memory_order_relaxed;
  static uint64_t next(uint64_t range) { return range & 0xffffffff; }
  static uint64_t end(uint64_t range) { return range >> 32; }

  template <class Without, class Chunk>
  std::optional<int64_t> take(Without without, Chunk chunk) {
    uint64_t range = range_.load(relaxed);
    while (next(range) < end(range)) {
      if (range_.compare_exchange_weak(range, without(range), relaxed)) {
        return static_cast<int64_t>(chunk(range));
      }
    }
    return std::nullopt;
  }

  std::atomic<uint64_t> range_;
};

// One parallel_for. Lives on its caller's stack.
//
// Each thread has a segment of the range, the same one in every job, so that it meets again what is
// in its cache (add_ of 1M floats: 44 us; 80 where chunks go to whoever asks first). It walks it
// back where the job before went forth: of a tensor that is larger than a cache, that holds what
// was touched last. A thread that has none left takes from the others' far ends.
class Job {
 public:
  Job(int64_t begin, int64_t end, int64_t chunk, detail::ChunkFunction function, void* context,
      int max_helpers)
      : begin_(begin),
        end_(end),
        chunk_(chunk),
        segment_count_(std::min(max_helpers + 1, kMaxSegments)),
        function_(function),
        context_(context),
        max_helpers_(max_helpers) {
    const uint64_t chunks = (end - begin - 1) / chunk + 1;
    for (int i = 0; i < segment_count_; ++i) {
      segments_[i].reset(i * chunks / segment_count_, (i + 1) * chunks / segment_count_);
    }
  }

  // `thread` is 0 for the caller and the worker's number for a helper.
  void work(int thread) {
    ParallelRegion region;
    for (int i = 0; i < segment_count_; ++i) {
      Segment& segment = segments_[(thread + i) % segment_count_];
      const bool from_front = (i == 0) != backwards;
      while (const auto index = from_front ? segment.take_front() : segment.take_back()) {
        const int64_t chunk_begin = begin_ + *index * chunk_;
        const int64_t chunk_end = end_ - chunk_begin > chunk_ ? chunk_begin + chunk_ : end_;
        try {
          function_(context_, chunk_begin, chunk_end);
        } catch (...) {
          fail(std::current_exception());
        }
      }
    }
  }

  bool has_chunks() const {
    return std::any_of(segments_.begin(), segments_.begin() + segment_count_,
                       [](const Segment& segment) { return !segment.empty(); });
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

  const FloatingPointState& floating_point_state() const { return floating_point_state_; }
  int callers_processor() const { return callers_processor_; }

  // Set before any thread works.
  bool backwards = false;

  // Guarded by the pool's mutex, except that the caller may read `helpers` to see them leave.
  Job* previous = nullptr;
  Job* next = nullptr;
  int joined = 0;
  std::atomic<int> helpers{0};

  int max_helpers() const { return max_helpers_; }

 private:
  static constexpr int kMaxSegments = 64;  // more threads share them

  void fail(std::exception_ptr error) {
    std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::move(error);
    for (int i = 0; i < segment_count_; ++i) segments_[i].reset(0, 0);
  }

  const int64_t begin_;
  const int64_t end_;
  const int64_t chunk_;
  const int segment_count_;
  const detail::ChunkFunction function_;
  void* const context_;
  const int max_helpers_;
  // Chunks may land on any thread, so all of them compute under the caller's settings.
  const FloatingPointState floating_point_state_ = FloatingPointState::current();
  const int callers_processor_ = current_processor();
  std::array<Segment, kMaxSegments> segments_;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

// A worker that sleeps: where, and what it may run on by rights, if it is to wake elsewhere.
struct Sleeper {
  ThreadId thread;
  int processor;
  std::optional<Processors> allowed;
};

class ThreadPool {
 public:
  void run(Job& job) {
    publish(job);
    job.work(0);
    withdraw(job);
    job.rethrow();
  }

 private:
  void publish(Job& job) {
    int to_wake = 0;
    {
      std::lock_guard lock(mutex_);
      start_workers(job.max_helpers());
      job.next = jobs_;
      if (jobs_) jobs_->previous = &job;
      jobs_ = &job;
      job.backwards = published_.fetch_add(1, std::memory_order_relaxed) % 2 != 0;
      to_wake = std::min(static_cast<int>(sleepers_.size()), job.max_helpers());
      if (to_wake > 0) make_room(job.callers_processor());
    }
    for (int i = 0; i < to_wake; ++i) work_available_.notify_one();
  }

  // No sleeper wakes on this processor. Needs the mutex.
  void make_room(int processor) {
    for (Sleeper* sleeper : sleepers_) {
      if (sleeper->processor == processor && !sleeper->allowed) {
        sleeper->allowed = keep_off(processor, sleeper->thread);
      }
    }
  }

  // After this no worker touches the job.
  void withdraw(Job& job) {
    {
      std::lock_guard lock(mutex_);
      (job.previous ? job.previous->next : jobs_) = job.next;
      if (job.next) job.next->previous = job.previous;
    }
    const auto done = [&] { return job.helpers.load(std::memory_order_acquire) == 0; };
    if (wait_awake(kLongWait, done)) return;
    std::unique_lock lock(mutex_);
    helper_left_.wait(lock, done);
  }

  void start_workers(int wanted) {
    while (workers_ < wanted && !out_of_threads_) {
      // Signals belong to the threads that the program itself started.
      sigset_t all;
      sigset_t before;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
      try {
        std::thread([this, number = workers_ + 1] { worker_loop(number); }).detach();
        ++workers_;
      } catch (const std::system_error&) {
        out_of_threads_ = true;  // Go on with the threads there are; the caller needs none.
      }
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
  }

  // A job that still has chunks and room for a helper. Needs the mutex.
  Job* job_to_join() const {
    for (Job* job = jobs_; job; job = job->next) {
      if (job->joined < job->max_helpers() && job->has_chunks()) return job;
    }
    return nullptr;
  }

  [[noreturn]] void worker_loop(int number) {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "alt worker");
#endif
    // What is shared among threads is the host's work, on the CUDA engine too (a HostCall's): what
    // it allocates here is host memory, as in the thread that calls.
    const cuda::OnHost on_host;
    std::unique_lock lock(mutex_);
    for (;;) {
      if (Job* job = job_to_join()) {
        ++job->joined;
        job->helpers.fetch_add(1, std::memory_order_relaxed);
        const uint64_t seen = published_.load(std::memory_order_relaxed);
        lock.unlock();
        leave_processor(job->callers_processor());
        job->floating_point_state().apply();
        job->work(number);
        leave(*job);
        wait_for_another(seen, lock);
      } else {
        sleep(lock);
        // Where it woke too late for the job, it is in time for the next one.
        if (!job_to_join()) {
          const uint64_t seen = published_.load(std::memory_order_relaxed);
          lock.unlock();
          wait_for_another(seen, lock);
        }
      }
    }
  }

  void sleep(std::unique_lock<std::mutex>& lock) {
    Sleeper me{current_thread_id(), current_processor(), std::nullopt};
    sleepers_.push_back(&me);
    work_available_.wait(lock);
    std::erase(sleepers_, &me);
    if (me.allowed) may_run_on(*me.allowed);
  }

  // For the calling worker, which may find itself where the caller of the job is.
  static void leave_processor(int processor) {
    if (processor < 0 || current_processor() != processor) return;
    if (const auto allowed = keep_off(processor, current_thread_id())) may_run_on(*allowed);
  }

  /// Waits awake until a job is published that was not among those `seen`, then takes the lock.
  void wait_for_another(uint64_t seen, std::unique_lock<std::mutex>& lock) {
    wait_awake(kLongWait, [&] { return published_.load(std::memory_order_relaxed) != seen; });
    lock.lock();
  }

  void leave(Job& job) {
    // Under the mutex, so that a caller about to sleep does not miss it. The job may be gone from
    // the moment that the count is zero.
    std::lock_guard lock(mutex_);
    if (job.helpers.fetch_sub(1, std::memory_order_release) == 1) helper_left_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable work_available_;
  std::condition_variable helper_left_;
  Job* jobs_ = nullptr;
  std::atomic<uint64_t> published_{0};
  int workers_ = 0;
  std::vector<Sleeper*> sleepers_;
  bool out_of_threads_ = false;
};

// Never destroyed: workers sleep in it until the process ends.
std::atomic<ThreadPool*> current_pool{nullptr};

ThreadPool& pool() {
  ThreadPool* existing = current_pool.load(std::memory_order_acquire);
  if (existing) return *existing;
  auto* created = new ThreadPool;
  if (current_pool.compare_exchange_strong(existing, created)) return *created;
  delete created;
  return *existing;
}

// A forked child has none of its parent's workers, and the parent's mutex may be held by a thread
// that is not there: it leaves the parent's pool behind and starts its own when it needs one.
[[maybe_unused]] const int forget_pool_in_child = pthread_atfork(
    nullptr, nullptr, [] { current_pool.store(nullptr, std::memory_order_release); });

std::atomic<int> requested_threads{0};

}  // namespace

int num_threads() {
  const int requested = requested_threads.load(std::memory_order_relaxed);
  if (requested > 0) return requested;
  const int from_environment = environment().num_threads;
  return from_environment > 0 ? from_environment : at::get_num_threads();
}

void set_num_threads(int count) {
  TORCH_CHECK_VALUE(count >= 0, "set_num_threads expects a positive number, or 0 for torch's; got ",
                    count);
  requested_threads.store(count, std::memory_order_relaxed);
}

bool in_parallel_region() {
  return inside_parallel_region;
}

namespace detail {

int64_t chunk_size(int64_t count, int64_t grain, int threads) {
  grain = std::max<int64_t>(grain, 1);
  const int64_t grains = (count - 1) / grain + 1;
  const int64_t pieces = static_cast<int64_t>(threads) * kChunksPerThread;
  const int64_t grains_per_chunk = (grains - 1) / pieces + 1;
  if (grains_per_chunk > std::numeric_limits<int64_t>::max() / grain) return count;
  return grains_per_chunk * grain;
}

void run_chunks(int64_t begin, int64_t end, int64_t grain, ChunkFunction function, void* context) {
  const int threads = num_threads();
  const int64_t count = end - begin;
  const int64_t chunk = chunk_size(count, grain, threads);
  const int64_t chunks = (count - 1) / chunk + 1;
  // A rest of less than half a grain is done sooner than another thread would have been told of it.
  const bool rest_is_small = count - grain < grain / 2;
  if (threads == 1 || chunks == 1 || rest_is_small) {
    function(context, begin, end);
    return;
  }
  const int helpers = static_cast<int>(std::min<int64_t>(threads, chunks)) - 1;
  Job job(begin, end, chunk, function, context, helpers);
  pool().run(job);
}

}  // namespace detail
}  // namespace alt
