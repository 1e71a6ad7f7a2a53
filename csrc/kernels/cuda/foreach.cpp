// altbackend/cuda/kernels/foreach.cuh.
#include "kernels/cuda/foreach.h"

#include <bit>

#include "kernels/cuda/tensor_lists.h"

namespace alt::kernels::cuda {

void foreach_map(int number, at::TensorList to, const std::vector<at::TensorList>& lists,
                 const std::vector<double>& factors) {
  constexpr size_t kResult = 3, kFactor = 4;
  TensorLists tensors;
  for (size_t i = 0; i < to.size(); ++i) {
    TensorLists::Words words{};
    for (size_t k = 0; k < lists.size(); ++k) words[k] = address_of(lists[k][i]);
    words[kResult] = address_of(to[i]);
    words[kFactor] = std::bit_cast<int64_t>(factors[i]);
    words[TensorLists::kSize] = to[i].numel();
    tensors.add(to[i].scalar_type(), words);
  }
  KernelArgs arguments{};
  arguments.integers[0] = number;
  arguments.integers[1] = static_cast<int64_t>(lists.size());
  tensors.launch("foreach_map", arguments, to[0].device());
}

}  // namespace alt::kernels::cuda
