#include "dispatch/host_call.h"

#include <c10/core/Allocator.h>

#include <algorithm>

#include "runtime/allocator.h"
#include "runtime/cuda/copy.h"

namespace alt {
namespace {

c10::DeviceIndex index_of(const c10::Storage& storage) {
  return storage.device().index();
}

/// Host memory, of a device's tensor.
at::DataPtr to_host(const c10::Storage& storage) {
  const cuda::OnHost on_host;
  at::DataPtr memory = allocate(storage.nbytes(), index_of(storage));
  cuda::copy_bytes(memory.get(), storage.data(), storage.nbytes(), {.from = index_of(storage)});
  return memory;
}

/// New memory of the device with what a storage has in host memory.
at::DataPtr to_device(const c10::Storage& storage) {
  at::DataPtr memory = allocate(storage.nbytes(), index_of(storage));
  cuda::copy_bytes(memory.get(), storage.data(), storage.nbytes(), {.to = index_of(storage)});
  return memory;
}

}  // namespace

HostCall::~HostCall() {
  if (running_) restore();
}

HostCall::Moved* HostCall::find(const c10::StorageImpl* storage) {
  const auto found = std::find_if(moved_.begin(), moved_.end(), [&](const Moved& moved) {
    return moved.storage.unsafeGetStorageImpl() == storage;
  });
  return found == moved_.end() ? nullptr : &*found;
}

void HostCall::take(const at::TensorBase& tensor, bool written) {
  if (!tensor.device().is_privateuseone() || !tensor.has_storage()) return;
  const c10::Storage& storage = tensor.storage();
  if (storage.data() == nullptr && storage.nbytes() > 0) return;  // zeros without memory
  if (Moved* moved = find(storage.unsafeGetStorageImpl())) {
    moved->written |= written;
    return;
  }
  moved_.push_back({storage, written, {}, storage.nbytes()});
}

void HostCall::operands(at::TensorIteratorBase& iter) {
  for (int i = 0; i < iter.ntensors(); ++i) {
    const at::TensorBase& tensor = iter.tensor_base(i);
    if (!tensor.defined() || !tensor.device().is_privateuseone()) continue;
    take(tensor, i < iter.noutputs());
    operands_.push_back({&iter, i, iter.data_ptr(i), tensor.storage().unsafeGetStorageImpl()});
  }
}

void HostCall::begin() {
  int64_t bytes = 0;
  for (const Moved& moved : moved_) bytes += static_cast<int64_t>(moved.nbytes);
  account_fallback(kind_, name_, bytes);
  std::vector<at::DataPtr> copies;  // all of them, before the first storage changes
  copies.reserve(moved_.size());
  for (const Moved& moved : moved_) copies.push_back(to_host(moved.storage));
  for (size_t i = 0; i < moved_.size(); ++i) {
    Moved& moved = moved_[i];
    moved.host = copies[i].get();
    moved.device = moved.storage.set_data_ptr(std::move(copies[i]));
  }
  running_ = true;
  on_host_.emplace();
  follow();
}

/// The iterators' pointers, into where the storages lie now.
void HostCall::follow() const {
  for (const Operand& operand : operands_) {
    for (const Moved& moved : moved_) {
      if (moved.storage.unsafeGetStorageImpl() != operand.storage) continue;
      const auto offset =
          static_cast<const char*>(operand.data) - static_cast<const char*>(moved.device.get());
      operand.iter->unsafe_replace_operand(operand.index, static_cast<char*>(moved.host) + offset);
    }
  }
}

void HostCall::keep(const at::TensorBase& result) {
  if (!result.device().is_privateuseone() || !result.has_storage()) return;
  const c10::Storage& storage = result.storage();
  const auto* impl = storage.unsafeGetStorageImpl();
  const bool known = find(impl) != nullptr ||
                     std::any_of(results_.begin(), results_.end(), [&](const c10::Storage& s) {
                       return s.unsafeGetStorageImpl() == impl;
                     });
  if (!known) results_.push_back(storage);
}

void HostCall::finish() {
  on_host_.reset();
  for (Moved& moved : moved_) {
    // A kernel may have given a storage other memory (resize_ of an out=).
    if (moved.storage.data() != moved.host || moved.storage.nbytes() != moved.nbytes) {
      moved.device = to_device(moved.storage);
    } else if (moved.written) {
      cuda::copy_bytes(moved.device.mutable_get(), moved.host, moved.nbytes,
                       {.to = index_of(moved.storage)});
    }
    moved.storage.set_data_ptr(std::move(moved.device));
    moved.back = true;
  }
  for (c10::Storage& storage : results_) storage.set_data_ptr(to_device(storage));
  running_ = false;
  for (const Operand& operand : operands_) {
    operand.iter->unsafe_replace_operand(operand.index, operand.data);
  }
}

void HostCall::restore() noexcept {
  on_host_.reset();
  for (Moved& moved : moved_) {
    if (moved.back) continue;
    moved.storage.set_data_ptr(std::move(moved.device));
    moved.storage.set_nbytes(moved.nbytes);
  }
  for (const Operand& operand : operands_) {
    operand.iter->unsafe_replace_operand(operand.index, operand.data);
  }
}

}  // namespace alt
