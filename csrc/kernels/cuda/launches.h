// What the twins of csrc/kernels do alike to launch a kernel of altbackend/cuda/kernels: its
// arguments, and how many threads it gets.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <initializer_list>

#include "loops/cuda/launch.h"
#include "runtime/cuda/engine.h"
#include "runtime/rounding.h"

namespace alt::kernels::cuda {

using alt::cuda::CUfunction;
using alt::cuda::Grid;
using alt::cuda::kernel;
using alt::cuda::launch;
using alt::cuda::tensor_args;

inline constexpr int64_t kThreads = 256;

inline KernelArgs arguments(std::initializer_list<TensorArgs> tensors,
                            std::initializer_list<int64_t> integers = {},
                            std::initializer_list<double> numbers = {}) {
  KernelArgs result{};
  std::copy(tensors.begin(), tensors.end(), result.tensors);
  std::copy(integers.begin(), integers.end(), result.integers);
  std::copy(numbers.begin(), numbers.end(), result.numbers);
  return result;
}

/// A tensor's memory with other sizes and strides (in elements).
inline TensorArgs args_as(const at::TensorBase& tensor, at::IntArrayRef sizes,
                          at::IntArrayRef strides) {
  TensorArgs result{};
  if (!tensor.defined()) return result;
  result.data = const_cast<void*>(tensor.const_data_ptr());
  result.ndim = static_cast<int64_t>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), result.sizes);
  std::copy(strides.begin(), strides.end(), result.strides);
  return result;
}

/// Contiguous memory, row-major with these sizes.
inline TensorArgs dense_args(const at::TensorBase& tensor, at::IntArrayRef sizes) {
  at::DimVector strides(sizes.size(), 1);
  for (size_t d = sizes.size(); d-- > 1;) strides[d - 1] = strides[d] * sizes[d];
  return args_as(tensor, sizes, strides);
}

/// What a kernel takes that knows its tensors' sizes by the integers: contiguous memory each.
inline KernelArgs dense_arguments(std::initializer_list<at::Tensor> tensors,
                                  std::initializer_list<int64_t> integers = {},
                                  std::initializer_list<double> numbers = {}) {
  KernelArgs result = arguments({}, integers, numbers);
  std::transform(tensors.begin(), tensors.end(), result.tensors,
                 [](const at::Tensor& tensor) { return dense_args(tensor, {}); });
  return result;
}

/// For kernels whose threads step through `elements` with the grid: enough blocks to fill any GPU.
inline Grid blocks_for(int64_t elements) {
  constexpr int64_t kMostBlocks = 1 << 14;
  return {static_cast<unsigned>(std::min(divide_up(elements, kThreads), kMostBlocks))};
}

inline void launch_elements(CUfunction function, int64_t elements, const KernelArgs& arguments) {
  launch(function, blocks_for(elements), {static_cast<unsigned>(kThreads)}, arguments);
}

/// A block for every tile (loops/product.cuh) of `count` products of rows x columns.
inline void launch_tiles(CUfunction function, int64_t rows, int64_t columns, int64_t count,
                         const KernelArgs& arguments) {
  constexpr int64_t kTile = 64;
  const Grid grid{static_cast<unsigned>(divide_up(columns, kTile)),
                  static_cast<unsigned>(divide_up(rows, kTile)), static_cast<unsigned>(count)};
  launch(function, grid, {static_cast<unsigned>(kThreads)}, arguments);
}

/// Blocks whose threads are lanes of rows (loops/block.cuh), for `rows` rows of `count` elements.
struct RowBlocks {
  Grid grid, block;

  RowBlocks(int64_t rows, int64_t count, bool across = false) {
    const int64_t most = across ? kThreads / 32 : kThreads;
    int64_t lanes = 1;
    while (lanes < std::min(count, most)) lanes *= 2;
    const int64_t beside = std::min(kThreads / lanes, std::max<int64_t>(1, rows));
    const auto x = static_cast<unsigned>(across ? beside : lanes);
    const auto y = static_cast<unsigned>(across ? lanes : beside);
    grid = {static_cast<unsigned>(divide_up(rows, beside))};
    block = {x, y};
  }
};

inline void launch_rows(CUfunction function, const RowBlocks& blocks, const KernelArgs& arguments) {
  launch(function, blocks.grid, blocks.block, arguments);
}

}  // namespace alt::kernels::cuda
