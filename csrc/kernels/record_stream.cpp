// Tensor.record_stream: tells the allocator that a stream uses the memory too.
#include <ATen/core/Tensor.h>

#include "runtime/allocator.h"

namespace alt::kernels {

void record_stream(at::Tensor& self, at::Stream stream) {
  device_allocator().recordStream(self.storage().data_ptr(), stream);
}

}  // namespace alt::kernels
