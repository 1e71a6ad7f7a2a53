// The pointwise loop on a GPU, over the operands of a TensorIterator at any strides.
#pragma once

#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>
#include <c10/util/ArrayRef.h>

namespace at {
struct TensorIteratorBase;
}

namespace alt::cuda {

/// The pointwise row `row` of ops.yaml (its stub or kernel). It computes in `compute`, which is the
/// common dtype where none is given; an input may be one number on the CPU.
void pointwise(at::TensorIteratorBase& iter, const char* row, c10::ArrayRef<c10::Scalar> scalars,
               at::ScalarType compute = at::ScalarType::Undefined);

/// The input to the output, cast.
void copy(at::TensorIteratorBase& iter);

/// One element, in host memory and of the output's dtype, to all of the output's.
void fill(at::TensorIteratorBase& iter, const void* element);

}  // namespace alt::cuda
