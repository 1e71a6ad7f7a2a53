#include "runtime/cuda/bindings.h"

#include <ATen/DLConvertor.h>
#include <torch/csrc/autograd/python_variable.h>

#include <string>
#include <utility>

#include "runtime/bindings.h"
#include "runtime/cuda/engine.h"
#include "runtime/cuda/failure.h"
#include "runtime/cuda/stream.h"
#include "runtime/stream.h"

namespace alt::cuda {
namespace {

namespace py = pybind11;

// ---- what the engine asks of Python ----

EngineChoice start() {
  const py::gil_scoped_acquire gil;
  try {
    const auto [devices, reason] = py::module_::import("altbackend.cuda.engine")
                                       .attr("start")()
                                       .cast<std::pair<int, std::string>>();
    return {devices > 0, devices, reason};
  } catch (const py::error_already_set& error) {
    TORCH_CHECK(false, "the CUDA engine does not start: ", error.what());
  }
}

// A function of altbackend.cuda.memory.
template <class... Arguments>
py::object call_memory(const char* name, Arguments... arguments) {
  try {
    return py::module_::import("altbackend.cuda.memory").attr(name)(arguments...);
  } catch (const py::error_already_set& error) {
    TORCH_CHECK(false, "altbackend.cuda.memory.", name, ": ", error.what());
  }
}

void* allocate(c10::DeviceIndex device, size_t bytes) {
  if (!Py_IsInitialized()) return nullptr;
  const py::gil_scoped_acquire gil;
  const auto memory = call_memory("allocate", static_cast<int>(device), bytes);
  return reinterpret_cast<void*>(memory.cast<uintptr_t>());
}

void release(c10::DeviceIndex device, void* memory) {
  if (!Py_IsInitialized()) return;
  const py::gil_scoped_acquire gil;
  call_memory("release", static_cast<int>(device), reinterpret_cast<uintptr_t>(memory));
}

void empty_pool(c10::DeviceIndex device) {
  if (!Py_IsInitialized()) return;
  const py::gil_scoped_acquire gil;
  call_memory("empty_pool", static_cast<int>(device));
}

// ---- what Python asks ----

py::dict describe_engine() {
  const EngineChoice& chosen = engine();
  py::dict result;
  result["name"] = chosen.cuda ? "cuda" : "host";
  result["reason"] = chosen.reason;
  return result;
}

void check_gpu(int device) {
  TORCH_CHECK(choose(), "the engine is not CUDA");
  to_index(device);
}

py::dict describe_gpu(int device) {
  check_gpu(device);
  const c10::DeviceIndex index = to_index(device);
  py::dict result;
  result["name"] = device_name(index);
  result["major"] = device_attribute(index, kCapabilityMajor);
  result["minor"] = device_attribute(index, kCapabilityMinor);
  result["multi_processor_count"] = device_attribute(index, kMultiprocessorCount);
  result["is_integrated"] = device_attribute(index, kIntegrated);
  return result;
}

bool gpus_are_peers(int device, int peer) {
  check_gpu(device);
  return can_access_peer(to_index(device), to_index(peer));
}

uintptr_t address_of_failure_record(int device) {
  check_gpu(device);
  return reinterpret_cast<uintptr_t>(failure_record(to_index(device)));
}

void check_failure_at(uintptr_t address) {
  check_failure(*reinterpret_cast<Failure*>(address));
}

// ---- DLPack ----

// PyTorch calls this device kDLExtDev. Other libraries know its memory as CUDA's, which is what it
// is: the tensors in a capsule are renamed on their way out and in.

constexpr const char* kCapsule = "dltensor";
constexpr const char* kUsedCapsule = "used_dltensor";

// Who takes the capsule may use the memory on `stream`, a CUstream, at once; -1 leaves it to them.
py::object to_cuda_dlpack(const py::object& given, int64_t stream) {
  TORCH_CHECK_TYPE(THPVariable_Check(given.ptr()), "expected a tensor");
  const at::Tensor& tensor = THPVariable_Unpack(given.ptr());
  TORCH_CHECK(is_engine() && tensor.is_privateuseone(), "expected a tensor on a GPU");
  const c10::DeviceIndex device = tensor.device().index();
  if (stream != -1) order(device, handle(stream), device, handle(current_stream_id(device)));
  DLManagedTensor* managed = at::toDLPack(tensor);
  managed->dl_tensor.device = {kDLCUDA, device};
  return py::reinterpret_steal<py::object>(PyCapsule_New(managed, kCapsule, [](PyObject* capsule) {
    if (!PyCapsule_IsValid(capsule, kCapsule)) return;  // Somebody has taken it over.
    auto* unused = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, kCapsule));
    unused->deleter(unused);
  }));
}

py::object from_cuda_dlpack(const py::capsule& capsule) {
  TORCH_CHECK(choose(), "the engine is not CUDA");
  auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), kCapsule));
  if (!managed) throw py::error_already_set();
  DLDevice& device = managed->dl_tensor.device;
  TORCH_CHECK(device.device_type == kDLCUDA || device.device_type == kDLCUDAManaged,
              "expected an array in a GPU's memory");
  const c10::DeviceIndex index = to_index(device.device_id);
  device = {kDLExtDev, index};
  const at::Tensor tensor = at::fromDLPack(managed);
  PyCapsule_SetName(capsule.ptr(), kUsedCapsule);
  return py::reinterpret_steal<py::object>(THPVariable_Wrap(tensor));
}

}  // namespace

void bind(py::module_& module) {
  set_python_side({&start, &allocate, &release, &empty_pool});
  module.def("engine", translated(&describe_engine));
  module.def("is_in_bad_fork", &in_bad_fork);
  module.def("describe_gpu", translated(&describe_gpu), py::arg("device"));
  module.def("gpus_are_peers", translated(&gpus_are_peers), py::arg("device"), py::arg("peer"));
  module.def("failure_record", translated(&address_of_failure_record), py::arg("device"));
  module.def("check_failure", translated(&check_failure_at), py::arg("address"));
  module.def("to_cuda_dlpack", translated(&to_cuda_dlpack), py::arg("tensor"), py::arg("stream"));
  module.def("from_cuda_dlpack", translated(&from_cuda_dlpack), py::arg("capsule"));
}

}  // namespace alt::cuda
