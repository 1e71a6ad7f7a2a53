// Launches of the CUDA engine's kernels from C++.
//
// Python compiles and loads a module once for an operator and its dtypes; the handles are kept in a
// table here, so that a call costs a look-up and a cuLaunchKernel. Every kernel takes one plain
// struct of loops/arguments.h by value.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "loops/arguments.h"
#include "loops/cuda/pointwise.h"
#include "runtime/cuda/driver.h"

namespace alt::cuda {

/// Blocks of a grid, or threads of a block.
struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

/// A kernel of altbackend/cuda/kernels for these dtypes on the current device; compiled at first
/// use, then from a table without Python.
CUfunction kernel(const char* name, std::initializer_list<at::ScalarType> dtypes);

/// A tensor as a kernel takes it; of an undefined one, no address.
TensorArgs tensor_args(const at::TensorBase& tensor);

/// On the current stream. A grid of no blocks launches nothing.
void launch(CUfunction function, Grid grid, Grid block, const KernelArgs& arguments,
            unsigned shared_bytes = 0);
void launch(CUfunction function, Grid grid, Grid block, const PointwiseArgs& arguments);
void launch(CUfunction function, Grid grid, Grid block, const ReduceArgs& arguments);

/// What a module is made for, as altbackend/cuda/module.py's `handles` takes it.
enum class ModuleKind { kPointwise, kReduction, kKernel };
struct ModuleKey {
  ModuleKind kind;
  std::string name;
  std::vector<at::ScalarType>
      dtypes;  // pointwise: common, outputs, inputs; reduction: input, outputs
  int outputs = 0;
};
/// Of a pointwise module `contiguous` and `strided`; of a reduction `reduce` and `finish`; of a
/// kernel the one.
struct Handles {
  CUfunction first = nullptr;
  CUfunction second = nullptr;
  int lanes = 1;  // elements that `contiguous` moves at once
};

/// Asks Python, which compiles and loads where it has not yet; set by the Python module.
using LoadFunction = Handles (*)(const ModuleKey& key, int device);
void set_load_function(LoadFunction function);

/// From the table, or asked for once, for the current device.
Handles handles(ModuleKind kind, const char* name, c10::ArrayRef<at::ScalarType> dtypes,
                int outputs = 0);

}  // namespace alt::cuda
