#include "loops/reduce_shape.h"

#include <ATen/TensorIterator.h>

#include <limits>

namespace alt {
namespace {

// A broadcast dimension (stride 0) is walked last: nearness gains nothing there.
int64_t distance(int64_t stride) {
  return stride == 0 ? std::numeric_limits<int64_t>::max() : std::abs(stride);
}

}  // namespace

Reduction::Reduction(at::TensorIteratorBase& iter) {
  const int outs = iter.noutputs();
  TORCH_INTERNAL_ASSERT(outs <= 2 && iter.ninputs() == 1);
  in = static_cast<const char*>(iter.data_ptr(outs));
  in_dtype = iter.dtype(outs);
  for (int k = 0; k < outs; ++k) {
    out[static_cast<size_t>(k)] = static_cast<char*>(iter.data_ptr(k));
    out_dtype[static_cast<size_t>(k)] = iter.dtype(k);
  }
  for (int d = 0; d < iter.ndim(); ++d) {
    const auto i = static_cast<size_t>(d);
    const int64_t size = iter.shape()[i];
    if (size == 1) continue;
    if (iter.strides(0)[i] == 0) {
      reduced.push_back({size, iter.strides(outs)[i]});
    } else {
      kept.push_back(
          {size, iter.strides(outs)[i], {iter.strides(0)[i], outs == 2 ? iter.strides(1)[i] : 0}});
    }
  }
  sort_and_merge();
}

Reduction::Reduction(const at::Tensor& input, int64_t dim,
                     std::initializer_list<at::Tensor> outputs_) {
  point_at(input, outputs_);
  for (int64_t d = 0; d < input.dim(); ++d) {
    const int64_t size = input.size(d), stride = input.stride(d) * input.element_size();
    if (size == 1) continue;
    if (d == dim) {
      reduced.push_back({size, stride});
      continue;
    }
    Kept one{size, stride, {}};
    size_t k = 0;
    for (const at::Tensor& tensor : outputs_) {
      const int64_t at = tensor.dim() == input.dim() || d < dim ? d : d - 1;
      one.out[k++] = tensor.stride(at) * tensor.element_size();
    }
    kept.push_back(one);
  }
  sort_and_merge();
}

Reduction::Reduction(const at::Tensor& input, std::initializer_list<at::Tensor> outputs_) {
  point_at(input, outputs_);
  for (int64_t d = 0; d < input.dim(); ++d) {
    if (input.size(d) != 1) {
      reduced.push_back({input.size(d), input.stride(d) * input.element_size()});
    }
  }
  sort_and_merge();
}

Reduction::Reduction(c10::ArrayRef<Kept> kept_dims, c10::ArrayRef<Reduced> reduced_dims) {
  for (const Kept& dim : kept_dims) {
    if (dim.size != 1) kept.push_back(dim);
  }
  for (const Reduced& dim : reduced_dims) {
    if (dim.size != 1) reduced.push_back(dim);
  }
  sort_and_merge();
}

void Reduction::point_at(const at::Tensor& input, std::initializer_list<at::Tensor> outputs_) {
  in = static_cast<const char*>(input.const_data_ptr());
  in_dtype = input.scalar_type();
  size_t k = 0;
  for (const at::Tensor& tensor : outputs_) {
    out[k] = static_cast<char*>(tensor.mutable_data_ptr());
    out_dtype[k++] = tensor.scalar_type();
  }
}

// Nearest first, and neighbours that are one run made one.
void Reduction::sort_and_merge() {
  auto nearer = [](const auto& a, const auto& b) { return distance(a.in) < distance(b.in); };
  std::stable_sort(kept.begin(), kept.end(), nearer);
  std::stable_sort(reduced.begin(), reduced.end(), nearer);
  auto merge = [](auto& dims, auto&& follows) {
    size_t last = 0;
    for (size_t d = 1; d < dims.size(); ++d) {
      if (follows(dims[last], dims[d])) {
        dims[last].size *= dims[d].size;
      } else {
        dims[++last] = dims[d];
      }
    }
    if (!dims.empty()) dims.resize(last + 1);
  };
  merge(reduced, [](const Reduced& a, const Reduced& b) { return b.in == a.in * a.size; });
  merge(kept, [](const Kept& a, const Kept& b) {
    return b.in == a.in * a.size && b.out[0] == a.out[0] * a.size && b.out[1] == a.out[1] * a.size;
  });
  count = outputs = 1;
  for (const Reduced& dim : reduced) count *= dim.size;
  for (const Kept& dim : kept) outputs *= dim.size;
}

}  // namespace alt
