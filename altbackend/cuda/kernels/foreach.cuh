// The _foreach_ operators: a whole list of tensors in one launch, from tables as the optimizers'
// are (optim.cuh). A tensor's words are the addresses of up to three inputs and of the result, the
// bits of its number as a double, and its number of elements.
#pragma once

#include "kernels/optim.cuh"
#include "ops/foreach.h"

namespace alt::kernels {

namespace foreach {
enum Words { kResult = 3, kFactor = 4 };
enum Integers { kOperator, kInputs };
}  // namespace foreach

template <class T>
ALT_FN void foreach_map(const KernelArgs& a) {
  using A = opmath_t<T>;
  const int number = static_cast<int>(a.integers[foreach::kOperator]);
  const int64_t inputs = a.integers[foreach::kInputs];
  optim::for_chunk(a, [&](const int64_t* words, int64_t i) {
    A x[3] = {};
    for (int k = 0; k < inputs; ++k) x[k] = convert<A>(optim::pointer<T>(words, k)[i]);
    const A factor = static_cast<A>(__builtin_bit_cast(double, words[foreach::kFactor]));
    optim::pointer<T>(words, foreach::kResult)[i] =
        convert<T>(ops::foreach::Operators::apply(number, x, factor));
  });
}

}  // namespace alt::kernels
