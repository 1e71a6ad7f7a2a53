// What operators do alike with operands and results.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/empty.h>

#include "loops/dtype.h"

namespace alt::kernels {

inline void check_dtype(const at::Tensor& tensor, at::ScalarType expected) {
  TORCH_CHECK(tensor.scalar_type() == expected, "expected scalar type ", expected, " but found ",
              tensor.scalar_type());
}

/// Raises where visit<List> would.
template <class List>
void check_type(at::ScalarType dtype, const char* name) {
  visit<List>(dtype, name, []<class T>() {});
}

/// Calls body(memory) with memory in `format` that the body fills: `out` itself where it lies so,
/// else memory that is copied to it afterwards.
template <class Body>
void write_dense(const at::Tensor& out, Body&& body,
                 at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  if (out.is_contiguous(format)) {
    body(out);
    return;
  }
  const at::Tensor memory = at::empty(out.sizes(), out.options(), format);
  body(memory);
  out.copy_(memory);
}

/// An out= tensor takes a result's sizes, with a warning where it had others, and its values.
inline void copy_to_output(const at::Tensor& result, const at::Tensor& out) {
  at::native::resize_output(out, result.sizes());
  out.copy_(result);
}

/// The same without a warning.
inline at::Tensor& into(at::Tensor& out, const at::Tensor& result) {
  out.resize_(result.sizes());
  out.copy_(result);
  return out;
}

}  // namespace alt::kernels
