// Losses that are a mean or a sum over pairs of an input and a target: what loss_pointwise.cpp asks
// of its kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace alt::kernels::pointwise_loss {

enum class Kind {
  kSquare,                        // mse_loss
  kAbsolute,                      // l1_loss
  kSmoothL1,                      // parameter: beta > 0
  kHuber,                         // parameter: delta > 0
  kBinaryCrossEntropy,            // infinite where an input or a target is not in [0, 1]
  kBinaryCrossEntropyWithLogits,  // parameter: pos_weight
  kKullbackLeibler,               // kl_div, whose input is a logarithm
  kKullbackLeiblerOfLogarithms,   // and the target too
};

struct Problem {
  Kind kind;
  double parameter;
  int64_t reduction;  // at::Reduction::Mean or Sum
};

struct Result {
  double sum;           // of the losses
  at::Tensor loss;      // one number: that, or their mean
  at::Tensor gradient;  // of the input, for a loss whose gradient is 1; undefined if not wanted
};

/// `input` and `target` have elements, of one floating dtype, and lie in memory alike and without
/// gaps.
Result compute(const at::Tensor& input, const at::Tensor& target, const Problem& problem,
               bool with_gradient);

}  // namespace alt::kernels::pointwise_loss
