#pragma once

#include <cstddef>

namespace alt {

// What this process may use: of the machine, or of the container (cgroup) that it runs in.
struct SystemMemory {
  size_t total = 0;
  size_t available = 0;  // Without pushing anything out to swap.

  static SystemMemory query();
};

}  // namespace alt
