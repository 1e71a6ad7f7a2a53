#include "loops/cuda/launch.h"

#include <ATen/core/TensorBase.h>

#include <atomic>
#include <shared_mutex>
#include <unordered_map>
#include <utility>

#include "runtime/cuda/no_kernel.h"
#include "runtime/cuda/stream.h"
#include "runtime/device.h"

namespace alt::cuda {
namespace {

std::atomic<LoadFunction> load_function{nullptr};

struct Entry {
  ModuleKey key;
  int device;
  Handles handles;
};

/// The handles that were asked for, by the hash of what they are for: names and dtypes are compared
/// where they lie, so that a look-up allocates nothing.
struct Table {
  std::shared_mutex mutex;
  std::unordered_multimap<size_t, Entry> entries;
};

// Never destroyed: threads may still launch while the process ends.
Table& table() {
  static auto* instance = new Table;
  return *instance;
}

size_t hash_of(ModuleKind kind, std::string_view name, c10::ArrayRef<at::ScalarType> dtypes,
               int device) {
  size_t hash = std::hash<std::string_view>()(name) + static_cast<size_t>(kind);
  for (const at::ScalarType dtype : dtypes) hash = hash * 31 + static_cast<size_t>(dtype);
  return hash * 31 + static_cast<size_t>(device);
}

template <class Arguments>
void launch_kernel(CUfunction function, Grid grid, Grid block, const Arguments& arguments,
                   unsigned shared_bytes) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const CUstream stream = current();
  void* parameters[] = {const_cast<Arguments*>(&arguments)};
  check(driver().LaunchKernel(function, grid.x, grid.y, grid.z, block.x, block.y, block.z,
                              shared_bytes, stream, parameters, nullptr),
        "cuLaunchKernel");
}

}  // namespace

void set_load_function(LoadFunction function) {
  load_function.store(function);
}

Handles handles(ModuleKind kind, const char* name, c10::ArrayRef<at::ScalarType> dtypes,
                int outputs) {
  const int device = current_device();
  const size_t hash = hash_of(kind, name, dtypes, device);
  Table& known = table();
  {
    const std::shared_lock lock(known.mutex);
    const auto [begin, end] = known.entries.equal_range(hash);
    for (auto found = begin; found != end; ++found) {
      const Entry& entry = found->second;
      if (entry.device == device && entry.key.kind == kind && entry.key.name == name &&
          dtypes.equals(entry.key.dtypes)) {
        return entry.handles;
      }
    }
  }
  // Without the lock: Python may let another thread run, and that thread may launch something.
  const LoadFunction load = load_function.load();
  TORCH_CHECK(load != nullptr, "the CUDA engine's kernels are compiled by way of Python");
  ModuleKey key{kind, name, dtypes.vec(), outputs};
  const Handles loaded = load(key, device);
  const std::unique_lock lock(known.mutex);
  known.entries.emplace(hash, Entry{std::move(key), device, loaded});
  return loaded;
}

CUfunction kernel(const char* name, std::initializer_list<at::ScalarType> dtypes) {
  return handles(ModuleKind::kKernel, name, dtypes).first;
}

TensorArgs tensor_args(const at::TensorBase& tensor) {
  TensorArgs result{};
  if (!tensor.defined()) return result;
  if (tensor.dim() > kMaxDims) {
    no_kernel("a kernel takes tensors of at most ", kMaxDims, " dimensions, not of ", tensor.dim());
  }
  result.data = const_cast<void*>(tensor.const_data_ptr());
  result.ndim = tensor.dim();
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    result.sizes[d] = tensor.size(d);
    result.strides[d] = tensor.stride(d);
  }
  return result;
}

void launch(CUfunction function, Grid grid, Grid block, const KernelArgs& arguments,
            unsigned shared_bytes) {
  launch_kernel(function, grid, block, arguments, shared_bytes);
}
void launch(CUfunction function, Grid grid, Grid block, const PointwiseArgs& arguments) {
  launch_kernel(function, grid, block, arguments, 0);
}
void launch(CUfunction function, Grid grid, Grid block, const ReduceArgs& arguments) {
  launch_kernel(function, grid, block, arguments, 0);
}

}  // namespace alt::cuda
