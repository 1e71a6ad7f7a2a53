#include "runtime/cuda/driver.h"

#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <cstdlib>
#include <optional>

namespace alt::cuda {
namespace {

// CuPy's oldest toolkit that altbackend[cuda12] takes.
constexpr int kOldestVersion = 12000;

// ALT_CUDA_DRIVER is for tests: a library that plays the driver.
const char* library_path() {
  const char* given = std::getenv("ALT_CUDA_DRIVER");
  return given && *given ? given : "libcuda.so.1";
}

struct Loaded {
  std::optional<Driver> functions;
  std::string reason;  // Why there are none.
};

template <class F>
void find(void* library, F*& function, const char* symbol, std::string& missing) {
  function = reinterpret_cast<F*>(dlsym(library, symbol));
  if (!function && missing.empty()) missing = symbol;
}

Loaded load() {
  Loaded result;
  void* library = dlopen(library_path(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    result.reason = "no NVIDIA driver is loaded; the CUDA engine needs one, and a GPU";
    return result;
  }
  Driver d{};
  std::string missing;
  const auto get = [&](auto*& function, const char* symbol) {
    find(library, function, symbol, missing);
  };
  get(d.Init, "cuInit");
  get(d.DriverGetVersion, "cuDriverGetVersion");
  get(d.GetErrorName, "cuGetErrorName");
  get(d.GetErrorString, "cuGetErrorString");
  get(d.DeviceGetCount, "cuDeviceGetCount");
  get(d.DeviceGet, "cuDeviceGet");
  get(d.DeviceGetName, "cuDeviceGetName");
  get(d.DeviceGetAttribute, "cuDeviceGetAttribute");
  get(d.DeviceTotalMem, "cuDeviceTotalMem_v2");
  get(d.DeviceCanAccessPeer, "cuDeviceCanAccessPeer");
  get(d.DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain");
  get(d.CtxSetCurrent, "cuCtxSetCurrent");
  get(d.CtxGetCurrent, "cuCtxGetCurrent");
  get(d.CtxSynchronize, "cuCtxSynchronize");
  get(d.MemGetInfo, "cuMemGetInfo_v2");
  get(d.MemHostAlloc, "cuMemHostAlloc");
  get(d.MemFreeHost, "cuMemFreeHost");
  get(d.MemcpyAsync, "cuMemcpyAsync");
  get(d.MemcpyPeerAsync, "cuMemcpyPeerAsync");
  get(d.MemsetD8Async, "cuMemsetD8Async");
  get(d.PointerGetAttribute, "cuPointerGetAttribute");
  get(d.StreamCreateWithPriority, "cuStreamCreateWithPriority");
  get(d.StreamQuery, "cuStreamQuery");
  get(d.StreamSynchronize, "cuStreamSynchronize");
  get(d.StreamWaitEvent, "cuStreamWaitEvent");
  get(d.EventCreate, "cuEventCreate");
  get(d.EventDestroy, "cuEventDestroy_v2");
  get(d.EventRecord, "cuEventRecord");
  get(d.EventQuery, "cuEventQuery");
  get(d.EventSynchronize, "cuEventSynchronize");
  get(d.EventElapsedTime, "cuEventElapsedTime");
  get(d.FuncSetAttribute, "cuFuncSetAttribute");
  get(d.LaunchKernel, "cuLaunchKernel");
  if (missing.empty()) {
    result.functions = d;
  } else {
    result.reason = "the NVIDIA driver lacks " + missing + "; install a newer one";
  }
  return result;
}

const Loaded& loaded() {
  static const Loaded instance = load();
  return instance;
}

std::string name_of(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string describe(CUresult error) {
  const char* name = nullptr;
  const char* text = nullptr;
  driver().GetErrorName(error, &name);
  driver().GetErrorString(error, &text);
  return (name ? name : "error " + std::to_string(error)) + std::string(": ") +
         (text ? text : "unknown");
}

}  // namespace

Probe probe_driver() {
  Probe result;
  result.reason = loaded().reason;
  if (!loaded().functions) return result;
  const Driver& d = *loaded().functions;
  CUresult error = d.Init(0);
  if (error == kSuccess) error = d.DriverGetVersion(&result.version);
  if (error == kSuccess) error = d.DeviceGetCount(&result.devices);
  if (error == kNoDevice || (error == kSuccess && result.devices == 0)) {
    result.reason = "CUDA finds no GPU";
  } else if (error != kSuccess) {
    result.reason = "CUDA does not start: " + describe(error);
  } else if (result.version < kOldestVersion) {
    result.reason = "the NVIDIA driver knows CUDA " + name_of(result.version) +
                    ", and the engine needs CUDA " + name_of(kOldestVersion) +
                    "; install a newer driver";
  }
  if (!result.reason.empty()) result.devices = 0;
  return result;
}

const Driver& driver() {
  TORCH_CHECK(loaded().functions, loaded().reason);
  return *loaded().functions;
}

void check(CUresult result, const char* what) {
  TORCH_CHECK(result == kSuccess, "CUDA error: ", describe(result), " (", what, ")");
}

}  // namespace alt::cuda
