#include "runtime/bindings.h"

#include <torch/csrc/Generator.h>
#include <torch/csrc/autograd/python_variable.h>

#include <string>

#include "runtime/allocator.h"
#include "runtime/cuda/bindings.h"
#include "runtime/device.h"
#include "runtime/environment.h"
#include "runtime/generator.h"
#include "runtime/thread_pool.h"

namespace alt {
namespace {

namespace py = pybind11;
using c10::CachingAllocator::StatArray;
using c10::CachingAllocator::StatType;

int get_device_count() {
  return device_count();
}
int get_current_device() {
  return current_device();
}
void set_current_device(int device) {
  set_device(to_index(device));
}
int exchange_current_device(int device) {
  return exchange_device(to_index(device));
}

// ---- optimizers ----

// Whether each list holds tensors of this device whose dtype the fused optimizers round as stock's
// loop does, a gradient like its parameter. Python would take a microsecond for each of them.
bool can_fuse(const py::list& params, const py::list& grads) {
  if (params.size() != grads.size()) return false;
  for (size_t i = 0; i < params.size(); ++i) {
    PyObject* param = params[i].ptr();
    PyObject* grad = grads[i].ptr();
    if (!THPVariable_Check(param) || !THPVariable_Check(grad)) return false;
    const at::Tensor& p = THPVariable_Unpack(param);
    const at::Tensor& g = THPVariable_Unpack(grad);
    const bool fits = p.is_privateuseone() && g.dtype() == p.dtype() &&
                      (p.scalar_type() == at::kFloat || p.scalar_type() == at::kDouble) &&
                      g.layout() == at::kStrided;
    if (!fits) return false;
  }
  return true;
}

// ---- memory ----

void add_stat(py::dict& into, const std::string& name, const StatArray& array) {
  static constexpr std::pair<StatType, const char*> kPools[] = {
      {StatType::AGGREGATE, "all"},
      {StatType::SMALL_POOL, "small_pool"},
      {StatType::LARGE_POOL, "large_pool"}};
  for (const auto& [type, pool] : kPools) {
    const auto& stat = array[static_cast<size_t>(type)];
    const std::string prefix = name + "." + pool + ".";
    into[py::str(prefix + "current")] = stat.current;
    into[py::str(prefix + "peak")] = stat.peak;
    into[py::str(prefix + "allocated")] = stat.allocated;
    into[py::str(prefix + "freed")] = stat.freed;
  }
}

// The keys of torch.cuda.memory_stats().
py::dict get_memory_stats(int device) {
  const auto stats = device_allocator().getDeviceStats(to_index(device));
  py::dict result;
  add_stat(result, "allocation", stats.allocation);
  add_stat(result, "segment", stats.segment);
  add_stat(result, "active", stats.active);
  add_stat(result, "inactive_split", stats.inactive_split);
  add_stat(result, "allocated_bytes", stats.allocated_bytes);
  add_stat(result, "reserved_bytes", stats.reserved_bytes);
  add_stat(result, "active_bytes", stats.active_bytes);
  add_stat(result, "inactive_split_bytes", stats.inactive_split_bytes);
  add_stat(result, "requested_bytes", stats.requested_bytes);
  result["num_alloc_retries"] = stats.num_alloc_retries;
  result["num_ooms"] = stats.num_ooms;
  result["num_device_alloc"] = stats.num_device_alloc;
  result["num_device_free"] = stats.num_device_free;
  return result;
}

void reset_peak_stats(int device) {
  device_allocator().resetPeakStats(to_index(device));
}
void reset_accumulated_stats(int device) {
  device_allocator().resetAccumulatedStats(to_index(device));
}
void empty_cache() {
  device_allocator().emptyCache({0, 0});
}

py::tuple get_memory_info(int device) {
  const auto [free, total] = free_and_total_memory(to_index(device));
  return py::make_tuple(free, total);
}

// In Python a negative limit is none.
void set_limit(int device, int64_t bytes) {
  set_memory_limit(to_index(device), bytes < 0 ? std::nullopt : std::optional<size_t>(bytes));
}

int64_t get_limit(int device) {
  const auto limit = memory_limit(to_index(device));
  return limit ? static_cast<int64_t>(*limit) : -1;
}

// ---- randomness, threads, environment ----

py::object get_default_generator(int device) {
  return py::reinterpret_steal<py::object>(THPGenerator_Wrap(default_generator(to_index(device))));
}

py::dict get_environment() {
  environment();  // Raises where a variable has a value that it cannot have.
  py::dict result;
  for (const auto& [name, value] : environment_variables()) {
    result[py::str(name)] = value ? py::object(py::str(*value)) : py::object(py::none());
  }
  return result;
}

}  // namespace

void bind_runtime(py::module_& module) {
  module.def("device_count", translated(&get_device_count));
  module.def("current_device", translated(&get_current_device));
  module.def("set_device", translated(&set_current_device), py::arg("device"));
  module.def("exchange_device", translated(&exchange_current_device), py::arg("device"));

  module.def("can_fuse", &can_fuse, py::arg("params"), py::arg("grads"));

  module.def("memory_stats", translated(&get_memory_stats), py::arg("device") = -1);
  module.def("reset_peak_memory_stats", translated(&reset_peak_stats), py::arg("device") = -1);
  module.def("reset_accumulated_memory_stats", translated(&reset_accumulated_stats),
             py::arg("device") = -1);
  module.def("empty_cache", translated(&empty_cache));
  module.def("mem_get_info", translated(&get_memory_info), py::arg("device") = -1);
  module.def("set_memory_limit", translated(&set_limit), py::arg("device"), py::arg("limit"));
  module.def("get_memory_limit", translated(&get_limit), py::arg("device") = -1);

  module.def("default_generator", translated(&get_default_generator), py::arg("device") = -1);

  module.def("num_threads", translated(&num_threads));
  module.def("set_num_threads", translated(&set_num_threads), py::arg("count"));
  module.def("environment", translated(&get_environment));

  cuda::bind(module);
}

}  // namespace alt
