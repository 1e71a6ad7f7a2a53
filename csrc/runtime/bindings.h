#pragma once

#include <pybind11/pybind11.h>

namespace alt {

// What altbackend._C offers of the runtime.
void bind_runtime(pybind11::module_& module);

}  // namespace alt
