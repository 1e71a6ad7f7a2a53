// The same for files that register operators or know autograd's graph.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>
