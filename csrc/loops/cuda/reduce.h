// Reductions on a GPU: how a launch shares the work, and the launch.
#pragma once

#include <initializer_list>

#include "loops/arguments.h"
#include "loops/cuda/launch.h"
#include "loops/reduce_shape.h"

namespace alt::cuda {

/// A kernel of altbackend/cuda/reduce.py: a stub of ops.yaml's `reductions` or one of OWN there,
/// and the numbers that it takes.
struct ReductionKernel {
  const char* name;
  std::initializer_list<double> numbers = {};
};

/// A launch of `reduce`; where blocks share outputs, of `finish` after it. It depends on the shape
/// alone, so that results are reproducible.
struct ReducePlan {
  ReduceArgs arguments;  // without the address of `parts`
  Grid grid, block;
  size_t parts_bytes;  // of accumulators that `parts` must hold; 0 where no blocks share an output
  Grid finish_grid, finish_block;
};
ReducePlan plan_reduction(const Reduction& shape, c10::ArrayRef<double> numbers);

/// Whether a launch can: of at most kMaxDims dimensions that cannot be joined, to fewer than 2^31
/// outputs of fewer than 2^31 elements.
bool fits(const Reduction& shape);

/// Reduces at least one element to at least one output; raises where that does not fit.
void reduce(const Reduction& shape, const ReductionKernel& kernel);

}  // namespace alt::cuda
