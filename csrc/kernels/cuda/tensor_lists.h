// Lists of tensors for kernels that take a whole model at once (altbackend/cuda/kernels/optim.cuh,
// foreach.cuh): one launch for the tensors of each dtype.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <map>
#include <vector>

#include "loops/arguments.h"

namespace alt::kernels::cuda {

inline int64_t address_of(const at::TensorBase& tensor) {
  return static_cast<int64_t>(reinterpret_cast<intptr_t>(tensor.const_data_ptr()));
}

class TensorLists {
 public:
  static constexpr size_t kSize = 6;  // the word that is the number of elements
  using Words = std::array<int64_t, 8>;

  void add(at::ScalarType dtype, const Words& words) { lists_[dtype].push_back(words); }

  /// tensors[0] and [1] of `arguments` become the tables.
  void launch(const char* kernel_name, const KernelArgs& arguments, c10::Device device) const;

 private:
  std::map<at::ScalarType, std::vector<Words>> lists_;
};

}  // namespace alt::kernels::cuda
