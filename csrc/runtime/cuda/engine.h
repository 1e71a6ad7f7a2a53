// Which engine computes: the host, or CUDA on GPUs.
#pragma once

#include <c10/core/Device.h>

#include <atomic>
#include <string>

#include "runtime/cuda/driver.h"

namespace alt::cuda {

// The engine's state, for the two functions below alone.
namespace state {
enum : int { kOpen, kHost, kCuda };
extern std::atomic<int> choice;
inline thread_local constinit int on_host = 0;
}  // namespace state

// The engine is CUDA. False until it was chosen, which whatever makes an alt tensor does first.
inline bool is_engine() noexcept {
  return state::choice.load(std::memory_order_relaxed) == state::kCuda;
}

// This thread's operators run on the GPU: the engine is CUDA, and no OnHost is alive.
inline bool on_gpu() noexcept {
  return is_engine() && state::on_host == 0;
}

// While one lives, this thread's operators run on the host and what it allocates is host memory,
// of tensors that are the device's all the same.
class OnHost {
 public:
  OnHost() { ++state::on_host; }
  ~OnHost() { --state::on_host; }
  OnHost(const OnHost&) = delete;
  OnHost& operator=(const OnHost&) = delete;
};

// Whether the address lies in a GPU's memory, ours or somebody else's (runtime/cuda/memory.cpp).
bool is_device_memory(const void* pointer) noexcept;

// What was chosen. ALT_ENGINE says what is asked for: with `auto` it is CUDA where there are GPUs
// and CuPy can use them, otherwise the host.
struct EngineChoice {
  bool cuda = false;
  int devices = 0;  // GPUs; 0 on the host.
  std::string reason;
};

// Chooses at the first call. Raises ValueError, at every call, where ALT_ENGINE asks for CUDA and
// that cannot be.
const EngineChoice& engine();

// As engine().cuda, and quick once it was chosen.
inline bool choose() {
  const int chosen = state::choice.load(std::memory_order_relaxed);
  return chosen == state::kOpen ? engine().cuda : chosen == state::kCuda;
}

// The device's context is this thread's from here on; raises in a process that was forked after
// CUDA had started. Everything that calls the driver for a device goes through here.
CUcontext use_device(c10::DeviceIndex device);

// Makes the context of this thread's current device its context, where `used` is another device.
void follow_current_device(c10::DeviceIndex used = -1) noexcept;

// As use_device until the end of the block, after which the context is the current device's again,
// as CuPy expects it.
class DeviceInUse {
 public:
  explicit DeviceInUse(c10::DeviceIndex device) : device_(device), context_(use_device(device)) {}
  ~DeviceInUse() { follow_current_device(device_); }
  DeviceInUse(const DeviceInUse&) = delete;
  DeviceInUse& operator=(const DeviceInUse&) = delete;

  CUcontext context() const { return context_; }

 private:
  c10::DeviceIndex device_;
  CUcontext context_;
};

// This process was forked from one that had started CUDA, which cannot be used in it.
bool in_bad_fork() noexcept;

// What a GPU is.
std::string device_name(c10::DeviceIndex device);
int device_attribute(c10::DeviceIndex device, int attribute);
bool can_access_peer(c10::DeviceIndex device, c10::DeviceIndex peer);

// What the engine asks of Python (altbackend/cuda); the bindings set it. Each function takes the
// GIL, so nobody may call one while holding a lock that somebody with the GIL may wait for.
struct PythonSide {
  // GPUs that CuPy can use and what with, or 0 and one line why not.
  EngineChoice (*start)() = nullptr;
  // Memory of CuPy's pool; null where the device has no more.
  void* (*allocate)(c10::DeviceIndex device, size_t bytes) = nullptr;
  void (*release)(c10::DeviceIndex device, void* memory) = nullptr;
  // Returns what CuPy's pool keeps for later to the driver.
  void (*empty_pool)(c10::DeviceIndex device) = nullptr;
};
void set_python_side(const PythonSide& functions);
const PythonSide& python_side();

}  // namespace alt::cuda
