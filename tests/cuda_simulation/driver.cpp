// libcuda, played on the CPU: what csrc/runtime/cuda/driver.h takes of it, and what cupy/ beside
// this file asks. A kernel is a function of a library that tests/cuda_compiler.py made.
//
// Devices' memory is mapped so that nobody may touch it; it is opened while a kernel or a copy
// runs, so that host code that reads or writes it crashes. Streams work at once, on the thread that
// submits. What CUDA refuses is refused: a stream of another device than the context's, a copy past
// the end of its memory, a process that was forked.
//
// ALT_SIMULATED_DEVICES (2), ALT_SIMULATED_VERSION (12090), ALT_SIMULATED_MEMORY (bytes of each
// device, 4 GiB) and ALT_SIMULATED_INIT (what cuInit answers, 0) say what is played;
// simulation_hold(1) leaves all events and streams unfinished until somebody waits for them, or 0.

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

namespace {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = uint64_t;

enum : CUresult {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidContext = 201,
  kInvalidHandle = 400,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kLaunchFailed = 719,
};

struct Context {
  int device;
};
struct Stream {
  int device;
};
struct Event {
  int device;
  bool timed;
  bool recorded = false;
  bool held = false;
  std::chrono::steady_clock::time_point time = {};
};
struct Module {
  void* library;
  int device;
};
struct Function {
  const char* (*run)(const void*, const unsigned*, int);
  int device;
  std::string name;
  int most_shared = 48 << 10;
};
struct Region {
  size_t size;    // What was asked for.
  size_t mapped;  // In whole pages.
  int device;
};

int number(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? std::atoi(value) : otherwise;
}

size_t device_bytes() {
  const char* value = std::getenv("ALT_SIMULATED_MEMORY");
  return value && *value ? std::strtoull(value, nullptr, 10) : size_t{4} << 30;
}

constexpr int kMostDevices = 16;

std::recursive_mutex mutex;  // Of everything below: one thing happens at a time.
pid_t process = 0;
Context contexts[kMostDevices];
size_t used[kMostDevices];
std::map<CUdeviceptr, Region> regions;
std::map<CUdeviceptr, size_t> pinned;
int opened = 0;
bool hold = false;
long launches = 0;

thread_local Context* current = nullptr;

int device_count() {
  return number("ALT_SIMULATED_DEVICES", 2);
}

CUresult usable() {
  if (process == 0 || process != getpid()) return kNotInitialized;
  return current ? kSuccess : kInvalidContext;
}

void protect(int rights) {
  for (auto& [address, region] : regions) {
    mprotect(reinterpret_cast<void*>(address), region.mapped, rights);
  }
}

void open_memory() {
  if (opened++ == 0) protect(PROT_READ | PROT_WRITE);
}

void close_memory() {
  if (--opened == 0) protect(PROT_NONE);
}

struct Opened {
  Opened() { open_memory(); }
  ~Opened() { close_memory(); }
};

auto region_at(CUdeviceptr address) {
  auto after = regions.upper_bound(address);
  if (after == regions.begin()) return regions.end();
  auto found = std::prev(after);
  return address < found->first + found->second.mapped ? found : regions.end();
}

bool within(CUdeviceptr address, size_t bytes) {
  const auto found = region_at(address);
  return found == regions.end() || address + bytes <= found->first + found->second.size;
}

CUresult check_stream(const Stream* stream) {
  if (const CUresult error = usable()) return error;
  return !stream || stream->device == current->device ? kSuccess : kInvalidHandle;
}

CUresult copy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  if (!within(to, bytes) || !within(from, bytes)) return kInvalidValue;
  const Opened memory;
  std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
  return kSuccess;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) CUresult
#define LOCKED std::lock_guard lock(mutex)
#define USABLE \
  LOCKED;      \
  if (const CUresult error = usable()) return error

// ---- the process, devices, contexts ----

API cuInit(unsigned) {
  LOCKED;
  if (const int error = number("ALT_SIMULATED_INIT", 0)) return error;
  if (process != 0 && process != getpid()) return kNotInitialized;
  process = getpid();
  for (int i = 0; i < kMostDevices; ++i) contexts[i].device = i;
  return kSuccess;
}

API cuDriverGetVersion(int* version) {
  *version = number("ALT_SIMULATED_VERSION", 12090);
  return kSuccess;
}

API cuGetErrorName(CUresult error, const char** name) {
  switch (error) {
    case kInvalidValue:
      *name = "CUDA_ERROR_INVALID_VALUE";
      return kSuccess;
    case kOutOfMemory:
      *name = "CUDA_ERROR_OUT_OF_MEMORY";
      return kSuccess;
    case kNotInitialized:
      *name = "CUDA_ERROR_NOT_INITIALIZED";
      return kSuccess;
    case kInvalidContext:
      *name = "CUDA_ERROR_INVALID_CONTEXT";
      return kSuccess;
    case kInvalidHandle:
      *name = "CUDA_ERROR_INVALID_HANDLE";
      return kSuccess;
    case kIllegalAddress:
      *name = "CUDA_ERROR_ILLEGAL_ADDRESS";
      return kSuccess;
    case kLaunchFailed:
      *name = "CUDA_ERROR_LAUNCH_FAILED";
      return kSuccess;
    case 804:
      *name = "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE";
      return kSuccess;
    default:
      *name = nullptr;
      return kInvalidValue;
  }
}

API cuGetErrorString(CUresult, const char** text) {
  *text = "as the simulated driver says";
  return kSuccess;
}

API cuDeviceGetCount(int* count) {
  *count = device_count();
  return kSuccess;
}

API cuDeviceGet(CUdevice* device, int ordinal) {
  if (ordinal < 0 || ordinal >= device_count()) return kInvalidDevice;
  *device = ordinal;
  return kSuccess;
}

API cuDeviceGetName(char* name, int length, CUdevice device) {
  std::snprintf(name, static_cast<size_t>(length), "Simulated GPU %d", device);
  return kSuccess;
}

API cuDeviceGetAttribute(int* value, int attribute, CUdevice) {
  switch (attribute) {
    case 1:  // threads of a block
      *value = 1024;
      break;
    case 10:  // threads of a warp
      *value = 32;
      break;
    case 16:  // multiprocessors
      *value = 4;
      break;
    case 39:  // threads of a multiprocessor
      *value = 2048;
      break;
    case 75:
      *value = 9;
      break;
    case 97:  // shared memory that a block may ask for
      *value = 227 << 10;
      break;
    default:
      *value = 0;
  }
  return kSuccess;
}

API cuDeviceTotalMem_v2(size_t* bytes, CUdevice) {
  *bytes = device_bytes();
  return kSuccess;
}

API cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  *can = device != peer;
  return kSuccess;
}

API cuDevicePrimaryCtxRetain(Context** context, CUdevice device) {
  LOCKED;
  if (process == 0 || process != getpid()) return kNotInitialized;
  *context = &contexts[device];
  return kSuccess;
}

API cuCtxSetCurrent(Context* context) {
  if (process == 0 || process != getpid()) return kNotInitialized;
  current = context;
  return kSuccess;
}

API cuCtxGetCurrent(Context** context) {
  *context = current;
  return kSuccess;
}

API cuCtxSynchronize() {
  USABLE;
  return kSuccess;
}

// ---- memory ----

API cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  USABLE;
  if (bytes == 0) return kInvalidValue;
  if (used[current->device] + bytes > device_bytes()) return kOutOfMemory;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t mapped = (bytes + page - 1) / page * page;
  void* memory = mmap(nullptr, mapped, opened ? PROT_READ | PROT_WRITE : PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return kOutOfMemory;
  *address = reinterpret_cast<CUdeviceptr>(memory);
  regions[*address] = {bytes, mapped, current->device};
  used[current->device] += bytes;
  return kSuccess;
}

API cuMemFree_v2(CUdeviceptr address) {
  USABLE;
  const auto found = regions.find(address);
  if (found == regions.end()) return kInvalidValue;
  used[found->second.device] -= found->second.size;
  munmap(reinterpret_cast<void*>(address), found->second.mapped);
  regions.erase(found);
  return kSuccess;
}

API cuMemGetInfo_v2(size_t* free, size_t* total) {
  USABLE;
  *total = device_bytes();
  *free = *total - used[current->device];
  return kSuccess;
}

API cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
  USABLE;
  *memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (!*memory) return kOutOfMemory;
  pinned[reinterpret_cast<CUdeviceptr>(*memory)] = bytes;
  return kSuccess;
}

API cuMemFreeHost(void* memory) {
  USABLE;
  if (pinned.erase(reinterpret_cast<CUdeviceptr>(memory)) == 0) return kInvalidValue;
  std::free(memory);
  return kSuccess;
}

API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, Stream* stream) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  return copy(to, from, bytes);
}

API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  return cuMemcpyAsync(to, from, bytes, nullptr);
}

API cuMemcpyPeerAsync(CUdeviceptr to, Context* to_context, CUdeviceptr from, Context* from_context,
                      size_t bytes, Stream* stream) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  const auto target = region_at(to);
  const auto source = region_at(from);
  if (target == regions.end() || target->second.device != to_context->device ||
      source == regions.end() || source->second.device != from_context->device) {
    return kInvalidValue;
  }
  return copy(to, from, bytes);
}

API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, Stream* stream) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  if (region_at(to) == regions.end() || !within(to, bytes)) return kInvalidValue;
  const Opened memory;
  std::memset(reinterpret_cast<void*>(to), value, bytes);
  return kSuccess;
}

API cuPointerGetAttribute(void* value, int attribute, CUdeviceptr address) {
  LOCKED;
  const auto found = region_at(address);
  if (found == regions.end()) return kInvalidValue;
  if (attribute == 2) {
    *static_cast<unsigned*>(value) = 2;  // a device's
  } else if (attribute == 9) {
    *static_cast<int*>(value) = found->second.device;
  } else {
    return kInvalidValue;
  }
  return kSuccess;
}

// ---- streams and events ----

API cuStreamCreateWithPriority(Stream** stream, unsigned, int) {
  USABLE;
  *stream = new Stream{current->device};
  return kSuccess;
}

API cuStreamQuery(Stream* stream) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  return hold ? kNotReady : kSuccess;
}

API cuStreamSynchronize(Stream* stream) {
  LOCKED;
  return check_stream(stream);
}

API cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  return event ? kSuccess : kInvalidHandle;
}

API cuEventCreate(Event** event, unsigned flags) {
  USABLE;
  *event = new Event{current->device, (flags & 2) == 0};
  return kSuccess;
}

API cuEventDestroy_v2(Event* event) {
  delete event;
  return kSuccess;
}

API cuEventRecord(Event* event, Stream* stream) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  if (event->device != current->device) return kInvalidHandle;
  event->recorded = true;
  event->held = hold;
  event->time = std::chrono::steady_clock::now();
  return kSuccess;
}

API cuEventQuery(Event* event) {
  USABLE;
  return event->held && hold ? kNotReady : kSuccess;
}

API cuEventSynchronize(Event* event) {
  USABLE;
  event->held = false;
  return kSuccess;
}

API cuEventElapsedTime(float* milliseconds, Event* begin, Event* end) {
  USABLE;
  if (!begin->timed || !end->timed || !begin->recorded || !end->recorded) return kInvalidHandle;
  if ((begin->held || end->held) && hold) return kNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return kSuccess;
}

// ---- kernels ----

API cuModuleGetFunction(Function** function, Module* module, const char* name) {
  USABLE;
  void* symbol = dlsym(module->library, name);
  if (!symbol) return kNotFound;
  *function =
      new Function{reinterpret_cast<const char* (*)(const void*, const unsigned*, int)>(symbol),
                   module->device, name};
  return kSuccess;
}

API cuModuleGetGlobal_v2(CUdeviceptr* address, size_t* bytes, Module* module, const char* name) {
  USABLE;
  *address = reinterpret_cast<CUdeviceptr>(dlsym(module->library, name));
  if (bytes) *bytes = 8;
  return *address ? kSuccess : kNotFound;
}

API cuFuncSetAttribute(Function* function, int attribute, int value) {
  USABLE;
  if (attribute != 8 || value > 227 << 10) return kInvalidValue;
  function->most_shared = value;
  return kSuccess;
}

API cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   Stream* stream, void** parameters, void**) {
  LOCKED;
  if (const CUresult error = check_stream(stream)) return error;
  if (function->device != current->device) return kInvalidHandle;
  const unsigned dims[] = {grid_x, grid_y, grid_z, block_x, block_y, block_z};
  for (const unsigned dim : dims) {
    if (dim == 0) return kInvalidValue;
  }
  if (grid_x > 2147483647u || grid_y > 65535 || grid_z > 65535 || block_z > 64 ||
      static_cast<int>(shared_bytes) > function->most_shared) {
    return kInvalidValue;
  }
  ++launches;
  const Opened memory;
  if (const char* error = function->run(parameters[0], dims, 0)) {
    std::fprintf(stderr, "simulated kernel %s: %s\n", function->name.c_str(), error);
    return kLaunchFailed;
  }
  return kSuccess;
}

// ---- the simulation's own ----

API simulation_load(Module** module, const char* path) {
  USABLE;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    std::fprintf(stderr, "simulated module: %s\n", dlerror());
    return kNotFound;
  }
  *module = new Module{library, current->device};
  return kSuccess;
}

// Everybody may touch devices' memory until as many calls of 0.
API simulation_open(int open) {
  LOCKED;
  open ? open_memory() : close_memory();
  return kSuccess;
}

API simulation_hold(int held) {
  LOCKED;
  hold = held != 0;
  return kSuccess;
}

// Kernels launched so far.
extern "C" __attribute__((visibility("default"))) long simulation_launches() {
  return launches;
}
