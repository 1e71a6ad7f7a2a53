#pragma once

#include <pybind11/pybind11.h>

namespace alt::kernels {

/// What Python calls that is no operator of PyTorch's.
void bind_kernels(pybind11::module_& module);

}  // namespace alt::kernels
