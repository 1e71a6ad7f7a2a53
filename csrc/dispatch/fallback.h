// The fallback: an operator without a kernel of ours runs stock torch's CPU kernel.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

namespace alt {

/// Registered for every operator that has no row in ops.yaml. Lends the memory of alt tensors to
/// CPU tensors (nothing is copied), runs the CPU kernel, and adopts the results' memory. Refuses
/// view operators: a view must share its storage with its base, which a CPU result cannot.
void cpu_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack);

}  // namespace alt
