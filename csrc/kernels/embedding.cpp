// The gradient of an embedding, and renormalising of the rows that a lookup uses.
//
// The gradient of a row is the sum of the gradients of all places that looked it up. Places are put
// in the order of their row by a counting sort, so each row is summed and written once, by one
// thread, in the order of the places: deterministic, and without a pass that clears the result
// first. Lanes run along the row.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_unique.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda/index.h"
#include "kernels/embedding.h"
#include "kernels/norm_lanes.h"
#include "kernels/operands.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;

void check_index_type(const Tensor& indices, const char* function) {
  TORCH_CHECK(indices.scalar_type() == at::kLong || indices.scalar_type() == at::kInt,
              "Expected tensor for argument #2 'indices' to have one of the following scalar "
              "types: Long, Int; but got ",
              indices.toString(), " instead (while checking arguments for ", function, ")");
}

/// embedding_renorm_ of operators, for a GPU.
void renormalise(const Tensor& self, const Tensor& index, double max_norm, double norm_type) {
  const Tensor rows = std::get<0>(at::_unique(index));
  const Tensor found = self.index_select(0, rows).to(opmath_dtype(self.scalar_type()));
  const Tensor norm = at::linalg_vector_norm(found, norm_type, {1}, /*keepdim=*/true, at::kDouble);
  const Tensor scale = at::where(norm.gt(max_norm), norm.add(1e-7).reciprocal().mul(max_norm), 1.0);
  self.index_copy_(0, rows, found.mul(scale.to(found.scalar_type())).to(self.scalar_type()));
}

}  // namespace

Tensor embedding_dense_backward(const Tensor& grad_output, const Tensor& indices,
                                int64_t num_weights, int64_t padding_idx, bool scale_grad_by_freq) {
  check_index_type(indices, "embedding_backward");
  TORCH_CHECK(grad_output.dim() > 0,
              "embedding_dense_backward: expected grad_output of at least one dimension");
  const int64_t width = grad_output.size(-1), places = indices.numel();
  TORCH_CHECK(grad_output.numel() == places * width,
              "embedding_dense_backward: grad_output of shape ", grad_output.sizes(),
              " does not belong to indices of shape ", indices.sizes());
  const Tensor index = indices.to(at::kLong).contiguous(), grad = grad_output.contiguous();
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(grad.scalar_type(), "embedding_backward");
    return cuda::embedding_dense_backward(grad, index, num_weights, padding_idx,
                                          scale_grad_by_freq);
  }
  const Tensor grad_weight = at::empty({num_weights, width}, grad.options());

  visit<FloatingAndHalfTypes>(grad.scalar_type(), "embedding_backward", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const PlacesByRow by_row(index.const_data_ptr<int64_t>(), places, num_weights, padding_idx);
    const T* from = grad.const_data_ptr<T>();
    T* to = grad_weight.mutable_data_ptr<T>();
    const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(1, width));
    parallel_for(0, num_weights, grain, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t first = by_row.start[row], last = by_row.start[row + 1];
        const V scale(scale_grad_by_freq && last > first ? A(1) / static_cast<A>(last - first)
                                                         : A(1));
        for_lanes<A>(0, width, [&](int64_t i, auto lanes) {
          V sum(A(0));
          for (int64_t k = first; k < last; ++k) {
            sum = sum + load_lanes(from + by_row.order[k] * width + i, lanes) * scale;
          }
          store_lanes<T>(sum, to + row * width + i, lanes);
        });
      }
    });
  });
  return grad_weight;
}

Tensor& embedding_renorm_(Tensor& self, const Tensor& indices, double max_norm, double norm_type) {
  TORCH_CHECK(self.dim() == 2, "Expected 2-dimensional tensor, but got ", self.dim(),
              "-dimensional tensor for argument #1 'self' (while checking arguments for "
              "embedding_renorm_)");
  check_index_type(indices, "embedding_renorm_");
  const Tensor index = indices.to(at::kLong).contiguous();
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(self.scalar_type(), "embedding_renorm_");
    renormalise(self, index, max_norm, norm_type);
    return self;
  }
  const int64_t* data = index.const_data_ptr<int64_t>();
  std::vector<int64_t> rows(data, data + index.numel());
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  TORCH_CHECK_INDEX(rows.empty() || (rows.front() >= 0 && rows.back() < self.size(0)),
                    "index out of range in self");

  visit<FloatingAndHalfTypes>(self.scalar_type(), "embedding_renorm_", [&]<class T>() {
    using A = opmath_t<T>;
    T* weights = self.mutable_data_ptr<T>();
    const int64_t width = self.size(1), row_stride = self.stride(0), stride = self.stride(1);
    const int64_t grain = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, width));
    parallel_for(0, static_cast<int64_t>(rows.size()), grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        T* row = weights + rows[r] * row_stride;
        double norm = 0;
        for (int64_t i = 0; i < width; ++i) {
          const double v = std::abs(static_cast<double>(row[i * stride]));
          if (norm_type == 2) {
            norm += v * v;
          } else if (norm_type == 1) {
            norm += v;
          } else if (norm_type == std::numeric_limits<double>::infinity()) {
            norm = std::max(norm, v);
          } else {
            norm += std::pow(v, norm_type);
          }
        }
        if (std::isfinite(norm_type)) norm = std::pow(norm, 1 / norm_type);
        if (norm <= max_norm) continue;
        const A scale = static_cast<A>(max_norm / (norm + 1e-7));
        for (int64_t i = 0; i < width; ++i) {
          row[i * stride] = static_cast<T>(static_cast<A>(row[i * stride]) * scale);
        }
      }
    });
  });
  return self;
}

}  // namespace alt::kernels
