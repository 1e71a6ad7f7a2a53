// How many threads of its own the BLAS may start.
#pragma once

extern "C" {
// Absent where libtorch's BLAS is not MKL.
int MKL_Set_Num_Threads_Local(int) __attribute__((weak));
}

namespace alt {

/// Holds MKL to `count` threads in the calling thread for as long as it lives. With 1 it starts no
/// OpenMP team: for work that the threads of our pool share.
class BlasThreads {
 public:
  explicit BlasThreads(int count)
      : previous_(MKL_Set_Num_Threads_Local ? MKL_Set_Num_Threads_Local(count) : 0) {}
  ~BlasThreads() {
    if (MKL_Set_Num_Threads_Local) {
      MKL_Set_Num_Threads_Local(previous_);
    }
  }
  BlasThreads(const BlasThreads&) = delete;
  BlasThreads& operator=(const BlasThreads&) = delete;

 private:
  int previous_;
};

}  // namespace alt
