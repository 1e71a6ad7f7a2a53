#include "kernels/bindings.h"

#include <torch/csrc/autograd/python_cpp_function.h>
#include <torch/csrc/autograd/python_variable.h>

#include <deque>
#include <vector>

#include "kernels/autograd_nodes.h"
#include "kernels/optim_rmsprop.h"

namespace alt::kernels {
namespace {

namespace py = pybind11;

std::vector<at::Tensor> unwrapped(const py::list& list) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(list.size());
  for (const py::handle item : list) {
    if (!THPVariable_Check(item.ptr())) throw py::type_error("expected a list of tensors");
    tensors.push_back(THPVariable_Unpack(item.ptr()));
  }
  return tensors;
}

bool rmsprop_step(const py::list& params, const py::list& grads, const py::list& square_avgs,
                  const py::list& grad_avgs, const py::list& momentum_buffers, double lr,
                  double alpha, double eps, double weight_decay, double momentum, bool centered,
                  bool maximize) {
  const auto p = unwrapped(params), g = unwrapped(grads), squares = unwrapped(square_avgs),
             means = unwrapped(grad_avgs), buffers = unwrapped(momentum_buffers);
  const py::gil_scoped_release no_gil;
  return rmsprop(p, g, squares, means, buffers,
                 {lr, alpha, eps, weight_decay, momentum, centered, maximize});
}

void name_nodes(const std::vector<NodeName>& nodes) {
  static std::deque<PyTypeObject> types;  // they live as long as Python, each in its place
  for (const NodeName& node : nodes) {
    PyTypeObject& type = types.emplace_back();
    if (!torch::autograd::_initFunctionPyTypeObject(type, node.name, nullptr, nullptr)) {
      throw py::error_already_set();
    }
    torch::autograd::registerCppFunction(node.type, &type);
  }
}

}  // namespace

void bind_kernels(py::module_& module) {
  for (const auto nodes :
       {cross_entropy_nodes, pointwise_loss_nodes, recurrent_cell_nodes, recurrent_layer_nodes}) {
    name_nodes(nodes());
  }
  module.def("rmsprop", &rmsprop_step, py::arg("params"), py::arg("grads"), py::arg("square_avgs"),
             py::arg("grad_avgs"), py::arg("momentum_buffers"), py::kw_only(), py::arg("lr"),
             py::arg("alpha"), py::arg("eps"), py::arg("weight_decay"), py::arg("momentum"),
             py::arg("centered"), py::arg("maximize"));
}

}  // namespace alt::kernels
