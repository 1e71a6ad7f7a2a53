#include "runtime/fork.h"

#include <ATen/Parallel.h>
#include <pthread.h>

namespace alt {

void prepare_for_forks() {
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { at::set_num_threads(1); });
}

}  // namespace alt
