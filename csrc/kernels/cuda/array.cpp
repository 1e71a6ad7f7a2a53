#include "kernels/cuda/array.h"

#include "loops/dtype.h"

namespace alt::kernels::cuda {

PythonCalls& python_calls() {
  static PythonCalls calls;
  return calls;
}

namespace {

/// The dtype that arrays have for it: CuPy and NumPy know neither bfloat16 nor complex halves.
at::ScalarType array_dtype(at::ScalarType dtype) {
  const bool unknown = dtype == at::kBFloat16 || dtype == at::kComplexHalf;
  return unknown ? opmath_dtype(dtype) : dtype;
}

at::Tensor readable(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.resolve_conj().resolve_neg();
  return plain.to(array_dtype(plain.scalar_type()));
}

std::vector<at::Tensor> all_readable(at::TensorList tensors) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back(readable(tensor));
  return result;
}

}  // namespace

void call_array(const char* function, at::TensorList inputs, at::TensorList outputs,
                const Keywords& keywords) {
  std::vector<at::Tensor> written;
  for (const at::Tensor& output : outputs) {
    const at::ScalarType dtype = array_dtype(output.scalar_type());
    const bool itself = dtype == output.scalar_type() && !output.is_conj() && !output.is_neg();
    written.push_back(itself ? output : at::empty(output.sizes(), output.options().dtype(dtype)));
  }
  python_calls().array(function, all_readable(inputs), written, keywords);
  for (size_t i = 0; i < written.size(); ++i) {
    if (!written[i].is_same(outputs[i])) outputs[i].copy_(written[i]);
  }
}

std::vector<at::Tensor> new_from_array(const char* function, at::TensorList inputs,
                                       const Keywords& keywords) {
  return python_calls().array(function, all_readable(inputs), {}, keywords);
}

}  // namespace alt::kernels::cuda
