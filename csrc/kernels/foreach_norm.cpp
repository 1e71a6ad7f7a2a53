// _foreach_norm: the norms that gradient clipping takes, of all tensors in one parallel region.
//
// A norm has the bits of linalg.vector_norm, as its sums are taken in the same chunks and combined
// in the same order (loops/reduce.h).
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_norm_native.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/foreach.h"
#include "loops/reduce.h"
#include "runtime/rounding.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using at::TensorList;

/// Elements of one tensor.
struct Chunk {
  size_t tensor;
  int64_t begin, end;
};

bool in_one_pass(TensorList self) {
  return !alt::cuda::on_gpu() && std::all_of(self.begin(), self.end(), [](const Tensor& tensor) {
    return is_dense_floating(tensor) && tensor.numel() > 0;
  });
}

std::vector<Chunk> chunks_of(TensorList tensors) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t numel = tensors[i].numel();
    for (int64_t begin = 0; begin < numel; begin += reduce::kChunk) {
      chunks.push_back({i, begin, std::min(begin + reduce::kChunk, numel)});
    }
  }
  return chunks;
}

template <class Op>
typename Op::Acc combined(const Op& op, std::vector<typename Op::Acc> of_chunks) {
  if (of_chunks.size() == 1) return of_chunks[0];
  reduce::Cascade<Op> cascade(op, 1);
  for (const auto& sum : of_chunks) cascade.push(&sum);
  cascade.finish(of_chunks.data());
  return of_chunks[0];
}

template <template <class> class Norm>
std::vector<Tensor> norms(TensorList self) {
  const std::vector<Chunk> chunks = chunks_of(self);
  std::vector<double> found(chunks.size());  // holds a float as it is
  int64_t total = 0;
  for (const Tensor& tensor : self) total += tensor.numel();
  const auto count = static_cast<int64_t>(chunks.size());
  const int64_t grain = std::max<int64_t>(1, count * reduce::kSerial / std::max<int64_t>(total, 1));
  parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const Chunk& chunk = chunks[c];
      const Tensor& tensor = self[chunk.tensor];
      visit<FloatingAndHalfTypes>(tensor.scalar_type(), "norm", [&]<class T>() {
        found[c] = static_cast<double>(reduce::block(Norm<opmath_t<T>>{},
                                                     tensor.const_data_ptr<T>() + chunk.begin,
                                                     chunk.end - chunk.begin, 0));
      });
    }
  });

  std::vector<Tensor> results;
  results.reserve(self.size());
  auto next = found.begin();
  for (const Tensor& tensor : self) {
    const auto first = next;
    next += divide_up(tensor.numel(), reduce::kChunk);
    results.push_back(at::empty({}, tensor.options()));
    visit<FloatingAndHalfTypes>(tensor.scalar_type(), "norm", [&]<class T>() {
      const Norm<opmath_t<T>> op;
      *results.back().mutable_data_ptr<T>() =
          static_cast<T>(op.project(combined(op, {first, next}), tensor.numel()));
    });
  }
  return results;
}

}  // namespace

std::vector<Tensor> foreach_norm(TensorList self, const at::Scalar& ord,
                                 std::optional<at::ScalarType> dtype) {
  const bool real = ord.isIntegral(/*includeBool=*/false) || ord.isFloatingPoint();
  if (real && !dtype.has_value() && in_one_pass(self)) {
    const double p = ord.to<double>();
    if (p == 2) return norms<ops::NormTwo>(self);
    if (p == 1) return norms<ops::NormOne>(self);
    if (p == std::numeric_limits<double>::infinity()) return norms<ops::NormInfinity>(self);
  }
  return at::native::foreach_tensor_norm_slow(self, ord, dtype);
}

}  // namespace alt::kernels
