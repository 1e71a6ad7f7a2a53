#pragma once

#include <pybind11/pybind11.h>

namespace alt::cuda {

// What Python may ask of the CUDA engine, and what the engine asks of altbackend.cuda.
void bind(pybind11::module_& module);

}  // namespace alt::cuda
