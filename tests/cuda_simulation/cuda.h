// CUDA's execution model on one CPU thread, for g++ to compile kernels with: included before all.
//
// The threads of a block run one after another, each until it ends or waits at a barrier. One that
// waits keeps its stack (a fiber), and goes on when all that must have come there have come. A
// barrier that some threads of the block never reach is an error, as is a wait that nothing ends.
// Blocks run one after another, so `__shared__` is a static variable. `order` runs the threads
// first to last or last to first: a result that depends on it lacks a barrier.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <type_traits>
#include <vector>

#define ALT_SIMULATED 1
#define __CUDACC__ 1  // csrc/ops is compiled as for a device
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__ __restrict

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};
inline Dim threadIdx, blockIdx, blockDim, gridDim;

namespace simulation {

enum class Wait { kNone, kBlock, kWarp, kDone };

class Block;
inline Block* current = nullptr;

struct Fiber {
  static constexpr size_t kStack = 256 << 10;
  std::unique_ptr<char[]> stack{new char[kStack]};
  ucontext_t context;  // where it begins
  jmp_buf waiting;     // where it waits: unlike swapcontext, a jump asks nothing of the kernel
  bool started = false;
};

/// Runs the threads of one block.
class Block {
 public:
  explicit Block(unsigned threads) : threads_(threads), warps_((threads + 31) / 32) {}

  template <class Body>
  const char* run(const Body& body, bool backwards) {
    call_ = [](const void* b) { (*static_cast<const Body*>(b))(); };
    body_ = &body;
    current = this;
    for (Thread& t : threads_) t = {};
    const unsigned n = static_cast<unsigned>(threads_.size());
    for (;;) {
      bool ran = false, done = true;
      for (unsigned k = 0; k < n; ++k) {
        const unsigned i = backwards ? n - 1 - k : k;
        if (threads_[i].wait == Wait::kNone) {
          resume(i);
          ran = true;
        }
        done = done && threads_[i].wait == Wait::kDone;
      }
      if (done) return nullptr;
      if (!release() && !ran) return "a barrier that some threads do not reach";
    }
  }

  void wait(Wait kind) {
    threads_[running_].wait = kind;
    const unsigned self = running_;
    if (_setjmp(threads_[self].fiber->waiting) == 0) _longjmp(scheduler_, 1);
  }

  unsigned thread() const { return running_; }
  /// Where the threads of the running thread's warp exchange values.
  std::byte* slot(unsigned lane) { return warps_[running_ / 32].slots[lane]; }

 private:
  struct Thread {
    Wait wait = Wait::kNone;
    Fiber* fiber = nullptr;
  };
  struct Warp {
    std::byte slots[32][32];
  };

  void resume(unsigned i) {
    running_ = i;
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    Thread& t = threads_[i];
    if (t.fiber == nullptr) {
      if (idle_.empty()) {
        all_.push_back(std::make_unique<Fiber>());
        idle_.push_back(all_.back().get());
      }
      t.fiber = idle_.back();
      idle_.pop_back();
    }
    const bool fresh = !t.fiber->started;
    if (fresh) {
      t.fiber->started = true;
      getcontext(&t.fiber->context);
      t.fiber->context.uc_stack.ss_sp = t.fiber->stack.get();
      t.fiber->context.uc_stack.ss_size = Fiber::kStack;
      t.fiber->context.uc_link = nullptr;
      makecontext(&t.fiber->context, reinterpret_cast<void (*)()>(&Block::main), 0);
    }
    if (_setjmp(scheduler_) == 0) {
      if (fresh) setcontext(&t.fiber->context);
      _longjmp(t.fiber->waiting, 1);
    }
    if (t.wait == Wait::kDone) {
      idle_.push_back(t.fiber);
    }
  }

  /// A fiber runs thread after thread: one that waits for nothing costs a switch and no stack.
  static void main() {
    for (;;) {
      current->call_(current->body_);
      current->wait(Wait::kDone);
    }
  }

  bool release() {
    bool any = false;
    for (size_t first = 0; first < threads_.size(); first += 32) {
      const size_t last = std::min(first + 32, threads_.size());
      any |= release(first, last, Wait::kWarp);
    }
    return release(0, threads_.size(), Wait::kBlock) || any;
  }
  bool release(size_t first, size_t last, Wait kind) {
    for (size_t i = first; i < last; ++i) {
      if (threads_[i].wait != kind) return false;
    }
    for (size_t i = first; i < last; ++i) threads_[i].wait = Wait::kNone;
    return true;
  }

  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> idle_;
  jmp_buf scheduler_;
  unsigned running_ = 0;
  void (*call_)(const void*) = nullptr;
  const void* body_ = nullptr;
};

template <class Body>
const char* launch(const Body& body, const unsigned* grid_and_block, int backwards) {
  const unsigned* g = grid_and_block;
  gridDim = {g[0], g[1], g[2]};
  blockDim = {g[3], g[4], g[5]};
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  if (threads == 0 || threads > 1024) return "a block of more than 1024 threads, or of none";
  Block block(threads);
  for (unsigned z = 0; z < gridDim.z; ++z) {
    for (unsigned y = 0; y < gridDim.y; ++y) {
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = {x, y, z};
        if (const char* error = block.run(body, backwards != 0)) return error;
      }
    }
  }
  return nullptr;
}

template <class T>
T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= 32);
  Block& block = *current;
  std::memcpy(block.slot(block.thread() % 32), &value, sizeof(T));
  block.wait(Wait::kWarp);
  T result;
  std::memcpy(&result, block.slot(from), sizeof(T));
  block.wait(Wait::kWarp);
  return result;
}
inline unsigned lane() {
  return current->thread() % 32;
}

}  // namespace simulation

inline void __syncthreads() {
  simulation::current->wait(simulation::Wait::kBlock);
}
inline void __syncwarp(unsigned = ~0u) {
  simulation::current->wait(simulation::Wait::kWarp);
}
inline void __threadfence() {}
inline void __threadfence_system() {}

template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  return simulation::exchange(value, static_cast<unsigned>(lane) % 32);
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return simulation::exchange(value, simulation::lane() ^ static_cast<unsigned>(mask));
}
template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  const unsigned lane = simulation::lane();
  return simulation::exchange(value, lane + delta < 32 ? lane + delta : lane);
}

template <class T>
T atomicAdd(T* to, T value) {
  const T old = *to;
  *to = old + value;
  return old;
}
template <class T>
T atomicCAS(T* to, T expected, T value) {
  const T old = *to;
  if (std::memcmp(&old, &expected, sizeof(T)) == 0) *to = value;
  return old;
}
template <class T>
T atomicMax(T* to, T value) {
  const T old = *to;
  *to = std::max(old, value);
  return old;
}
