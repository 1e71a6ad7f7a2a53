#include "runtime/generator.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>

#include <vector>

#include "runtime/device.h"

namespace alt {

HostGenerator::HostGenerator(c10::DeviceIndex device, uint64_t seed)
    : c10::GeneratorImpl(c10::Device(device_type(), device),
                         c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)),
      engine_(seed) {}

void HostGenerator::set_current_seed(uint64_t seed) {
  next_float_normal_sample_.reset();
  next_double_normal_sample_.reset();
  engine_ = at::mt19937(seed);
}

uint64_t HostGenerator::seed() {
  const uint64_t seed = c10::detail::getNonDeterministicRandom();
  set_current_seed(seed);
  return seed;
}

void HostGenerator::set_offset(uint64_t offset) {
  TORCH_CHECK(offset == 0, c10::DeviceTypeName(device_type(), true),
              " Generator does not use offset");
}

// The layout of the state is stock's to define: a CPU generator reads and writes it.

void HostGenerator::set_state(const c10::TensorImpl& state) {
  at::CPUGeneratorImpl stock;
  stock.set_state(state);
  engine_ = stock.engine();
  next_float_normal_sample_ = stock.next_float_normal_sample();
  next_double_normal_sample_ = stock.next_double_normal_sample();
}

c10::intrusive_ptr<c10::TensorImpl> HostGenerator::get_state() const {
  at::CPUGeneratorImpl stock;
  stock.set_engine(engine_);
  stock.set_next_float_normal_sample(next_float_normal_sample_);
  stock.set_next_double_normal_sample(next_double_normal_sample_);
  return stock.get_state();
}

HostGenerator* HostGenerator::clone_impl() const {
  auto* copy = new HostGenerator(device_.index());
  copy->engine_ = engine_;
  copy->next_float_normal_sample_ = next_float_normal_sample_;
  copy->next_double_normal_sample_ = next_double_normal_sample_;
  return copy;
}

const at::Generator& default_generator(c10::DeviceIndex device) {
  // Leaked: a generator may still be drawn from while the process ends.
  static const auto& generators = *[] {
    auto* all = new std::vector<at::Generator>;
    for (c10::DeviceIndex i = 0; i < device_count(); ++i) {
      all->push_back(
          at::make_generator<HostGenerator>(i, c10::detail::getNonDeterministicRandom()));
    }
    return all;
  }();
  return generators[static_cast<size_t>(resolve_device(device))];
}

at::Generator make_generator(c10::DeviceIndex device) {
  return at::make_generator<HostGenerator>(resolve_device(device));
}

HostGenerator* get_generator(const std::optional<at::Generator>& generator) {
  return at::get_generator_or_default<HostGenerator>(generator, default_generator());
}

}  // namespace alt
