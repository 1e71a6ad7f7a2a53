// What a launch passes to a kernel: plain structs, laid out alike by g++, NVRTC and
// altbackend/cuda/arguments.py. Strides count elements, data points to the first one.
#pragma once

#include <cstdint>

namespace alt {

inline constexpr int kMaxDims = 16;     // after dimensions that lie one behind the other are joined
inline constexpr int kMaxOperands = 8;  // outputs first
inline constexpr int kMaxScalars = 8;

/// A tensor: sizes[0] is the outermost dimension, as in PyTorch.
struct TensorArgs {
  void* data;
  int64_t ndim;
  int64_t sizes[kMaxDims];
  int64_t strides[kMaxDims];
};

/// A number: an integer in `integer`, a floating-point or complex one in the other two.
struct ScalarArgs {
  double real;
  double imaginary;
  int64_t integer;
};

/// Division by a number that does not change, by a multiplication: n / divisor is
/// (high 32 bits of n * multiplier + n) >> shift for n < 2^31.
struct DividerArgs {
  uint32_t divisor;
  uint32_t multiplier;
  uint32_t shift;
};

/// Of a pointwise kernel. Dimension 0 is the innermost, as in a TensorIterator; at most 2^31 - 1
/// elements, which TensorIterator::with_32bit_indexing sees to. An input without an address is one
/// number that the host has: its bytes are in `numbers`.
struct PointwiseArgs {
  int64_t numel;
  int64_t ndim;
  void* data[kMaxOperands];
  DividerArgs sizes[kMaxDims];
  int64_t strides[kMaxOperands][kMaxDims];
  ScalarArgs scalars[kMaxScalars];
  alignas(16) unsigned char numbers[kMaxOperands][16];
};

/// Of a reduction. Dimension 0 is the innermost; fewer than 2^31 outputs, and elements of each.
struct ReduceArgs {
  int64_t outputs;
  int64_t count;   // elements of each output
  int64_t splits;  // blocks that share an output: each leaves an accumulator in `parts`
  int64_t across;  // whether threads that are neighbours take outputs that are, not elements
  int64_t kept_dims;
  int64_t reduced_dims;
  const void* in;
  void* out[2];
  void* parts;
  DividerArgs kept_sizes[kMaxDims];
  DividerArgs reduced_sizes[kMaxDims];
  int64_t kept_in[kMaxDims];
  int64_t kept_out[2][kMaxDims];
  int64_t reduced_in[kMaxDims];
  ScalarArgs scalars[2];
};

/// Of the kernels of altbackend/cuda/kernels, each of which says what it takes: an enum names the
/// tensors, another the integers.
inline constexpr int kMaxTensors = 8;
struct KernelArgs {
  TensorArgs tensors[kMaxTensors];
  int64_t integers[32];
  double numbers[8];
};

}  // namespace alt
