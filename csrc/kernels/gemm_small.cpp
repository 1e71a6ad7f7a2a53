// Products too small for a call of the BLAS, which takes a third of a microsecond before it begins.
//
// Loops: panels of B, blocks of some six to twelve rows, and in the registers k (gemm_panels.h). B
// is at most half of a first-level cache, and is read where it lies if its rows are a panel; else
// it is packed on the stack.
#include <algorithm>
#include <array>
#include <type_traits>

#include "kernels/blas.h"
#include "kernels/gemm_panels.h"

namespace alt::blas {
namespace {

constexpr int64_t kMostPacked = 4096;       // elements of B
constexpr int64_t kMostProducts = 1 << 18;  // what a core multiplies in some 5 us

}  // namespace

template <class T>
bool gemm_small(int64_t m, int64_t n, int64_t k, Matrix<T> a, Matrix<T> b, bool add, T* c,
                int64_t c_stride) {
  constexpr int64_t side = Vec<T>::size;
  const int groups = neighbours<T>(n);
  const int64_t width = groups * side, panels = (n + width - 1) / width;
  if (2 * n < side || panels * width * k > kMostPacked || m * n * k > kMostProducts) return false;

  alignas(64) std::array<T, kMostPacked> buffer;
  const bool in_place = has_rows_of_vectors(n, b);
  for (int64_t panel = 0; panel < panels; ++panel) {
    Target<T> to{c, c_stride};
    to.add.fill(add);
    for (int g = 0; g < groups; ++g) {
      const int64_t first = panel * width + g * side;
      to.offset[g] = first;
      to.lanes[g] = static_cast<int>(std::clamp<int64_t>(n - first, 0, side));
      if (in_place) continue;
      const int64_t column_stride = b.transposed ? b.stride : 1;
      pack_group(b.data + std::min(first, n) * column_stride, b.transposed ? 1 : b.stride,
                 column_stride, to.lanes[g], k, width, buffer.data() + g * side);
    }
    const Panel<T> columns =
        in_place ? Panel<T>{b.data + panel * width, b.stride} : Panel<T>{buffer.data(), width};
    const int64_t blocks = (m + block_rows(groups) - 1) / block_rows(groups);
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t row = i * m / blocks, count = (i + 1) * m / blocks - row;
      const Rows<T> rows = a.transposed ? Rows<T>{a.data + row, 1, a.stride}
                                        : Rows<T>{a.data + row * a.stride, a.stride};
      to.data = c + row * c_stride;
      find_block<T>(to.groups(), count)(k, rows, columns, to);
    }
  }
  return true;
}

template bool gemm_small<float>(int64_t, int64_t, int64_t, Matrix<float>, Matrix<float>, bool,
                                float*, int64_t);
template bool gemm_small<double>(int64_t, int64_t, int64_t, Matrix<double>, Matrix<double>, bool,
                                 double*, int64_t);

}  // namespace alt::blas
