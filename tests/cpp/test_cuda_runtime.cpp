// The CUDA engine's runtime on the simulated driver (tests/cuda_simulation/driver.cpp), without
// Python: what it asks of CuPy is answered here.
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/StreamGuard.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "check.h"
#include "runtime/allocator.h"
#include "runtime/cuda/copy.h"
#include "runtime/cuda/engine.h"
#include "runtime/cuda/failure.h"
#include "runtime/cuda/memory.h"
#include "runtime/cuda/stream.h"
#include "runtime/device.h"
#include "runtime/pinned_memory.h"
#include "runtime/stream.h"

namespace {

namespace cuda = alt::cuda;

// The simulation's own functions, and those of the driver that only CuPy calls.
struct Simulation {
  int (*hold)(int);
  cuda::CUresult (*allocate)(cuda::CUdeviceptr*, size_t);
  cuda::CUresult (*release)(cuda::CUdeviceptr);

  static Simulation& instance() {
    static Simulation found = [] {
      void* library = dlopen(std::getenv("ALT_CUDA_DRIVER"), RTLD_NOW | RTLD_LOCAL);
      Simulation s{};
      s.hold = reinterpret_cast<decltype(s.hold)>(dlsym(library, "simulation_hold"));
      s.allocate = reinterpret_cast<decltype(s.allocate)>(dlsym(library, "cuMemAlloc_v2"));
      s.release = reinterpret_cast<decltype(s.release)>(dlsym(library, "cuMemFree_v2"));
      return s;
    }();
    return found;
  }
};

struct Held {
  Held() { Simulation::instance().hold(1); }
  ~Held() { Simulation::instance().hold(0); }
};

std::atomic<int> segments{0};

cuda::PythonSide plain_side() {
  cuda::PythonSide side;
  side.start = [] { return cuda::EngineChoice{true, 2, "simulated"}; };
  side.allocate = [](c10::DeviceIndex device, size_t bytes) -> void* {
    const cuda::DeviceInUse in_use(device);
    cuda::CUdeviceptr memory = 0;
    if (Simulation::instance().allocate(&memory, bytes) != cuda::kSuccess) return nullptr;
    ++segments;
    return reinterpret_cast<void*>(memory);
  };
  side.release = [](c10::DeviceIndex device, void* memory) {
    const cuda::DeviceInUse in_use(device);
    CHECK(Simulation::instance().release(cuda::address(memory)) == cuda::kSuccess);
    --segments;
  };
  side.empty_pool = [](c10::DeviceIndex) {};
  return side;
}

constexpr size_t kCount = 1000;
constexpr size_t kBytes = kCount * sizeof(int);

std::vector<int> numbers(int first) {
  std::vector<int> result(kCount);
  std::iota(result.begin(), result.end(), first);
  return result;
}

std::vector<int> read(const c10::DataPtr& data) {
  std::vector<int> result(kCount);
  cuda::copy_bytes(result.data(), data.get(), kBytes, {.from = data.device().index()});
  return result;
}

c10::DataPtr written(const std::vector<int>& values, c10::DeviceIndex device) {
  c10::DataPtr data = alt::allocate(kBytes, device);
  cuda::copy_bytes(data.get(), values.data(), kBytes, {.to = device});
  return data;
}

void the_engine_is_cuda() {
  CHECK(!cuda::on_gpu());  // Nobody has needed it yet.
  CHECK(alt::device_count() == 2);
  CHECK(cuda::on_gpu() && cuda::is_engine());
  {
    const cuda::OnHost outer;
    const cuda::OnHost inner;
    CHECK(!cuda::on_gpu() && cuda::is_engine());
    std::thread([] { CHECK(cuda::on_gpu()); }).join();
  }
  CHECK(cuda::on_gpu());
}

void bytes_arrive_everywhere() {
  const c10::DataPtr first = written(numbers(0), 0);
  CHECK(read(first) == numbers(0));
  const c10::DataPtr beside = alt::allocate(kBytes, 0);
  cuda::copy_bytes(beside.get(), first.get(), kBytes, {.to = 0, .from = 0});
  CHECK(read(beside) == numbers(0));
  const c10::DataPtr peer = alt::allocate(kBytes, 1);
  {
    const c10::StreamGuard side(alt::new_stream(1, false));
    cuda::copy_bytes(peer.get(), first.get(), kBytes, {.to = 1, .from = 0});
  }
  CHECK(alt::current_device() == 0);
  CHECK(read(peer) == numbers(0));
  cuda::fill_bytes(peer.get(), 1, kBytes, 1);
  CHECK(read(peer) == std::vector<int>(kCount, 0x01010101));
  cuda::copy_bytes(nullptr, nullptr, 0, {.to = 1, .from = 0});
  CHECK_THROWS(c10::Error, cuda::fill_bytes(peer.get(), 1, size_t{4} << 20, 1));
}

void places_are_known() {
  const c10::DataPtr data = alt::allocate(kBytes, 1);
  const char* inside = static_cast<const char*>(data.get()) + 100;
  CHECK(cuda::is_device_memory(inside) && cuda::device_of(inside) == c10::DeviceIndex{1});
  CHECK(alt::device_of(inside).index() == 1);
  int here = 0;
  CHECK(!cuda::is_device_memory(&here) && !cuda::is_device_memory(nullptr));

  const cuda::OnHost on_host;
  const c10::DataPtr lent = alt::allocate(kBytes, 1);
  CHECK(lent.device().index() == 1 && !cuda::is_device_memory(lent.get()));
  std::memset(lent.get(), 0, kBytes);
  alt::copy_memory(data.get(), lent.get(), kBytes);
  CHECK(read(data) == std::vector<int>(kCount, 0));
}

void pinned_memory_waits_for_copies() {
  const c10::DataPtr data = alt::allocate(kBytes, 0);
  c10::DataPtr pinned = alt::pinned_memory_allocator()->allocate(kBytes);
  CHECK(alt::is_pinned(pinned.get()));
  std::memcpy(pinned.get(), numbers(5).data(), kBytes);
  const void* where = pinned.get();
  {
    const Held held;
    cuda::copy_bytes(data.get(), pinned.get(), kBytes, {.to = 0, .non_blocking = true});
    pinned.clear();
    pinned = alt::pinned_memory_allocator()->allocate(kBytes);
    CHECK(pinned.get() != where);
    pinned.clear();
  }
  CHECK(read(data) == numbers(5));
  std::vector<c10::DataPtr> both;
  for (int i = 0; i < 2; ++i) both.push_back(alt::pinned_memory_allocator()->allocate(kBytes));
  CHECK(both[0].get() == where || both[1].get() == where);
  both.clear();
  cuda::empty_cache();
}

void bad_input_is_raised_after_waiting() {
  cuda::Failure& record = *cuda::failure_record(1);
  const c10::DataPtr data = written(numbers(0), 1);
  record = {.kind = 2, .taken = 1, .value = -8, .bound = 5};
  cuda::synchronize_and_check(0);
  CHECK_THROWS(c10::IndexError, read(data));
  CHECK(record.taken == 0);
  CHECK(read(data) == numbers(0));
  record = {.kind = 1, .taken = 1, .value = 0, .bound = 0};
  CHECK_THROWS(c10::Error, alt::synchronize_device(1));
  alt::synchronize_stream(alt::default_stream(1));
}

void threads_allocate_and_free() {
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([seed] {
      const c10::StreamGuard side(alt::new_stream(seed % 2, false));
      std::vector<c10::DataPtr> held;
      unsigned state = seed + 1;
      for (int i = 0; i < 2000; ++i) {
        state = state * 1664525 + 1013904223;
        const size_t size = size_t{1} << (state >> 27);  // 1 byte to 2 GiB, mostly refused
        if (size <= size_t{4} << 20) {
          held.push_back(alt::allocate(size, static_cast<c10::DeviceIndex>(state >> 8 & 1)));
        }
        if (held.size() > 16) held.erase(held.begin() + state % 16);
        if (state % 97 == 0) cuda::empty_cache();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cuda::empty_cache();
  for (c10::DeviceIndex i = 0; i < 2; ++i) {
    CHECK(cuda::statistics(i).allocated_bytes() == 0 && cuda::statistics(i).reserved_bytes() == 0);
  }
  CHECK(segments == 0);
}

}  // namespace

int main() {
  setenv("ALT_CUDA_DRIVER", ALT_SIMULATED_DRIVER, 1);
  setenv("ALT_ENGINE", "cuda", 1);
  unsetenv("ALT_DEVICE_COUNT");
  cuda::set_python_side(plain_side());
  check::test("the_engine_is_cuda", the_engine_is_cuda);
  check::test("bytes_arrive_everywhere", bytes_arrive_everywhere);
  check::test("places_are_known", places_are_known);
  check::test("pinned_memory_waits_for_copies", pinned_memory_waits_for_copies);
  check::test("bad_input_is_raised_after_waiting", bad_input_is_raised_after_waiting);
  check::test("threads_allocate_and_free", threads_allocate_and_free);
  return check::finish();
}
