// Which processor a thread runs on, and how to get it onto another.
//
// The scheduler puts a thread that wakes up on an idle processor, but on a virtual machine it may
// take a halted one for one that the host has taken away, and leave the thread where it last ran.
// Where that is the processor of the thread that called, both share it, and take 1.6 times as long,
// for milliseconds to seconds, until the scheduler balances its load.
#pragma once

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

#include <optional>

namespace alt {

#if defined(__linux__)

/// The processor that the calling thread runs on.
inline int current_processor() {
  return sched_getcpu();
}

using ThreadId = pid_t;
inline ThreadId current_thread_id() {
  return gettid();
}

using Processors = cpu_set_t;

/// Takes `processor` from those that a thread may run on; it leaves it at once, or when it next
/// wakes. The result is what it may run on by rights, for may_run_on; nothing where all is as it
/// was: the thread may run nowhere else, or there are too many processors for a set.
inline std::optional<Processors> keep_off(int processor, ThreadId thread) {
  Processors allowed;
  if (processor < 0 || processor >= CPU_SETSIZE ||
      sched_getaffinity(thread, sizeof(allowed), &allowed) != 0) {
    return std::nullopt;
  }
  Processors others = allowed;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(thread, sizeof(others), &others) != 0) {
    return std::nullopt;
  }
  return allowed;
}

/// What the calling thread may run on.
inline void may_run_on(const Processors& processors) {
  sched_setaffinity(0, sizeof(processors), &processors);
}

#else

inline int current_processor() {
  return -1;
}

using ThreadId = int;
inline ThreadId current_thread_id() {
  return 0;
}

struct Processors {};

inline std::optional<Processors> keep_off(int, ThreadId) {
  return std::nullopt;
}
inline void may_run_on(const Processors&) {}

#endif

}  // namespace alt
