// Compiled once and put before every file that computes: reading ATen takes longer than a small
// kernel takes to compile. Files still include what they use, so they compile alone.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
