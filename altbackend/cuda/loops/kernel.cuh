// A kernel takes one plain struct (csrc/loops/arguments.h), so that every launch looks alike:
//
//   ALT_KERNEL(name, Arguments) { ... arguments ... }
#pragma once

#include <cstdint>

#include "loops/failure.cuh"  // every module is told where the record is when it is loaded
#include "loops/function.h"

#if defined(ALT_SIMULATED)
#include "simulated_kernel.h"  // tests/cuda_simulation
#else
// Under __grid_constant__ an array in the arguments is indexed where it lies, not in a copy.
#define ALT_KERNEL(name, Arguments) \
  extern "C" __global__ void name(const __grid_constant__ Arguments arguments)
#endif
