// altbackend/cuda/kernels/resample.cuh.
#include "kernels/cuda/resample.h"

#include <bit>

#include "kernels/cuda/launches.h"
#include "kernels/cuda/table.h"
#include "loops/element_size.h"

namespace alt::kernels::cuda {
namespace {

using at::Tensor;

void launch_resample(const char* name, at::ScalarType dtype, const Resamplings& dimensions,
                     int64_t planes, const Extent& in, int64_t inner, const Tensor& input,
                     const Tensor& out) {
  KernelArgs a{};
  int64_t* integer = a.integers;
  *integer++ = planes;
  *integer++ = inner;
  integer = std::copy(in.begin(), in.end(), integer);
  for (const Resampling& d : dimensions) *integer++ = d.outputs();
  std::vector<int64_t> numbers;
  const auto append = [&](const auto& values, auto&& as_integer) {
    *integer++ = static_cast<int64_t>(numbers.size());
    for (const auto value : values) numbers.push_back(as_integer(value));
  };
  const auto itself = [](int64_t value) { return value; };
  for (const Resampling& d : dimensions) append(d.first, itself);
  for (const Resampling& d : dimensions) append(d.index, itself);
  for (const Resampling& d : dimensions) {
    append(d.weight, [](double value) { return std::bit_cast<int64_t>(value); });
  }
  const Tensor tables = table(std::move(numbers), out.device());
  a.tensors[0] = dense_args(out, {});
  a.tensors[1] = dense_args(input, {});
  a.tensors[2] = dense_args(tables, {});
  int64_t elements = planes * inner;
  for (const Resampling& d : dimensions) elements *= d.outputs();
  launch_elements(kernel(name, {dtype}), elements, a);
}

}  // namespace

Resampling Resampling::transposed(int64_t inputs) const {
  std::vector<std::vector<int64_t>> taps(static_cast<size_t>(inputs)), outputs_of(taps);
  for (int64_t o = 0; o < outputs(); ++o) {
    for (int64_t j = first[o]; j < first[o + 1]; ++j) {
      taps[index[j]].push_back(j);
      outputs_of[index[j]].push_back(o);
    }
  }
  Resampling result;
  for (size_t i = 0; i < taps.size(); ++i) {
    for (size_t k = 0; k < taps[i].size(); ++k) result.add(outputs_of[i][k], weight[taps[i][k]]);
    result.end_output();
  }
  return result;
}

void resample(const Resamplings& dimensions, int64_t planes, const Extent& in, int64_t inner,
              const Tensor& input, const Tensor& out) {
  if (out.is_complex()) inner *= 2;
  launch_resample("resample_sum", c10::toRealValueType(out.scalar_type()), dimensions, planes, in,
                  inner, input, out);
}

void resample_by_moving(const Resamplings& dimensions, int64_t planes, const Extent& in,
                        int64_t inner, const Tensor& input, const Tensor& out) {
  launch_resample("resample_move", moved_as(out.scalar_type()), dimensions, planes, in, inner,
                  input, out);
}

}  // namespace alt::kernels::cuda
