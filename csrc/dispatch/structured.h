// The three faces of a structured operator, for the device alt.
//
// A structured operator is a class: `meta` computes the outputs' sizes, strides and dtypes and asks
// for them through set_output_*; `impl` (or a kernel of ours) fills them. What differs between
// `sin`, `sin_` and `sin.out` is only where an output comes from, and that is all that is here.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <array>
#include <functional>
#include <optional>

#include "generated/torch_compat.h"

namespace alt::structured {

/// A new tensor for a functional operator's output.
at::Tensor create_out(at::IntArrayRef sizes, at::IntArrayRef strides,
                      const at::TensorOptions& options);

/// Checks and resizes the tensor given as out=.
void resize_out(const at::Tensor& out, at::IntArrayRef sizes, at::IntArrayRef strides,
                const at::TensorOptions& options);

/// Checks that an in-place operator may write its result into `self`.
void check_inplace(const at::Tensor& self, at::IntArrayRef sizes, const at::TensorOptions& options);

/// A tensor to compute into where `out` has other strides than the kernel needs.
std::optional<at::Tensor> maybe_create_proxy(const at::Tensor& out, at::IntArrayRef sizes,
                                             at::IntArrayRef strides,
                                             const at::TensorOptions& options);

enum class Variant { kFunctional, kInplace, kOut };

/// Where the outputs live: made here (functional) or the caller's (in-place and out).
template <Variant variant, size_t count>
class Outputs {
 public:
  Outputs() = default;
  explicit Outputs(std::array<std::reference_wrapper<at::Tensor>, count> given) {
    for (size_t i = 0; i < count; ++i) outputs_[i] = given[i].get();
  }

  void set(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
           const at::TensorOptions& options, bool exact_strides) {
    guard_.reset_device(options.device());
    if constexpr (variant == Variant::kFunctional) {
      outputs_[index] = create_out(sizes, strides, options);
    } else {
      if constexpr (variant == Variant::kInplace) {
        check_inplace(outputs_[index], sizes, options);
      } else {
        resize_out(outputs_[index], sizes, strides, options);
      }
      if (exact_strides) {
        proxies_[index] = maybe_create_proxy(outputs_[index], sizes, strides, options);
      }
    }
  }

  const at::Tensor& get(int64_t index) const {
    return proxies_[index].has_value() ? *proxies_[index] : outputs_[index];
  }

  /// After the kernel: what was computed aside goes to where it was asked for.
  void copy_proxies() {
    for (size_t i = 0; i < count; ++i) {
      if (proxies_[i].has_value()) outputs_[i].copy_(*proxies_[i]);
    }
  }

  at::Tensor take(size_t index) { return std::move(outputs_[index]); }

 private:
  std::array<at::Tensor, count> outputs_;
  std::array<std::optional<at::Tensor>, count> proxies_;
  c10::OptionalDeviceGuard guard_;
};

/// `Op` (at::meta::structured_x or at::native::structured_x_out) with its outputs.
template <class Op, Variant variant, size_t count>
class Operator final : public Op {
 public:
  Operator() = default;
  explicit Operator(std::array<std::reference_wrapper<at::Tensor>, count> given) : outputs(given) {}

  void set_output_strided(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
                          at::TensorOptions options ALT_NAMES_PARAMETER) override {
    outputs.set(index, sizes, strides, options, /*exact_strides=*/true);
    tell_iterator(index, sizes, strides, options ALT_NAMES_ARGUMENT);
  }

  void set_output_raw_strided(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
                              at::TensorOptions options ALT_NAMES_PARAMETER) override {
    outputs.set(index, sizes, strides, options, /*exact_strides=*/false);
    tell_iterator(index, sizes, strides, options ALT_NAMES_ARGUMENT);
  }

  const at::Tensor& maybe_get_output(int64_t index) override { return outputs.get(index); }

  Outputs<variant, count> outputs;

 private:
  // TensorIterator keeps its own operand list, which it fills by asking maybe_get_output.
  void tell_iterator(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
                     const at::TensorOptions& options ALT_NAMES_PARAMETER) {
    if constexpr (std::is_base_of_v<at::TensorIteratorBase, Op>) {
      Op::set_output_raw_strided(index, sizes, strides, options ALT_NAMES_ARGUMENT);
    }
  }
};

}  // namespace alt::structured
