// Max unpooling in two and three dimensions: each value goes to its index in a plane of zeros. Of
// several values with one index the last one stays.

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <string>

#include "kernels/operands.h"
#include "kernels/planes.h"
#include "runtime/cuda/engine.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;

void check_unpool(const Tensor& self, const Tensor& indices, IntArrayRef output_size,
                  int64_t dimensions) {
  const std::string name = "max_unpooling" + std::to_string(dimensions) + "d";
  TORCH_CHECK(indices.scalar_type() == at::kLong,
              "elements in indices should be type int64 but got: ", indices.scalar_type());
  TORCH_CHECK(
      static_cast<int64_t>(output_size.size()) == dimensions, "There should be exactly ",
      dimensions == 2 ? "two elements (height, width)" : "three elements (depth, height, width)",
      " in output_size, but got ", output_size.size(), " elements.");
  TORCH_CHECK(self.dim() == dimensions + 1 || self.dim() == dimensions + 2, "Input to ", name,
              " should be a ", dimensions + 1, "d or ", dimensions + 2,
              "d Tensor, but got a tensor with ", self.dim(), " dimensions.");
  for (const int64_t size : output_size) {
    TORCH_CHECK(size >= 0, name,
                "(): output_size must contain non-negative spatial dimensions, but got "
                "output_size=(",
                c10::Join(", ", output_size), ")");
  }
  TORCH_CHECK(self.sizes() == indices.sizes(),
              "Expected shape of indices to be same as that of the input tensor (", self.sizes(),
              ") but got indices tensor with shape: ", indices.sizes());
  for (int64_t i = 1; i < self.dim(); ++i) {
    TORCH_CHECK(self.size(i) > 0, name,
                "_forward_out_cpu(): Expected input to have non-zero size for non-batch "
                "dimensions, but got ",
                self.sizes(), " with dimension ", i, " being empty.");
  }
}

/// unpool of operators, for a GPU, which says of a bad index where the host waits for it.
void scatter_planes(const Tensor& self, const Tensor& indices, int64_t dimensions,
                    const Tensor& out) {
  const int64_t planes = planes::count(self, dimensions);
  const Tensor zeros = at::zeros({planes, volume(planes::spatial(out, dimensions))}, out.options());
  const auto flat = [planes](const Tensor& tensor) {
    return tensor.contiguous().view({planes, -1});
  };
  out.copy_(zeros.scatter_(1, flat(indices), flat(self)).view(out.sizes()));
}

void unpool(const Tensor& self, const Tensor& indices, IntArrayRef output_size, int64_t dimensions,
            const char* name, Tensor& out) {
  at::DimVector sizes(self.sizes().begin(), self.sizes().end() - dimensions);
  sizes.append(output_size.begin(), output_size.end());
  out.resize_(sizes, dimensions == 2 && self.dim() == 4 ? self.suggest_memory_format()
                                                        : at::MemoryFormat::Contiguous);
  if (out.numel() == 0) {
    return;
  }
  if (alt::cuda::on_gpu()) {
    check_type<FloatingTypes>(self.scalar_type(), name);
    return scatter_planes(self, indices, dimensions, out);
  }
  const Tensor values = planes::source(self);
  const Tensor places = indices.contiguous();
  const planes::Target target(out);
  const int64_t input = volume(planes::spatial(self, dimensions));
  const int64_t output = volume(planes::spatial(out, dimensions));
  const int64_t* index = places.const_data_ptr<int64_t>();
  const auto invalid = std::find_if(index, index + places.numel(),
                                    [&](int64_t place) { return outside(place, output); });
  TORCH_CHECK(invalid == index + places.numel(), "Found an invalid max index: ", *invalid,
              " (output volumes are of size ", c10::Join("x", output_size), ")");
  visit<FloatingTypes>(values.scalar_type(), name, [&]<class T>() {
    const T* data = values.const_data_ptr<T>();
    T* result = target.data<T>();
    planes::for_each(planes::count(self, dimensions), input + output, [&](int64_t plane) {
      T* base = result + plane * output;
      std::fill_n(base, output, T(0));
      for (int64_t i = plane * input; i < (plane + 1) * input; ++i) {
        base[index[i]] = data[i];
      }
    });
  });
  target.finish();
}

}  // namespace

Tensor& max_unpool2d_out(const Tensor& self, const Tensor& indices, IntArrayRef output_size,
                         Tensor& out) {
  check_unpool(self, indices, output_size, 2);
  unpool(self, indices, output_size, 2, "max_unpool2d", out);
  return out;
}

Tensor max_unpool2d(const Tensor& self, const Tensor& indices, IntArrayRef output_size) {
  Tensor out = at::empty({0}, self.options());
  return max_unpool2d_out(self, indices, output_size, out);
}

Tensor& max_unpool3d_out(const Tensor& self, const Tensor& indices, IntArrayRef output_size,
                         IntArrayRef stride, IntArrayRef padding, Tensor& out) {
  check_unpool(self, indices, output_size, 3);
  TORCH_CHECK(stride.size() == 3,
              "There should be exactly three elements (depth, height, width) in stride, but got: ",
              stride.size(), " elements.");
  TORCH_CHECK(padding.size() == 3,
              "There should be exactly three elements (depth, height, width) in padding, but got: ",
              padding.size(), " elements.");
  TORCH_CHECK(stride[0] > 0 && stride[1] > 0 && stride[2] > 0,
              "strides should be greater than zero, but got stride: ", stride);
  unpool(self, indices, output_size, 3, "max_unpool3d", out);
  return out;
}

Tensor max_unpool3d(const Tensor& self, const Tensor& indices, IntArrayRef output_size,
                    IntArrayRef stride, IntArrayRef padding) {
  Tensor out = at::empty({0}, self.options());
  return max_unpool3d_out(self, indices, output_size, stride, padding, out);
}

}  // namespace alt::kernels
