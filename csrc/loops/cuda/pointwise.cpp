// The pointwise loop on a GPU: what csrc/loops/pointwise.cpp is on the host. The kernels are
// altbackend/cuda/loops/pointwise.cuh.
#include "loops/cuda/pointwise.h"

#include <ATen/TensorIterator.h>

#include <algorithm>

#include "loops/cuda/arguments.h"
#include "loops/cuda/launch.h"
#include "loops/element_size.h"
#include "runtime/rounding.h"

namespace alt::cuda {
namespace {

constexpr int64_t kThreads = 256;
// Blocks of a grid: enough for every GPU; the threads go on to further elements.
constexpr int64_t kMostBlocks = 1 << 16;

using Dtypes = c10::SmallVector<at::ScalarType, 8>;
using Operands = c10::SmallVector<PointwiseOperand, 6>;

/// What is computed, whatever part of the operands it is computed of.
struct Call {
  const char* row;
  c10::ArrayRef<c10::Scalar> scalars;
  Dtypes dtypes;         // what it computes in, then the operands'
  const void* number{};  // of the host's: one input more than the iterator has
};

Operands operands_of(const at::TensorIteratorBase& iter, const Call& call,
                     const int64_t* no_strides) {
  Operands operands;
  for (int k = 0; k < iter.ntensors(); ++k) {
    const bool number = k >= iter.noutputs() && iter.device(k).is_cpu();
    TORCH_INTERNAL_ASSERT(!number || iter.is_cpu_scalar(k));
    void* data = iter.data_ptr(k);
    operands.push_back({number ? nullptr : data, number ? data : nullptr, iter.element_size(k),
                        iter.strides(k).data()});
  }
  if (call.number != nullptr) {
    const auto size = static_cast<int64_t>(c10::elementSize(call.dtypes.back()));
    operands.push_back({nullptr, call.number, size, no_strides});
  }
  return operands;
}

Grid grid_of(int64_t units, Grid& block) {
  block.x = static_cast<unsigned>(std::clamp<int64_t>(divide_up(units, 32) * 32, 32, kThreads));
  return {static_cast<unsigned>(std::clamp<int64_t>(divide_up(units, block.x), 1, kMostBlocks))};
}

void run(at::TensorIteratorBase& iter, const Call& call) {
  const int64_t numel = iter.numel();
  if (numel == 0) return;
  if (numel > kMostElements) {
    for (auto& part : iter.with_32bit_indexing()) run(part, call);
    return;
  }
  const c10::SmallVector<int64_t, 8> no_strides(static_cast<size_t>(iter.ndim()), 0);
  const Operands operands = operands_of(iter, call, no_strides.data());
  PointwiseArgs arguments;
  if (!fill_pointwise(arguments, iter.shape(), operands, call.scalars)) {
    // More dimensions than a kernel takes: halves, until the outer ones are of one element.
    at::TensorIterator rest(iter);
    int outermost = rest.ndim() - 1;
    while (rest.shape()[static_cast<size_t>(outermost)] == 1) --outermost;
    const auto half = rest.split(outermost);
    run(*half, call);
    run(rest, call);
    return;
  }
  const Handles made = handles(ModuleKind::kPointwise, call.row, call.dtypes, iter.noutputs());
  const bool in_packs = is_contiguous(arguments, iter.noutputs(), operands, made.lanes);
  Grid block;
  const Grid grid = grid_of(in_packs ? divide_up(numel, made.lanes) : numel, block);
  launch(in_packs ? made.first : made.second, grid, block, arguments);
}

}  // namespace

void pointwise(at::TensorIteratorBase& iter, const char* row, c10::ArrayRef<c10::Scalar> scalars,
               at::ScalarType compute) {
  if (compute == at::ScalarType::Undefined) compute = iter.common_dtype();
  Call call{row, scalars, {compute}};
  for (int k = 0; k < iter.ntensors(); ++k) call.dtypes.push_back(iter.dtype(k));
  run(iter, call);
}

void copy(at::TensorIteratorBase& iter) {
  const at::ScalarType to = iter.dtype(0), from = iter.dtype(1);
  const at::ScalarType bits = moved_as(to);
  Call call{"copy", {}, {from, to, from}};
  if (to == from) call.dtypes = {bits, bits, bits};
  run(iter, call);
}

void fill(at::TensorIteratorBase& iter, const void* element) {
  const at::ScalarType bits = moved_as(iter.dtype(0));
  run(iter, {"copy", {}, {bits, bits, bits}, element});
}

}  // namespace alt::cuda
