// The classes that losses of class indices are told: checked, before anything is written.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "kernels/operands.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {

inline constexpr int64_t kTargetsPerTask = 4096;

inline void check_target_type(const at::Tensor& target) {
  TORCH_CHECK(target.scalar_type() == at::kLong || target.scalar_type() == at::kByte,
              "expected target dtype to be Long or Byte, but got ", target.scalar_type());
}

// Targets as both engines read them.
inline at::Tensor plain_targets(const at::Tensor& target) {
  return target.to(at::kLong).contiguous();
}

// Targets as int64, in order, each either `ignored` or a class.
class Targets {
 public:
  Targets(const at::Tensor& target, int64_t classes, int64_t ignore_index)
      : ignored_(ignore_index) {
    held_ = plain_targets(target);
    data_ = held_.const_data_ptr<int64_t>();
    const auto bad = [&](int64_t i) {
      return data_[i] != ignored_ &&
             static_cast<uint64_t>(data_[i]) >= static_cast<uint64_t>(classes);
    };
    std::atomic<bool> any_bad{false};
    parallel_for(0, size(), 4 * kTargetsPerTask, [&](int64_t begin, int64_t end) {
      bool found = false;
      for (int64_t i = begin; i < end; ++i) found |= bad(i);
      if (found) any_bad = true;
    });
    for (int64_t i = 0; any_bad && i < size(); ++i) {
      TORCH_CHECK_INDEX(!bad(i), "Target ", data_[i], " is out of bounds.");
    }
  }
  int64_t operator[](int64_t i) const { return data_[i]; }
  bool ignored(int64_t i) const { return data_[i] == ignored_; }
  int64_t size() const { return held_.numel(); }

 private:
  at::Tensor held_;
  const int64_t* data_;
  int64_t ignored_;
};

inline at::Tensor checked_weight(const std::optional<at::Tensor>& weight, const at::Tensor& input) {
  if (!weight.has_value() || !weight->defined()) return {};
  check_dtype(*weight, input.scalar_type());
  return weight->contiguous();
}

}  // namespace alt::kernels
