// The three faces of a structured operator, for the device alt.
//
// A structured operator is a class: `meta` computes the outputs' sizes, strides and dtypes and asks
// for them through set_output_*; `impl` (or a kernel of ours) fills them. What differs between
// `sin`, `sin_` and `sin.out` is only where an output comes from, and that is all that is here.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
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

/// The result's dtype where the operands are alike: theirs, or bool.
enum class Result { kSame, kBool };

/// Whether the operands are floating-point tensors of one dtype and shape, contiguous and on one
/// device; in place of the last of several may stand a number.
bool alike(at::ArrayRef<const at::Tensor*> operands);

/// Whether an operator may write into `self` while it reads `other`: nothing or all is shared.
bool apart(const at::Tensor& self, at::ArrayRef<const at::Tensor*> others);

/// A number that stands for itself in the dtype computed in.
inline bool plain(const at::Scalar& scalar) {
  return scalar.isFloatingPoint() || scalar.isIntegral(/*includeBool=*/false);
}
inline bool plain(double) {
  return true;
}

/// A new contiguous tensor like `like`.
at::Tensor create_like(const at::Tensor& like, at::ScalarType dtype);

/// Adds an operand of an iterator over operands that are alike.
void add_operand(c10::SmallVectorImpl<at::OperandInfo>& operands, const at::Tensor& tensor,
                 bool is_output, int64_t ndim);

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

  void set_new(at::Tensor output) { outputs_[0] = std::move(output); }

  at::Tensor take(size_t index) { return std::move(outputs_[index]); }

 private:
  std::array<at::Tensor, count> outputs_;
  std::array<std::optional<at::Tensor>, count> proxies_;
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

  /// Does the work of `meta` in a fraction of its time where the operands are alike, which is what
  /// a small operator meets most. False, with nothing done, where they are not.
  template <class... Inputs>
  bool meta_of_alike(Result result, const Inputs&... inputs) {
    const std::array<const at::Tensor*, sizeof...(Inputs)> all{&inputs...};
    if (!alike(all)) return false;
    const at::Tensor& first = *all[0];
    if constexpr (variant == Variant::kInplace) {
      if (!apart(first, at::ArrayRef(all).slice(1))) return false;
    } else {
      outputs.set_new(
          create_like(first, result == Result::kBool ? at::kBool : first.scalar_type()));
    }
    // Many dimensions are one here, as where TensorIterator has coalesced them.
    const int64_t ndim = std::min<int64_t>(first.dim(), 1);
    if (ndim == 1) this->shape_.push_back(first.numel());
    this->has_coalesced_dimensions_ = first.dim() > 1;
    this->view_offsets_.push_back(0);
    add_operand(this->operands_, outputs.get(0), /*is_output=*/true, ndim);
    for (const at::Tensor* input : all) add_operand(this->operands_, *input, false, ndim);
    this->num_outputs_ = 1;
    this->all_ops_same_shape_ = true;
    this->common_dtype_ = first.scalar_type();
    this->common_device_ = first.device();
    return true;
  }

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
