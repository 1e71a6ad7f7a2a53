// A copy is of bytes where the two sides lie alike, and the pointwise kernel `copy` where both are
// on one GPU. Between two devices, or a GPU and the host, it goes by way of contiguous tensors of
// one dtype: what has to be cast or laid out anew is so on a GPU, the sender's if it has one.
#include "kernels/cuda/copy.h"

#include <ATen/TensorIterator.h>
#include <ATen/ops/empty.h>

#include "dispatch/host_call.h"
#include "loops/cuda/pointwise.h"
#include "runtime/cuda/copy.h"
#include "runtime/device.h"

namespace alt::kernels::cuda {
namespace {

namespace gpu = alt::cuda;

c10::DeviceIndex place(const at::Tensor& tensor) {
  return tensor.is_cpu() ? gpu::kHostMemory : tensor.device().index();
}

void copy_on_device(const at::Tensor& dst, const at::Tensor& src) {
  const CurrentDevice current(dst.device());
  auto iter = at::TensorIteratorConfig()
                  .add_output(dst)
                  .add_const_input(src)
                  .resize_outputs(false)
                  .check_all_same_dtype(false)
                  .build();
  gpu::copy(iter);
}

/// `src`, contiguous and cast, where it is.
at::Tensor packed(const at::Tensor& src, at::ScalarType dtype) {
  if (src.is_cpu()) return src.contiguous();  // it is cast where it arrives
  if (src.is_contiguous() && src.scalar_type() == dtype) return src;
  at::Tensor result = at::empty(src.sizes(), src.options().dtype(dtype));
  copy_on_device(result, src);
  return result;
}

}  // namespace

void copy_elements(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  if (dst.numel() == 0) return;
  const bool casts = dst.scalar_type() != src.scalar_type();
  if (casts && (c10::isFloat8Type(dst.scalar_type()) || c10::isFloat8Type(src.scalar_type()))) {
    HostCall host_call("aten::_copy_from");
    host_call.read(src);
    host_call.write(dst);
    host_call.run([&] { dst.copy_(src); });
    return;
  }
  if (dst.device() == src.device()) {
    copy_on_device(dst, src);
    return;
  }
  const at::Tensor sent = packed(src, dst.scalar_type());
  if (dst.is_contiguous() && dst.sizes() == sent.sizes() &&
      dst.scalar_type() == sent.scalar_type()) {
    copy_block(dst, sent, non_blocking);
    return;
  }
  const at::Tensor landed = at::empty(sent.sizes(), dst.options().dtype(sent.scalar_type()));
  copy_block(landed, sent, /*non_blocking=*/false);
  if (dst.is_cpu()) {
    dst.copy_(landed);
  } else {
    copy_on_device(dst, landed);
  }
}

void copy_block(const at::Tensor& dst, const at::Tensor& src, bool non_blocking) {
  gpu::copy_bytes(dst.mutable_data_ptr(), src.const_data_ptr(), src.nbytes(),
                  {.to = place(dst), .from = place(src), .non_blocking = non_blocking});
}

void zero_block(const at::Tensor& self) {
  gpu::fill_bytes(self.mutable_data_ptr(), 0, self.nbytes(), place(self));
}

void fill_elements(at::TensorIterator& iter, const void* element) {
  gpu::fill(iter, element);
}

void read_element(const at::Tensor& self, void* to) {
  gpu::copy_bytes(to, self.const_data_ptr(), self.element_size(), {.from = place(self)});
}

}  // namespace alt::kernels::cuda
