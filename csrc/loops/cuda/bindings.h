#pragma once

#include <pybind11/pybind11.h>

namespace alt::cuda {

// What altbackend._C offers of launches, and how C++ asks altbackend/cuda/module.py for kernels.
void bind_launches(pybind11::module_& module);

}  // namespace alt::cuda
