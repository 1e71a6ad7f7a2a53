// The reduction loop on a GPU: what run_reduction of csrc/loops/reduce.h is on the host. The
// kernels are altbackend/cuda/loops/reduce.cuh, which says how a block's threads share the work.
#include "loops/cuda/reduce.h"

#include <algorithm>
#include <bit>

#include "loops/cuda/arguments.h"
#include "runtime/allocator.h"
#include "runtime/cuda/no_kernel.h"
#include "runtime/rounding.h"

namespace alt::cuda {
namespace {

constexpr int64_t kThreads = 256;
constexpr int64_t kFinishThreads = 128;
constexpr int64_t kAccumulatorBytes = 32;  // at most; reduce.cuh asserts it
// Blocks that fill a large GPU; with fewer outputs than that, blocks share them.
constexpr int64_t kEnoughBlocks = 512;
constexpr int64_t kMostSplits = 128;
constexpr int64_t kElementsOfLane = 4;    // that a lane has in flight
constexpr int64_t kElementsOfSplit = 16;  // of a lane, below which a block is not worth its start

int64_t up_to_power(int64_t n, int64_t most) {
  return std::min(most, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(n))));
}

void fill_dims(const Reduction& shape, ReduceArgs& into) {
  const auto in_size = static_cast<int64_t>(c10::elementSize(shape.in_dtype));
  into.outputs = shape.outputs;
  into.count = shape.count;
  into.in = shape.in;
  into.kept_dims = static_cast<int64_t>(shape.kept.size());
  into.reduced_dims = static_cast<int64_t>(shape.reduced.size());
  for (size_t d = 0; d < shape.reduced.size(); ++d) {
    into.reduced_sizes[d] = divider(shape.reduced[d].size);
    into.reduced_in[d] = shape.reduced[d].in / in_size;
  }
  for (size_t d = 0; d < shape.kept.size(); ++d) {
    into.kept_sizes[d] = divider(shape.kept[d].size);
    into.kept_in[d] = shape.kept[d].in / in_size;
  }
  for (size_t k = 0; k < shape.out.size(); ++k) {
    into.out[k] = shape.out[k];
    if (shape.out[k] == nullptr) continue;
    const auto out_size = static_cast<int64_t>(c10::elementSize(shape.out_dtype[k]));
    for (size_t d = 0; d < shape.kept.size(); ++d) {
      into.kept_out[k][d] = shape.kept[d].out[k] / out_size;
    }
  }
}

}  // namespace

bool fits(const Reduction& shape) {
  return shape.kept.size() <= kMaxDims && shape.reduced.size() <= kMaxDims &&
         shape.count <= kMostElements && shape.outputs <= kMostElements;
}

ReducePlan plan_reduction(const Reduction& shape, c10::ArrayRef<double> numbers) {
  if (!fits(shape)) {
    no_kernel("the CUDA engine reduces tensors of at most ", kMaxDims,
              " dimensions that cannot be joined, to fewer than 2^31 outputs of fewer than 2^31 "
              "elements");
  }
  ReducePlan plan{};
  fill_dims(shape, plan.arguments);
  for (size_t k = 0; k < numbers.size(); ++k) plan.arguments.scalars[k] = scalar_args(numbers[k]);

  const bool across =
      !shape.kept.empty() && (shape.reduced.empty() || shape.kept[0].in < shape.reduced[0].in);
  const int64_t wanted_lanes = divide_up(shape.count, kElementsOfLane);
  int64_t rows = 0, lanes = 0;
  if (across) {
    rows = up_to_power(shape.outputs, shape.count > 8 ? 32 : kThreads);
    lanes = up_to_power(wanted_lanes, kThreads / rows);
  } else {
    lanes = up_to_power(wanted_lanes, kThreads);
    rows = up_to_power(shape.outputs, kThreads / lanes);
  }
  const int64_t blocks = divide_up(shape.outputs, rows);
  int64_t splits = 1;
  if (blocks < kEnoughBlocks) {
    splits =
        std::min({kEnoughBlocks / blocks, shape.count / (lanes * kElementsOfSplit), kMostSplits});
    splits = std::max<int64_t>(1, splits);
  }
  plan.arguments.across = across;
  plan.arguments.splits = splits;
  plan.grid = {static_cast<unsigned>(blocks), static_cast<unsigned>(splits)};
  plan.block = across ? Grid{static_cast<unsigned>(rows), static_cast<unsigned>(lanes)}
                      : Grid{static_cast<unsigned>(lanes), static_cast<unsigned>(rows)};
  if (splits > 1) {
    plan.parts_bytes = static_cast<size_t>(shape.outputs * splits * kAccumulatorBytes);
    plan.finish_grid = {static_cast<unsigned>(divide_up(shape.outputs, kFinishThreads))};
    plan.finish_block = {static_cast<unsigned>(kFinishThreads)};
  }
  return plan;
}

void reduce(const Reduction& shape, const ReductionKernel& kernel) {
  ReducePlan plan = plan_reduction(shape, kernel.numbers);
  c10::SmallVector<at::ScalarType, 3> dtypes{shape.in_dtype};
  for (size_t k = 0; k < shape.out.size(); ++k) {
    if (shape.out[k] != nullptr) dtypes.push_back(shape.out_dtype[k]);
  }
  const Handles made =
      handles(ModuleKind::kReduction, kernel.name, dtypes, static_cast<int>(dtypes.size()) - 1);
  at::DataPtr parts;  // freed behind the launches: the same stream's next allocation is ordered
  if (plan.parts_bytes > 0) parts = allocate(plan.parts_bytes);
  plan.arguments.parts = parts.get();
  launch(made.first, plan.grid, plan.block, plan.arguments);
  if (plan.parts_bytes > 0) {
    launch(made.second, plan.finish_grid, plan.finish_block, plan.arguments);
  }
}

}  // namespace alt::cuda
