#include "dispatch/fallback.h"

#include <ATen/Context.h>
#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/op_registration/adaption.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CPUAllocator.h>
#include <torch/library.h>

#include <optional>
#include <utility>
#include <vector>

#include "dispatch/counters.h"
#include "dispatch/host_call.h"

namespace alt {
namespace {

bool is_alt(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().is_privateuseone();
}

/// A CPU tensor on the memory of an alt tensor. Its storage may be resized by the kernel: it then
/// gets memory of its own, which `give_back` notices.
at::Tensor lend(const at::Tensor& tensor) {
  const c10::Storage& storage = tensor.storage();
  c10::Storage lent(c10::Storage::use_byte_size_t(), storage.nbytes(),
                    at::DataPtr(storage.mutable_data(), at::kCPU), c10::GetCPUAllocator(),
                    /*resizable=*/true);
  at::Tensor cpu = at::detail::make_tensor<c10::TensorImpl>(
      std::move(lent), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  cpu.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(),
                                                   tensor.storage_offset());
  return cpu;
}

/// The memory of a CPU storage as memory of `device`, which keeps that storage alive.
at::DataPtr adopt_memory(const c10::Storage& storage, c10::Device device) {
  auto* owner = new c10::Storage(storage);
  return {storage.mutable_data(), owner,
          [](void* context) { delete static_cast<c10::Storage*>(context); }, device};
}

/// An alt tensor that uses a CPU tensor's memory.
at::Tensor adopt(const at::Tensor& cpu, c10::Device device) {
  c10::Storage adopted(c10::Storage::use_byte_size_t(), cpu.storage().nbytes(),
                       adopt_memory(cpu.storage(), device), c10::GetAllocator(at::kPrivateUse1),
                       /*resizable=*/true);
  at::Tensor alt = at::detail::make_tensor<c10::TensorImpl>(
      std::move(adopted), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), cpu.dtype());
  alt.unsafeGetTensorImpl()->set_sizes_and_strides(cpu.sizes(), cpu.strides(),
                                                   cpu.storage_offset());
  return alt;
}

/// One call: which alt tensors were lent as which CPU tensors, and on which device they live.
class Loan {
 public:
  at::Tensor take(const at::Tensor& tensor) {
    for (const auto& [original, lent] : pairs_) {
      if (original.is_same(tensor)) return lent;
    }
    if (!device_.has_value()) device_ = tensor.device();
    bytes_ += static_cast<int64_t>(tensor.nbytes());
    pairs_.emplace_back(tensor, lend(tensor));
    return pairs_.back().second;
  }

  void take_from(c10::IValue& value) {
    if (value.isTensor()) {
      if (is_alt(value.toTensor())) value = take(value.toTensor());
    } else if (value.isTensorList()) {
      auto list = value.toTensorList().copy();
      for (size_t i = 0; i < list.size(); ++i) {
        const at::Tensor tensor = list[i];
        if (is_alt(tensor)) list[i] = take(tensor);
      }
      value = std::move(list);
    } else if (value.isOptionalTensorList()) {
      auto list = value.toOptionalTensorList().copy();
      for (size_t i = 0; i < list.size(); ++i) {
        const std::optional<at::Tensor> tensor = list[i];
        if (tensor.has_value() && is_alt(*tensor)) {
          list[i] = std::optional<at::Tensor>(take(*tensor));
        }
      }
      value = std::move(list);
    } else if (value.isDevice()) {
      if (value.toDevice().is_privateuseone()) {
        if (!device_.has_value()) device_ = value.toDevice();
        value = c10::Device(at::kCPU);
      }
    } else if (value.isGenerator() && value.toGenerator().defined()) {
      const at::Generator generator = value.toGenerator();
      if (generator.device().is_privateuseone()) value = cpu_twin(generator);
    }
  }

  /// Results: what was lent comes back as the tensor it was lent from, what is new is adopted.
  void give_back_to(c10::IValue& value) {
    if (value.isTensor()) {
      if (value.toTensor().defined()) value = give_back(value.toTensor());
    } else if (value.isTensorList()) {
      auto list = value.toTensorList();
      for (size_t i = 0; i < list.size(); ++i) {
        const at::Tensor tensor = list[i];
        if (tensor.defined()) list[i] = give_back(tensor);
      }
    }
  }

  /// A kernel may have resized what it was lent (out=) or drawn from a generator.
  void settle() {
    for (const auto& [original, lent] : pairs_) {
      if (lent.storage().data() != original.storage().data()) {
        c10::StorageImpl* storage = original.storage().unsafeGetStorageImpl();
        storage->set_data_ptr_noswap(adopt_memory(lent.storage(), original.device()));
        storage->set_nbytes(lent.storage().nbytes());
      }
      if (lent.sizes() != original.sizes() || lent.strides() != original.strides()) {
        original.unsafeGetTensorImpl()->set_sizes_and_strides(lent.sizes(), lent.strides(),
                                                              lent.storage_offset());
      }
    }
    for (auto& [generator, twin] : generators_) generator.set_state(twin.get_state());
  }

  int64_t bytes() const { return bytes_; }

 private:
  at::Tensor give_back(const at::Tensor& cpu) {
    for (const auto& [original, lent] : pairs_) {
      if (lent.is_same(cpu)) return original;
    }
    if (!device_.has_value() || !cpu.device().is_cpu() || cpu.layout() != at::kStrided) return cpu;
    return adopt(cpu, *device_);
  }

  at::Generator cpu_twin(const at::Generator& generator) {
    at::Generator twin = at::globalContext().defaultGenerator(at::kCPU).clone();
    twin.set_state(generator.get_state());
    generators_.emplace_back(generator, twin);
    return twin;
  }

  std::vector<std::pair<at::Tensor, at::Tensor>> pairs_;
  std::vector<std::pair<at::Generator, at::Generator>> generators_;
  std::optional<c10::Device> device_;
  int64_t bytes_ = 0;
};

/// Whether an output of the schema is a view of an input.
bool returns_view(const c10::FunctionSchema& schema) {
  for (const auto& result : schema.returns()) {
    if (result.alias_info() != nullptr && !result.alias_info()->isWrite()) return true;
  }
  return false;
}

/// Calls `visit` on each tensor of an argument.
template <class Visit>
void for_each_tensor(const c10::IValue& value, Visit visit) {
  if (value.isTensor()) {
    visit(value.toTensor());
  } else if (value.isTensorList()) {
    for (const at::Tensor& tensor : value.toTensorVector()) visit(tensor);
  } else if (value.isOptionalTensorList()) {
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      if (tensor.has_value()) visit(*tensor);
    }
  }
}

/// Operands on two devices are an error and never a silent copy, as on CUDA. A CPU tensor without
/// dimensions counts as a number, and indices may be on the CPU.
void check_devices(const c10::OperatorHandle& op, const torch::jit::Stack& stack, size_t first) {
  const std::string& name = op.operator_name().name;
  if (name == "aten::index" || name.find("index_put") != std::string::npos) return;
  std::optional<c10::Device> common;
  const auto& arguments = op.schema().arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    for_each_tensor(stack[first + i], [&](const at::Tensor& tensor) {
      if (!tensor.defined() || (tensor.device().is_cpu() && tensor.dim() == 0)) return;
      c10::impl::check_and_update_common_device(common, tensor, name.c_str(),
                                                arguments[i].name().c_str());
    });
  }
}

/// The stock kernel on lent memory.
void run_lent(const c10::OperatorHandle& op, torch::jit::Stack* stack, size_t first, bool counted) {
  Loan loan;
  for (size_t i = first; i < stack->size(); ++i) loan.take_from((*stack)[i]);
  if (counted) {
    account_fallback(FallbackKind::kStock, c10::toString(op.operator_name()), loan.bytes());
  }

  op.callBoxed(stack);

  loan.settle();
  const size_t results = op.schema().returns().size();
  for (size_t i = stack->size() - results; i < stack->size(); ++i) loan.give_back_to((*stack)[i]);
}

/// The same where the memory is a GPU's.
void run_on_copies(const c10::OperatorHandle& op, torch::jit::Stack* stack, size_t first) {
  const auto& arguments = op.schema().arguments();
  HostCall host_call(FallbackKind::kStock, c10::toString(op.operator_name()));
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto* alias = arguments[i].alias_info();
    const bool written = alias != nullptr && alias->isWrite();
    for_each_tensor((*stack)[first + i], [&](const at::Tensor& tensor) {
      if (written) {
        host_call.write(tensor);
      } else {
        host_call.read(tensor);
      }
    });
  }
  host_call.begin();
  run_lent(op, stack, first, /*counted=*/false);
  for (size_t i = first; i < stack->size(); ++i) {
    for_each_tensor((*stack)[i], [&](const at::Tensor& tensor) {
      if (tensor.defined()) host_call.keep(tensor);
    });
  }
  host_call.finish();
}

}  // namespace

void cpu_fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  TORCH_CHECK_NOT_IMPLEMENTED(!returns_view(schema), "alt has no kernel for the view operator '",
                              c10::toString(op.operator_name()),
                              "', and a view cannot run on another device.");
  const size_t first = stack->size() - schema.arguments().size();
  check_devices(op, *stack, first);
  if (cuda::on_gpu()) {
    run_on_copies(op, stack, first);
  } else {
    run_lent(op, stack, first, /*counted=*/true);
  }
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&cpu_fallback>());
}

// Our _copy_from reads the lazy bits itself. Left to torch's conjugate fallback, which materialises
// its operands by copying them, a copy would call itself until the stack ends.
TORCH_LIBRARY_IMPL(aten, Conjugate, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, Negative, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

}  // namespace alt
