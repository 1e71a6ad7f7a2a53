// The fused optimizers: all parameters of a model in one launch.
//
// tensors[0] is a list in the GPU's memory: for each parameter the addresses of its tensors and its
// number of elements (kWords int64 each); tensors[1] says for each block which parameter it has and
// from which element on (2 int64 each), kChunk of them. Rules are csrc/kernels/optim.cpp's.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace optim {
inline constexpr int64_t kWords = 8;
inline constexpr int64_t kChunk = 4096;
/// Of a parameter's words; state is what the rule keeps.
enum Words { kParam, kGrad, kFirst, kSecond, kLargest, kStep, kSize };
enum Numbers { kRate, kBeta1, kBeta2, kDecay, kEpsilon, kMomentum, kDampening, kRateDecay };
enum Integers { kMaximize, kAmsgrad, kDecoupled, kNesterov, kFirstStep };
/// tensors[2] and [3], floats or none: what gradients are divided by first, and back to memory; and
/// whether they overflowed (1), so that nothing is done.
enum Tensors { kList, kBlocks, kScale, kFoundInf };

template <class T>
ALT_FN T* pointer(const int64_t* words, int which) {
  return reinterpret_cast<T*>(words[which]);
}

/// The gradient as a rule is to see it.
template <class T>
ALT_FN opmath_t<T> gradient(const KernelArgs& a, const int64_t* words, int64_t i) {
  T* grad = pointer<T>(words, kGrad);
  opmath_t<T> g = convert<opmath_t<T>>(grad[i]);
  if (a.tensors[kScale].data != nullptr) {
    g = g / static_cast<opmath_t<T>>(*data_of<float>(a.tensors[kScale]));
    grad[i] = convert<T>(g);
  }
  return a.integers[kMaximize] != 0 ? -g : g;
}

/// body(words, i) for every element of the block's chunk.
template <class Body>
ALT_FN void for_chunk(const KernelArgs& a, Body body) {
  if (a.tensors[kFoundInf].data != nullptr && *data_of<float>(a.tensors[kFoundInf]) == 1.0f) return;
  const int64_t* block =
      data_of<int64_t>(a.tensors[kBlocks]) + 2 * static_cast<int64_t>(blockIdx.x);
  const int64_t* words = data_of<int64_t>(a.tensors[kList]) + kWords * block[0];
  const int64_t end = block[1] + kChunk < words[kSize] ? block[1] + kChunk : words[kSize];
  for (int64_t i = block[1] + threadIdx.x; i < end; i += blockDim.x) body(words, i);
}
}  // namespace optim

/// Adam and, where kDecoupled, AdamW. kStep is the address of a float: steps, this one counted.
template <class T>
ALT_FN void adam(const KernelArgs& a) {
  using namespace optim;
  using A = opmath_t<T>;
  const A rate = static_cast<A>(a.numbers[kRate]), decay = static_cast<A>(a.numbers[kDecay]);
  const A beta1 = static_cast<A>(a.numbers[kBeta1]), beta2 = static_cast<A>(a.numbers[kBeta2]);
  const A epsilon = static_cast<A>(a.numbers[kEpsilon]);
  for_chunk(a, [&](const int64_t* words, int64_t i) {
    T *param = pointer<T>(words, kParam), *first = pointer<T>(words, kFirst);
    T *second = pointer<T>(words, kSecond), *largest = pointer<T>(words, kLargest);
    const double step = static_cast<double>(*pointer<float>(words, kStep));
    // 1 - beta^step in double: float would lose it for the first steps of a beta near 1.
    const A correction1 = static_cast<A>(1.0 - math::pow(a.numbers[kBeta1], step));
    const A correction2 = static_cast<A>(math::sqrt(1.0 - math::pow(a.numbers[kBeta2], step)));
    A p = convert<A>(param[i]);
    A g = gradient<T>(a, words, i);
    if (a.integers[kDecoupled] != 0) {
      p -= rate * decay * p;
    } else {
      g = g + decay * p;
    }
    const A m = beta1 * convert<A>(first[i]) + (A(1) - beta1) * g;
    const A v = beta2 * convert<A>(second[i]) + (A(1) - beta2) * g * g;
    first[i] = convert<T>(m);
    second[i] = convert<T>(v);
    A under = v;
    if (a.integers[kAmsgrad] != 0) {
      under = maximum(convert<A>(largest[i]), v);
      largest[i] = convert<T>(under);
    }
    p -= rate / correction1 * m / (math::sqrt(under) / correction2 + epsilon);
    param[i] = convert<T>(p);
  });
}

/// SGD; kFirst is the momentum buffer, which the first step only sets.
template <class T>
ALT_FN void sgd(const KernelArgs& a) {
  using namespace optim;
  using A = opmath_t<T>;
  const A rate = static_cast<A>(a.numbers[kRate]), decay = static_cast<A>(a.numbers[kDecay]);
  const A momentum = static_cast<A>(a.numbers[kMomentum]);
  const A dampening = static_cast<A>(a.numbers[kDampening]);
  for_chunk(a, [&](const int64_t* words, int64_t i) {
    T* param = pointer<T>(words, kParam);
    A p = convert<A>(param[i]);
    A g = gradient<T>(a, words, i);
    g = g + decay * p;
    if (momentum != A(0)) {
      T* buffer = pointer<T>(words, kFirst);
      const A held = a.integers[kFirstStep] != 0
                         ? g
                         : momentum * convert<A>(buffer[i]) + (A(1) - dampening) * g;
      buffer[i] = convert<T>(held);
      g = a.integers[kNesterov] != 0 ? g + momentum * held : held;
    }
    param[i] = convert<T>(p - rate * g);
  });
}

/// Adagrad; kFirst is the sum of squares, kStep as Adam's, kRateDecay what it weighs.
template <class T>
ALT_FN void adagrad(const KernelArgs& a) {
  using namespace optim;
  using A = opmath_t<T>;
  const A decay = static_cast<A>(a.numbers[kDecay]);
  const A epsilon = static_cast<A>(a.numbers[kEpsilon]);
  for_chunk(a, [&](const int64_t* words, int64_t i) {
    T *param = pointer<T>(words, kParam), *sum = pointer<T>(words, kFirst);
    const double steps = static_cast<double>(*pointer<float>(words, kStep)) - 1.0;
    const A rate = static_cast<A>(a.numbers[kRate] / (1.0 + steps * a.numbers[kRateDecay]));
    const A p = convert<A>(param[i]);
    A g = gradient<T>(a, words, i);
    g = g + decay * p;
    const A total = convert<A>(sum[i]) + g * g;
    sum[i] = convert<T>(total);
    param[i] = convert<T>(p - rate * g / (math::sqrt(total) + epsilon));
  });
}

/// Gradient scaling: kParam times the number kScale. Where one is not finite, kFoundInf becomes 1.
template <class T>
ALT_FN void unscale(const KernelArgs& a) {
  using namespace optim;
  using A = opmath_t<T>;
  KernelArgs always = a;  // kFoundInf is the result here
  always.tensors[kFoundInf].data = nullptr;
  const A scale = static_cast<A>(*data_of<float>(a.tensors[kScale]));
  for_chunk(always, [&](const int64_t* words, int64_t i) {
    T* grad = pointer<T>(words, kParam);
    const A g = convert<A>(grad[i]);
    if (g - g != A(0)) *data_of<float>(a.tensors[kFoundInf]) = 1.0f;
    if (scale != A(1)) grad[i] = convert<T>(g * scale);
  });
}

/// The scale of the next step, by one thread. tensors: scale, steps without overflow (int32),
/// found; numbers: growth, backoff; integers: steps until growth.
template <class T>
ALT_FN void update_scale(const KernelArgs& a) {
  if (first_index() != 0) return;
  float& scale = *data_of<float>(a.tensors[0]);
  int32_t& steps = *data_of<int32_t>(a.tensors[1]);
  if (*data_of<float>(a.tensors[2]) != 0.0f) {
    scale = static_cast<float>(scale * a.numbers[1]);
    steps = 0;
    return;
  }
  const int32_t successful = steps + 1;
  const bool grows = successful == a.integers[0];
  steps = grows ? 0 : successful;
  const float grown = static_cast<float>(scale * a.numbers[0]);
  if (grows && grown - grown == 0.0f) scale = grown;
}

}  // namespace alt::kernels
