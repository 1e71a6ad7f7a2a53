// Walking a TensorIterator's elements with alt's threads.
#pragma once

#include <ATen/TensorIterator.h>

#include <cstdint>
#include <vector>

#include "runtime/thread_pool.h"

namespace alt::kernels {

/// Elements that one thread should have to be worth waking it.
inline constexpr int64_t kIterateGrain = 1 << 14;

/// loop(data, strides, n): n elements in one dimension; data and strides have one entry an operand.
/// Operands must be safe to write from several threads; `serial` is for those that are not. Each
/// thread calls done() behind its elements.
template <class Loop, class Done>
void for_each_row(at::TensorIteratorBase& iter, bool serial, Loop&& loop, Done&& done) {
  const int64_t numel = iter.numel();
  if (numel == 0) {
    return;
  }
  const int ntensors = iter.ntensors();
  const auto loop2d = [&](char** base, const int64_t* strides, int64_t size0, int64_t size1) {
    std::vector<char*> data(base, base + ntensors);
    for (int64_t j = 0; j < size1; ++j) {
      loop(data.data(), strides, size0);
      for (int k = 0; k < ntensors; ++k) {
        data[k] += strides[ntensors + k];
      }
    }
  };
  if (serial || numel <= kIterateGrain || num_threads() == 1) {
    iter.serial_for_each(loop2d, {0, numel});
    done();
  } else {
    parallel_for(0, numel, kIterateGrain, [&](int64_t begin, int64_t end) {
      iter.serial_for_each(loop2d, {begin, end});
      done();
    });
  }
}

template <class Loop>
void for_each_row(at::TensorIteratorBase& iter, bool serial, Loop&& loop) {
  for_each_row(iter, serial, loop, [] {});
}

}  // namespace alt::kernels
