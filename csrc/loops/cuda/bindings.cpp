#include "loops/cuda/bindings.h"

#include <pybind11/complex.h>
#include <pybind11/stl.h>
#include <torch/csrc/Dtype.h>
#include <torch/csrc/DynamicTypes.h>
#include <torch/csrc/utils/pybind.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "loops/cuda/arguments.h"
#include "loops/cuda/launch.h"
#include "loops/cuda/reduce.h"
#include "runtime/cuda/no_kernel.h"

namespace alt::cuda {
namespace {

namespace py = pybind11;

const char* name_of(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::kPointwise:
      return "pointwise";
    case ModuleKind::kReduction:
      return "reduction";
    default:
      return "kernel";
  }
}

CUfunction function_at(uintptr_t address) {
  return reinterpret_cast<CUfunction>(address);
}

Handles load(const ModuleKey& key, int device) {
  const py::gil_scoped_acquire gil;
  std::vector<std::string> dtypes;
  for (const at::ScalarType dtype : key.dtypes) dtypes.push_back(torch::getTHPDtype(dtype)->name);
  try {
    const auto [first, second, lanes] =
        py::module_::import("altbackend.cuda.module")
            .attr("handles")(name_of(key.kind), key.name, dtypes, key.outputs, device)
            .cast<std::tuple<uintptr_t, uintptr_t, int>>();
    return {function_at(first), function_at(second), lanes};
  } catch (const py::error_already_set& error) {
    if (error.matches(PyExc_NotImplementedError))
      no_kernel(py::str(error.value()).cast<std::string>());
    throw;
  }
}

using Sizes = std::vector<int64_t>;

template <class Arguments>
py::bytes bytes_of(const Arguments& arguments) {
  return {reinterpret_cast<const char*>(&arguments), sizeof(Arguments)};
}

/// A number of Python's; PyTorch's own conversion to a Scalar knows only the way back.
c10::Scalar scalar_of(const py::handle& number) {
  if (py::isinstance<py::bool_>(number)) return number.cast<bool>();
  if (py::isinstance<py::int_>(number)) return number.cast<int64_t>();
  if (py::isinstance<py::float_>(number)) return number.cast<double>();
  const auto value = number.cast<std::complex<double>>();
  return c10::complex<double>(value.real(), value.imag());
}

// PointwiseArgs of operands at addresses, outputs first; sizes and strides (in elements) innermost
// first. None where there are too many dimensions.
py::object pointwise_arguments(const std::vector<uintptr_t>& data, const Sizes& sizes,
                               const std::vector<Sizes>& strides, const py::list& numbers) {
  std::vector<c10::Scalar> scalars;
  for (const py::handle number : numbers) scalars.push_back(scalar_of(number));
  std::vector<PointwiseOperand> operands;
  for (size_t k = 0; k < data.size(); ++k) {
    operands.push_back({reinterpret_cast<void*>(data[k]), nullptr, 1, strides[k].data()});
  }
  PointwiseArgs arguments{};
  if (!fill_pointwise(arguments, sizes, operands, scalars)) return py::none();
  return bytes_of(arguments);
}

bool contiguous(const std::string& pointwise_arguments, int outputs,
                const std::vector<int64_t>& item_sizes, int64_t lanes) {
  PointwiseArgs arguments{};
  std::memcpy(&arguments, pointwise_arguments.data(), sizeof arguments);
  std::vector<PointwiseOperand> operands;
  for (const int64_t size : item_sizes) operands.push_back({nullptr, nullptr, size, nullptr});
  return is_contiguous(arguments, outputs, operands, lanes);
}

// ReduceArgs, and how they are launched. Sizes and strides (in elements) innermost first; a kept
// dimension has the input's stride and the outputs'.
py::tuple reduce_plan(uintptr_t input, const std::vector<uintptr_t>& outputs,
                      const std::vector<std::tuple<int64_t, int64_t, Sizes>>& kept,
                      const std::vector<std::tuple<int64_t, int64_t>>& reduced,
                      const std::vector<double>& numbers) {
  std::vector<Reduction::Kept> kept_dims;
  for (const auto& [size, in, out] : kept) {
    kept_dims.push_back({size, in, {out[0], out.size() > 1 ? out[1] : 0}});
  }
  std::vector<Reduction::Reduced> reduced_dims;
  for (const auto& [size, in] : reduced) reduced_dims.push_back({size, in});
  Reduction shape(kept_dims, reduced_dims);
  shape.in = reinterpret_cast<const char*>(input);
  shape.in_dtype = at::kByte;  // so that strides count elements
  for (size_t k = 0; k < outputs.size(); ++k) {
    shape.out[k] = reinterpret_cast<char*>(outputs[k]);
    shape.out_dtype[k] = at::kByte;
  }
  const ReducePlan plan = plan_reduction(shape, numbers);
  const auto pair = [](const Grid& grid) { return std::pair(grid.x, grid.y); };
  return py::make_tuple(bytes_of(plan.arguments), pair(plan.grid), pair(plan.block),
                        plan.parts_bytes, pair(plan.finish_grid), pair(plan.finish_block));
}

}  // namespace

void bind_launches(py::module_& module) {
  set_load_function(&load);
  module.def("cuda_divider", [](int64_t divisor) {
    const DividerArgs made = divider(divisor);
    return std::tuple(made.divisor, made.multiplier, made.shift);
  });
  module.def("cuda_pointwise_arguments", &pointwise_arguments);
  module.def("cuda_is_contiguous", &contiguous);
  module.def("cuda_reduce_plan", &reduce_plan);
}

}  // namespace alt::cuda
