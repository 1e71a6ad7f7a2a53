// How PyTorch's device-generic code (DeviceGuard, torch.Stream, torch.Event, the autograd engine)
// reaches this device.

#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "runtime/allocator.h"
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

  void synchronizeDevice(const c10::DeviceIndex device) const override {
    synchronize_device(device);
  }

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

  c10::Stream getNewStream(c10::Device device, int priority) const override {
    return new_stream(device.index(), /*high_priority=*/priority < 0);
  }

  c10::Stream getStreamFromGlobalPool(c10::Device device, bool high_priority) const override {
    return new_stream(device.index(), high_priority);
  }

  c10::Stream exchangeStream(c10::Stream stream) const override { return exchange_stream(stream); }

  bool queryStream(const c10::Stream& stream) const override { return query_stream(stream); }

  void synchronizeStream(const c10::Stream& stream) const override { synchronize_stream(stream); }

  virtual bool isStreamCapturing(const c10::Stream&) const { return false; }

  // On the host there is nothing behind a stream but its identity; the default stream's is null,
  // as CUDA's.
  virtual void* getStreamNativeHandle(const c10::Stream stream) const {
    return reinterpret_cast<void*>(static_cast<intptr_t>(stream.id()));
  }

  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    device_allocator().recordStream(data, stream);
  }

  // ---- events ----

  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex /*device*/,
              const c10::EventFlag flag) const override {
    check_device(stream.device_index());
    if (!*event) *event = make_event(/*timed=*/flag == c10::EventFlag::BACKEND_DEFAULT).release();
    as_event(*event).record(stream);
  }

  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }

  void block(void* event, const c10::Stream& stream) const override {
    check_device(stream.device_index());
    if (event) as_event(event).block(stream);
  }

  bool queryEvent(void* event) const override { return !event || as_event(event).query(); }

  void synchronizeEvent(void* event) const override {
    if (event) as_event(event).synchronize();
  }

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
