// How the twins reach CuPy (python.h): part of the Python module.
#include "kernels/cuda/bindings.h"

#include <torch/csrc/autograd/python_variable.h>

#include <cstdint>

#include "kernels/cuda/python.h"
#include "runtime/cuda/no_kernel.h"

namespace alt::kernels::cuda {
namespace {

namespace py = pybind11;

/// A function of altbackend.cuda, found once and kept: modules outlive every call.
py::handle function_of(const char* module, const char* name) {
  return py::object(py::module_::import(module).attr(name)).release();
}

py::int_ number(const void* pointer) {
  return py::int_(reinterpret_cast<uintptr_t>(pointer));
}

void gemm(const Gemm& g) {
  const py::gil_scoped_acquire gil;
  static const py::handle function = function_of("altbackend.cuda.blas", "gemm");
  function(g.data_type, g.transpose_a, g.transpose_b, g.m, g.n, g.k, number(g.alpha), number(g.a),
           g.lda, g.stride_a, number(g.b), g.ldb, g.stride_b, number(g.beta), number(g.c), g.ldc,
           g.stride_c, g.batch, number(g.stream));
}

py::object wrapped(const at::Tensor& tensor) {
  return py::reinterpret_steal<py::object>(THPVariable_Wrap(tensor));
}

py::list wrapped(at::TensorList tensors) {
  py::list result;
  for (const at::Tensor& tensor : tensors) result.append(wrapped(tensor));
  return result;
}

std::vector<at::Tensor> array(const char* name, at::TensorList inputs, at::TensorList outputs,
                              const Keywords& keywords) {
  const py::gil_scoped_acquire gil;
  static const py::handle function = function_of("altbackend.cuda.call", "call");
  py::dict named;
  for (const auto& [key, value] : keywords) {
    std::visit([&, k = key](const auto& v) { named[k] = v; }, value);
  }
  std::vector<at::Tensor> tensors;
  try {
    const py::object results = function(name, wrapped(inputs), wrapped(outputs), named);
    for (const py::handle result : results) tensors.push_back(THPVariable_Unpack(result.ptr()));
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_NotImplementedError)) throw;
    alt::cuda::no_kernel(py::str(error.value()).cast<std::string>());
  }
  return tensors;
}

}  // namespace

void bind() {
  python_calls() = {gemm, array};
}

}  // namespace alt::kernels::cuda
