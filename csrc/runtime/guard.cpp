// How PyTorch's device-generic code (DeviceGuard, torch.Stream, torch.Event, the autograd engine)
// reaches this device.

#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "runtime/device.h"
#include "runtime/event.h"
#include "runtime/stream.h"

namespace alt {
namespace {

constexpr c10::DeviceType kDeviceType = c10::DeviceType::PrivateUse1;

void check_type(c10::Device device) {
  TORCH_CHECK(device.type() == kDeviceType, "expected a device of type ",
              c10::DeviceTypeName(kDeviceType, true), ", got ", device);
}

// Methods without `override` are those that not every supported PyTorch declares.
struct GuardImpl final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kDeviceType; }

  // ---- devices ----

  c10::DeviceIndex deviceCount() const noexcept override { return device_count_or_zero(); }

  c10::Device getDevice() const override { return {kDeviceType, current_device()}; }

  void setDevice(c10::Device device) const override {
    check_type(device);
    maybe_exchange_device(device.index());
  }

  void uncheckedSetDevice(c10::Device device) const noexcept override {
    set_device_unchecked(device.index());
  }

  c10::Device exchangeDevice(c10::Device device) const override {
    check_type(device);
    return {kDeviceType, maybe_exchange_device(device.index())};
  }

  // Every operator returns when its work is done.
  void synchronizeDevice(const c10::DeviceIndex device) const override { resolve_device(device); }

#if __has_include(<c10/core/DeviceCapability.h>)
  virtual c10::DeviceCapability getDeviceCapability(c10::Device device) const {
    resolve_device(device.index());
    return {};  // Every dtype.
  }
#endif

  // ---- streams ----

  c10::Stream getStream(c10::Device device) const override {
    return current_stream(device.index());
  }

  c10::Stream getDefaultStream(c10::Device device) const override {
    return default_stream(device.index());
  }

  c10::Stream getNewStream(c10::Device device, int /*priority*/) const override {
    return new_stream(device.index());
  }

  c10::Stream getStreamFromGlobalPool(c10::Device device, bool /*high_priority*/) const override {
    return new_stream(device.index());
  }

  c10::Stream exchangeStream(c10::Stream stream) const override { return exchange_stream(stream); }

  bool queryStream(const c10::Stream& stream) const override {
    check_device(stream.device_index());
    return true;
  }

  void synchronizeStream(const c10::Stream& stream) const override {
    check_device(stream.device_index());
  }

  virtual bool isStreamCapturing(const c10::Stream&) const { return false; }

  // There is nothing behind a stream but its identity; the default stream's is null, as CUDA's.
  virtual void* getStreamNativeHandle(const c10::Stream stream) const {
    return reinterpret_cast<void*>(static_cast<intptr_t>(stream.id()));
  }

  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}

  // ---- events ----

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex /*device*/,
              const c10::EventFlag flag) const override {
    check_device(stream.device_index());
    if (!*event) *event = new Event(/*timed=*/flag == c10::EventFlag::BACKEND_DEFAULT);
    as_event(*event).record(stream.device_index());
  }

  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }

  void block(void* /*event*/, const c10::Stream& stream) const override {
    check_device(stream.device_index());
  }

  bool queryEvent(void* /*event*/) const override { return true; }

  void synchronizeEvent(void* /*event*/) const override {}

  double elapsedTime(void* begin, void* end, const c10::DeviceIndex) const override {
    TORCH_CHECK_VALUE(begin && end,
                      "Both events must be recorded before calculating elapsed time.");
    return as_event(begin).elapsed_time(as_event(end));
  }

 private:
  static Event& as_event(void* event) { return *static_cast<Event*>(event); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, GuardImpl);

}  // namespace
}  // namespace alt
