// Optimizers' rules over all parameters: one pass over memory, one parallel region.
#pragma once

#include <array>
#include <vector>

#include "kernels/multi_tensor.h"

namespace alt::kernels {

/// Runs `rules[i]` over the slots of parameter i: param, grad, then the optimizer's state.
template <size_t N, class Rule>
void run_rules(const std::vector<Aligned>& parameters, const std::vector<Rule>& rules,
               bool grad_written) {
  std::vector<int64_t> sizes;
  std::vector<std::array<Slot, N>> slots(parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    sizes.push_back(parameters[i].numel());
    for (size_t k = 0; k < N; ++k) {
      slots[i][k] = k == 1 && !grad_written ? read(parameters[i][k]) : write(parameters[i][k]);
    }
    TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(parameters[i][0].scalar_type()), '"',
                                Rule::kName, "\" not implemented for '",
                                parameters[i][0].scalar_type(), "'");
  }
  for_each_run(sizes, kStepGrain, [&](size_t i, int64_t begin, int64_t end) {
    auto run = [&]<class T>() {
      as_type<T>(slots[i], begin, end, [&](const std::array<T*, N>& at, int64_t n) {
        for_lanes<T>(n, [&](int64_t offset, auto lanes) {
          std::array<T*, N> here = at;
          for (T*& pointer : here) pointer += offset;
          rules[i].step(here, lanes);
        });
      });
    };
    if (slots[i][0].dtype == at::kDouble) {
      run.template operator()<double>();
    } else {
      run.template operator()<float>();
    }
  });
  for (const Aligned& parameter : parameters) {
    for (size_t k = 0; k < N; ++k) {
      if (k != 1 || grad_written) parameter.write_back(k);
    }
  }
}

}  // namespace alt::kernels
