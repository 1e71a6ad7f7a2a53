#pragma once

namespace alt {

// Called once the device is in use. From then on a forked child computes on one thread, until it
// calls torch.set_num_threads(): OpenMP, which stock's kernels and LAPACK may use, waits for ever
// for threads that the child did not inherit.
void prepare_for_forks();

}  // namespace alt
