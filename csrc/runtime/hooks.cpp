// What PyTorch asks of a PrivateUse1 device outside of operators.

#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/StorageImpl.h>

#include <algorithm>

#include "runtime/allocator.h"
#include "runtime/device.h"
#include "runtime/generator.h"
#include "runtime/pinned_memory.h"

namespace alt {
namespace {

// Methods without `override` are those that not every supported PyTorch declares.
struct Hooks final : at::PrivateUse1HooksInterface {
  virtual bool isBuilt() const { return true; }
  virtual bool isAvailable() const { return device_count_or_zero() > 0; }
  void init() const override {}

  bool hasPrimaryContext(c10::DeviceIndex device) const override {
    return device >= 0 && device < device_count_or_zero();
  }

  c10::DeviceIndex deviceCount() const override { return device_count_or_zero(); }
  c10::DeviceIndex getCurrentDevice() const override { return current_device(); }
  void setCurrentDevice(c10::DeviceIndex device) const override { set_device(device); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex device) const override {
    return exchange_device(device);
  }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex device) const override {
    return maybe_exchange_device(device);
  }

  const at::Generator& getDefaultGenerator(c10::DeviceIndex device) const override {
    return default_generator(device);
  }
  at::Generator getNewGenerator(c10::DeviceIndex device) const override {
    return make_generator(device);
  }

  at::Device getDeviceFromPtr(void* data) const override { return device_of(data); }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  at::Allocator* getPinnedMemoryAllocator() const override { return pinned_memory_allocator(); }

  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t size) const override {
    c10::StorageImpl* impl = storage.unsafeGetStorageImpl();
    TORCH_CHECK(impl->resizable(), "Trying to resize storage that is not resizable");
    c10::DataPtr data = allocate(size, impl->device().index());
    const size_t kept = std::min(size, impl->nbytes());
    if (kept > 0 && impl->data()) copy_memory(data.mutable_get(), impl->data(), kept);
    impl->set_data_ptr_noswap(std::move(data));
    impl->set_nbytes(size);
  }
};

[[maybe_unused]] const bool registered = [] {
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

}  // namespace
}  // namespace alt
