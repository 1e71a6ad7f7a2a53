#pragma once

#include <c10/util/Exception.h>
#include <pybind11/pybind11.h>

#include "runtime/device.h"

namespace alt {

// What altbackend._C offers of the runtime.
void bind_runtime(pybind11::module_& module);

// A function whose PyTorch errors reach Python as what PyTorch itself would raise.
template <class R, class... Arguments>
auto translated(R (*function)(Arguments...)) {
  return [function](Arguments... arguments) -> R {
    try {
      return function(arguments...);
    } catch (const c10::ValueError& error) {
      throw pybind11::value_error(error.what_without_backtrace());
    } catch (const c10::IndexError& error) {
      throw pybind11::index_error(error.what_without_backtrace());
    } catch (const c10::Error& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what_without_backtrace());
      throw pybind11::error_already_set();
    }
  };
}

// A device index as Python has it: an int that an int8_t may not hold.
inline c10::DeviceIndex to_index(int device) {
  TORCH_CHECK(device >= -1 && device <= 127, "invalid device ordinal: ", device);
  return resolve_device(static_cast<c10::DeviceIndex>(device));
}

}  // namespace alt
