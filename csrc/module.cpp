// altbackend._C: what Python reaches of the runtime and the dispatch. Loading the library is what
// registers the device; this module only asks and sets.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "dispatch/counters.h"
#include "kernels/bindings.h"
#include "kernels/cuda/bindings.h"
#include "loops/cuda/bindings.h"
#include "runtime/bindings.h"

namespace {

namespace py = pybind11;

/// Where altbackend's Python files lie: the cuda shim and `python -m altbackend run` stand between
/// a script and torch, and are not what the script's author looks for.
const std::string& package_folder() {
  static const std::string folder = [] {
    const auto file = py::module_::import("altbackend").attr("__file__").cast<std::string>();
    return file.substr(0, file.rfind('/') + 1);
  }();
  return folder;
}

/// The innermost Python frame outside torch and altbackend, as "file:line function".
std::string python_call_site() {
  if (!Py_IsInitialized()) return "C++";
  const py::gil_scoped_acquire gil;
  py::object frame =
      py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
  if (!frame) return "autograd";
  py::object chosen = frame;
  while (frame && !frame.is_none()) {
    const auto file = frame.attr("f_code").attr("co_filename").cast<std::string>();
    if (file.find("/torch/") == std::string::npos && !file.starts_with(package_folder())) {
      chosen = frame;
      break;
    }
    frame = frame.attr("f_back");
  }
  const py::object code = chosen.attr("f_code");
  return code.attr("co_filename").cast<std::string>() + ":" +
         std::to_string(chosen.attr("f_lineno").cast<int>()) + " " +
         code.attr("co_name").cast<std::string>();
}

alt::FallbackMode parse_mode(const std::string& mode) {
  if (mode == "allow") return alt::FallbackMode::kAllow;
  if (mode == "warn") return alt::FallbackMode::kWarn;
  if (mode == "forbid") return alt::FallbackMode::kForbid;
  throw py::value_error("fallback mode is one of allow, warn, forbid; got '" + mode + "'");
}

std::string mode_name(alt::FallbackMode mode) {
  switch (mode) {
    case alt::FallbackMode::kAllow:
      return "allow";
    case alt::FallbackMode::kWarn:
      return "warn";
    default:
      return "forbid";
  }
}

py::list report() {
  py::list rows;
  for (const alt::FallbackRecord& record : alt::fallback_report()) {
    py::dict row;
    row["op"] = record.op;
    row["kind"] = record.kind == alt::FallbackKind::kStock ? "stock" : "host";
    row["calls"] = record.calls;
    row["bytes"] = record.bytes;
    row["site"] = record.site;
    rows.append(row);
  }
  return rows;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  alt::bind_runtime(m);
  alt::cuda::bind_launches(m);
  alt::kernels::bind_kernels(m);
  alt::kernels::cuda::bind();
  alt::set_call_site_function(&python_call_site);
  m.def("fallback_report", &report);
  m.def("reset_fallback_report", &alt::reset_fallback_report);
  m.def("set_fallback_mode",
        [](const std::string& mode) { alt::set_fallback_mode(parse_mode(mode)); });
  m.def("get_fallback_mode", [] { return mode_name(alt::fallback_mode()); });
  m.def("native_calls", [] { return alt::native_calls.load(); });
  m.def("build_info", [] {
    py::dict info;
    info["torch_version"] = ALT_TORCH_VERSION;
    info["arch"] = ALT_ARCH_NAME;
    info["compiler"] = __VERSION__;
    return info;
  });
}
