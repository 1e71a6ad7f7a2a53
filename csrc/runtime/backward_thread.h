#pragma once

#include <c10/core/AutogradState.h>

namespace alt {

// A backward pass over what this thread makes on the device is to run in the thread that calls it,
// as on the cpu, and not in a thread that the autograd engine keeps for the device. Handing work to
// that thread makes the host's computations no faster, it costs the backward of a small network
// much of its time, and a process that ends soon after ends with an abort: the engine's thread
// then drops its last reference to a Python object while Python is being taken down.
inline void run_backward_in_calling_thread() {
  auto& state = c10::AutogradState::get_tls_state();
  if (state.get_multithreading_enabled()) state.set_multithreading_enabled(false);
}

}  // namespace alt
