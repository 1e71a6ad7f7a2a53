// Products of our own of float and double (gemm_blocked.h).
#include "kernels/gemm_blocked.h"

namespace alt::blas {

template <class T>
void gemm_blocked(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                  int64_t c_stride) {
  multiply_in_threads<FusedMultiplyAdd<T>>(m, n, k, a, b, add, c, c_stride);
}

template void gemm_blocked<float>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, bool,
                                  float*, int64_t);
template void gemm_blocked<double>(int64_t, int64_t, int64_t, Matrix<double>, Matrix<double>, bool,
                                   double*, int64_t);

}  // namespace alt::blas
