#include "kernels/cuda/table.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <mutex>

#include "runtime/cuda/stream.h"

namespace alt::kernels::cuda {
namespace {

/// Of a stream: another one might read a table before it is there.
struct Kept {
  std::vector<int64_t> numbers;
  alt::cuda::CUstream stream;
  at::Tensor tensor;
};

constexpr size_t kMost = 64;

}  // namespace

at::Tensor table(std::vector<int64_t> numbers, c10::Device device) {
  static std::mutex& mutex = *new std::mutex;
  static auto& kept = *new std::vector<Kept>;  // leaked: the device may be gone at the end
  const alt::cuda::CUstream stream = alt::cuda::current(device.index());
  {
    const std::lock_guard lock(mutex);
    for (const Kept& one : kept) {
      if (one.stream == stream && one.tensor.device() == device && one.numbers == numbers) {
        return one.tensor;
      }
    }
  }
  const auto size = static_cast<int64_t>(numbers.size());
  const at::Tensor tensor = at::empty({size}, at::TensorOptions(device).dtype(at::kLong));
  tensor.copy_(at::from_blob(numbers.data(), {size}, at::kLong));
  const std::lock_guard lock(mutex);
  if (kept.size() == kMost) kept.erase(kept.begin());
  kept.push_back({std::move(numbers), stream, tensor});
  return tensor;
}

}  // namespace alt::kernels::cuda
