// A sum whose terms are computed by the threads and added in order, so that it does not depend on
// their number.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/thread_pool.h"

namespace alt::kernels {

/// The sum of term(task), in the order of the tasks.
template <class F>
double sum_of_tasks(int64_t tasks, F&& term) {
  std::vector<double> terms(tasks);
  parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) terms[task] = term(task);
  });
  double sum = 0;
  for (const double found : terms) sum += found;
  return sum;
}

}  // namespace alt::kernels
