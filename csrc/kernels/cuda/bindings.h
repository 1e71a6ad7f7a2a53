#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace alt::kernels::cuda {

/// Lets the twins call altbackend.cuda.
void bind();

}  // namespace alt::kernels::cuda
