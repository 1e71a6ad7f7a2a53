#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/MT19937RNGEngine.h>
#include <c10/core/GeneratorImpl.h>

#include <optional>

namespace alt {

// Stock CPU torch's generator on this device: the same engine, the same cached normal samples and
// the same state bytes, so that a seed gives the same numbers here as there, and a state saved on
// one can be set on the other. Hold `mutex_` while drawing.
class HostGenerator final : public c10::GeneratorImpl {
 public:
  explicit HostGenerator(c10::DeviceIndex device, uint64_t seed = c10::default_rng_seed_val);

  static c10::DeviceType device_type() { return c10::DeviceType::PrivateUse1; }

  uint32_t random() { return engine_(); }

  uint64_t random64() {
    const uint64_t high = engine_();
    return high << 32 | engine_();
  }

  // The second of a pair of normal samples, kept for the next call.
  std::optional<float> next_float_normal_sample() const { return next_float_normal_sample_; }
  std::optional<double> next_double_normal_sample() const { return next_double_normal_sample_; }
  void set_next_float_normal_sample(std::optional<float> x) { next_float_normal_sample_ = x; }
  void set_next_double_normal_sample(std::optional<double> x) { next_double_normal_sample_ = x; }

  at::mt19937& engine() { return engine_; }
  void set_engine(const at::mt19937& engine) { engine_ = engine; }

  void set_current_seed(uint64_t seed) override;
  uint64_t current_seed() const override { return engine_.seed(); }
  uint64_t seed() override;
  // This engine has no offset but 0. Raising for it, as stock CPU's does, would keep generators
  // from being pickled and copied: PyTorch asks every device but the CPU.
  void set_offset(uint64_t offset) override;
  uint64_t get_offset() const override { return 0; }
  // A byte tensor on the CPU.
  void set_state(const c10::TensorImpl& state) override;
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override;

 private:
  HostGenerator* clone_impl() const override;

  at::mt19937 engine_;
  std::optional<float> next_float_normal_sample_;
  std::optional<double> next_double_normal_sample_;
};

// Of a device, or of the current one where the index is negative. Seeded from the system.
const at::Generator& default_generator(c10::DeviceIndex device = -1);

// A new one, with PyTorch's default seed.
at::Generator make_generator(c10::DeviceIndex device = -1);

// What an operator draws from: `generator`, or the default of the current device. Raises for a
// generator of another device type.
HostGenerator* get_generator(const std::optional<at::Generator>& generator);

}  // namespace alt
