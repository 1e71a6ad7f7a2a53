// altbackend/cuda/kernels/distance.cuh.
#include "kernels/cuda/distance.h"

#include <cmath>

#include "kernels/cuda/launches.h"

namespace alt::kernels::cuda {
namespace {

void launch_rows_of(const char* name, const Distances& d, int64_t threads,
                    std::initializer_list<at::Tensor> tensors) {
  const int64_t rows = d.rows.size(-2), others = d.others.size(-2), coordinates = d.rows.size(-1);
  launch_elements(kernel(name, {d.rows.scalar_type()}), threads,
                  dense_arguments(tensors,
                                  {d.rows.numel() / (rows * coordinates), rows, others, coordinates,
                                   d.pairs, std::isinf(d.p)},
                                  {d.p}));
}

}  // namespace

void Distances::forward(const at::Tensor& out) const {
  launch_rows_of("distances", *this, rows.numel() / rows.size(-1) * others.size(-2),
                 {out, rows, others});
}

void Distances::backward(const at::Tensor& grad, const at::Tensor& distances,
                         const at::Tensor& out) const {
  launch_rows_of("distances_backward", *this, rows.numel(), {out, rows, others, grad, distances});
}

}  // namespace alt::kernels::cuda
