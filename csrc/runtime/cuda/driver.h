// CUDA's driver, libcuda, found when it is first needed: a build needs no CUDA toolkit, and a
// machine without a GPU no driver. The few declarations that we use are here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace alt::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = uint64_t;
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
using CUfunction = struct CUfunc_st*;

inline constexpr CUresult kSuccess = 0;
inline constexpr CUresult kOutOfMemory = 2;
inline constexpr CUresult kNoDevice = 100;
inline constexpr CUresult kNotReady = 600;

inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventDefault = 0;
inline constexpr unsigned kEventBlockingSync = 1;
inline constexpr unsigned kEventDisableTiming = 2;
inline constexpr unsigned kHostPortable = 1;

// CUdevice_attribute
inline constexpr int kMultiprocessorCount = 16;
inline constexpr int kIntegrated = 18;
inline constexpr int kCapabilityMajor = 75;
inline constexpr int kCapabilityMinor = 76;
inline constexpr int kMostSharedMemory = 97;  // That a block may ask for.

// CUfunction_attribute
inline constexpr int kMostDynamicSharedMemory = 8;

// CUpointer_attribute
inline constexpr int kPointerMemoryType = 2;
inline constexpr int kPointerDeviceOrdinal = 9;
// CUmemorytype
inline constexpr unsigned kMemoryOnDevice = 2;

// libcuda's functions by their names without "cu"; driver.cpp says which symbol is which.
struct Driver {
  CUresult (*Init)(unsigned flags);
  CUresult (*DriverGetVersion)(int* version);
  CUresult (*GetErrorName)(CUresult error, const char** name);
  CUresult (*GetErrorString)(CUresult error, const char** text);

  CUresult (*DeviceGetCount)(int* count);
  CUresult (*DeviceGet)(CUdevice* device, int ordinal);
  CUresult (*DeviceGetName)(char* name, int length, CUdevice device);
  CUresult (*DeviceGetAttribute)(int* value, int attribute, CUdevice device);
  CUresult (*DeviceTotalMem)(size_t* bytes, CUdevice device);
  CUresult (*DeviceCanAccessPeer)(int* can, CUdevice device, CUdevice peer);
  CUresult (*DevicePrimaryCtxRetain)(CUcontext* context, CUdevice device);

  CUresult (*CtxSetCurrent)(CUcontext context);
  CUresult (*CtxGetCurrent)(CUcontext* context);
  CUresult (*CtxSynchronize)();

  CUresult (*MemGetInfo)(size_t* free, size_t* total);
  CUresult (*MemHostAlloc)(void** memory, size_t bytes, unsigned flags);
  CUresult (*MemFreeHost)(void* memory);
  CUresult (*MemcpyAsync)(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream);
  CUresult (*MemcpyPeerAsync)(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                              CUcontext from_context, size_t bytes, CUstream stream);
  CUresult (*MemsetD8Async)(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream);
  CUresult (*PointerGetAttribute)(void* value, int attribute, CUdeviceptr pointer);

  CUresult (*StreamCreateWithPriority)(CUstream* stream, unsigned flags, int priority);
  CUresult (*StreamQuery)(CUstream stream);
  CUresult (*StreamSynchronize)(CUstream stream);
  CUresult (*StreamWaitEvent)(CUstream stream, CUevent event, unsigned flags);

  CUresult (*EventCreate)(CUevent* event, unsigned flags);
  CUresult (*EventDestroy)(CUevent event);
  CUresult (*EventRecord)(CUevent event, CUstream stream);
  CUresult (*EventQuery)(CUevent event);
  CUresult (*EventSynchronize)(CUevent event);
  CUresult (*EventElapsedTime)(float* milliseconds, CUevent begin, CUevent end);

  CUresult (*FuncSetAttribute)(CUfunction function, int attribute, int value);
  CUresult (*LaunchKernel)(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                           unsigned block_x, unsigned block_y, unsigned block_z,
                           unsigned shared_bytes, CUstream stream, void** parameters, void** extra);
};

// How many GPUs the driver lists: 0 where there is none or no driver, and then why, in one line.
struct Probe {
  int devices = 0;
  int version = 0;  // 12090 is CUDA 12.9.
  std::string reason;
};
Probe probe_driver();

// The functions; raises where there is no driver. Loading it starts nothing.
const Driver& driver();

// Raises RuntimeError "CUDA error: <name>: <string> (<what>)" for a call that did not succeed.
void check(CUresult result, const char* what);

inline CUdeviceptr address(const void* pointer) {
  return static_cast<CUdeviceptr>(reinterpret_cast<uintptr_t>(pointer));
}

}  // namespace alt::cuda
