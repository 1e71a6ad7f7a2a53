// The names that Python gives to autograd's nodes of ours: those of grad_fn's types. PyTorch calls
// a node that it does not know CppFunction.
#pragma once

#include <typeinfo>
#include <vector>

namespace alt::kernels {

struct NodeName {
  const std::type_info& type;
  const char* name;
};

std::vector<NodeName> cross_entropy_nodes();
std::vector<NodeName> pointwise_loss_nodes();
std::vector<NodeName> recurrent_cell_nodes();
std::vector<NodeName> recurrent_layer_nodes();

}  // namespace alt::kernels
