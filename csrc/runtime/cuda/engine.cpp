#include "runtime/cuda/engine.h"

#include <c10/util/Exception.h>
#include <pthread.h>

#include <array>
#include <mutex>

#include "runtime/device.h"
#include "runtime/environment.h"

namespace alt::cuda {

namespace state {
std::atomic<int> choice{kOpen};
}  // namespace state

namespace {

PythonSide python;
std::atomic<bool> forked{false};

// What was decided; leaked. One of the two is null, both before the first decision.
std::atomic<const EngineChoice*> chosen{nullptr};
std::atomic<const std::string*> refused{nullptr};

EngineChoice decide() {
  const alt::Engine asked = environment().engine;
  if (asked == alt::Engine::kHost) return {false, 0, "ALT_ENGINE=host"};
  const Probe found = probe_driver();
  EngineChoice result{false, 0, found.reason};
  if (found.devices > 0) {
    result = python.start ? python.start() : EngineChoice{false, 0, "there is no Python"};
  }
  result.cuda = result.devices > 0;
  return result;
}

void remember(const EngineChoice& decided) {
  static std::mutex& mutex = *new std::mutex;
  std::lock_guard lock(mutex);
  if (chosen.load() || refused.load()) return;  // Two threads decided at once.
  if (!decided.cuda && environment().engine == alt::Engine::kCuda) {
    refused = new std::string("ALT_ENGINE='cuda' cannot be: " + decided.reason);
    return;
  }
  chosen = new EngineChoice(decided);
  state::choice = decided.cuda ? state::kCuda : state::kHost;
  if (decided.cuda) pthread_atfork(nullptr, nullptr, [] { forked = true; });
}

// The primary contexts, which CuPy works in too. Never released.
std::array<std::atomic<CUcontext>, kMostDevices> contexts{};

CUdevice device_handle(c10::DeviceIndex device) {
  CUdevice result = 0;
  check(driver().DeviceGet(&result, device), "cuDeviceGet");
  return result;
}

CUcontext context_of(c10::DeviceIndex device) {
  auto& known = contexts[static_cast<size_t>(device)];
  CUcontext context = known.load(std::memory_order_acquire);
  if (!context) {
    check(driver().DevicePrimaryCtxRetain(&context, device_handle(device)),
          "cuDevicePrimaryCtxRetain");
    known = context;
  }
  return context;
}

}  // namespace

const EngineChoice& engine() {
  // Without a lock: the decision may ask Python, and somebody with the GIL may come here.
  if (!chosen.load() && !refused.load()) remember(decide());
  if (const std::string* reason = refused.load()) TORCH_CHECK_VALUE(false, *reason);
  return *chosen.load();
}

bool in_bad_fork() noexcept {
  return forked.load(std::memory_order_relaxed);
}

CUcontext use_device(c10::DeviceIndex device) {
  TORCH_CHECK(!in_bad_fork(),
              "Cannot re-initialize alt in forked subprocess. To use alt with multiprocessing, "
              "you must use the 'spawn' start method");
  CUcontext context = context_of(device);
  check(driver().CtxSetCurrent(context), "cuCtxSetCurrent");
  return context;
}

void follow_current_device(c10::DeviceIndex used) noexcept {
  const c10::DeviceIndex device = current_device();
  if (device == used || in_bad_fork()) return;
  try {
    driver().CtxSetCurrent(context_of(device));
  } catch (const std::exception&) {  // The next use of the device raises it.
  }
}

std::string device_name(c10::DeviceIndex device) {
  char name[256] = {};
  check(driver().DeviceGetName(name, sizeof(name) - 1, device_handle(device)), "cuDeviceGetName");
  return name;
}

int device_attribute(c10::DeviceIndex device, int attribute) {
  int value = 0;
  check(driver().DeviceGetAttribute(&value, attribute, device_handle(device)),
        "cuDeviceGetAttribute");
  return value;
}

bool can_access_peer(c10::DeviceIndex device, c10::DeviceIndex peer) {
  int can = 0;
  check(driver().DeviceCanAccessPeer(&can, device_handle(device), device_handle(peer)),
        "cuDeviceCanAccessPeer");
  return can != 0;
}

void set_python_side(const PythonSide& functions) {
  python = functions;
}

const PythonSide& python_side() {
  return python;
}

}  // namespace alt::cuda
