#include "kernels/cuda/tensor_lists.h"

#include "kernels/cuda/launches.h"
#include "kernels/cuda/table.h"

namespace alt::kernels::cuda {

void TensorLists::launch(const char* kernel_name, const KernelArgs& arguments,
                         c10::Device device) const {
  constexpr int64_t kChunk = 4096;  // of optim.cuh
  for (const auto& [dtype, members] : lists_) {
    std::vector<int64_t> words, blocks;
    for (size_t i = 0; i < members.size(); ++i) {
      words.insert(words.end(), members[i].begin(), members[i].end());
      for (int64_t start = 0; start < members[i][kSize]; start += kChunk) {
        blocks.insert(blocks.end(), {static_cast<int64_t>(i), start});
      }
    }
    if (blocks.empty()) continue;
    const auto count = static_cast<unsigned>(blocks.size() / 2);
    const at::Tensor list = table(std::move(words), device);
    const at::Tensor places = table(std::move(blocks), device);
    KernelArgs a = arguments;
    a.tensors[0] = tensor_args(list);
    a.tensors[1] = tensor_args(places);
    alt::cuda::launch(kernel(kernel_name, {dtype}), {count}, {static_cast<unsigned>(kThreads)}, a);
  }
}

}  // namespace alt::kernels::cuda
