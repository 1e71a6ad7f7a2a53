// Compiled once and put before every file of the library: reading ATen takes 3 of the 6 seconds
// that a small kernel takes to compile. Files still include what they use, so they compile alone.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>
