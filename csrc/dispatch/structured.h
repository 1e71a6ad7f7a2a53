// The three faces of a structured operator, for the device alt.
//
// A structured operator is a class: `meta` computes the outputs' sizes, strides and dtypes and asks
// for them through set_output_*; `impl` (or a kernel of ours) fills them. What differs between
// `sin`, `sin_` and `sin.out` is only where an output comes from, and that is all that is here.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <array>
#include <initializer_list>
#include <type_traits>
#include <utility>

#include "generated/torch_compat.h"

namespace alt::structured {

enum class Variant { kFunctional, kInplace, kOut };

/// The result's dtype where the operands are alike: theirs, or bool.
enum class Result { kSame, kBool };

/// A number that stands for itself in the dtype computed in.
inline bool plain(const at::Scalar& scalar) {
  return scalar.isFloatingPoint() || scalar.isIntegral(/*includeBool=*/false);
}
inline bool plain(double) {
  return true;
}

/// An output: made here (functional) or the caller's (in-place and out).
struct Output {
  at::Tensor tensor;
  at::Tensor proxy;  // computed into in its place where its strides do not suit, or undefined

  const at::Tensor& target() const { return proxy.defined() ? proxy : tensor; }
};

void set_output(Output& output, Variant variant, at::IntArrayRef sizes, at::IntArrayRef strides,
                const at::TensorOptions& options, bool exact_strides);

/// Does the work of `meta` in a fraction of its time where the operands are alike, which is what a
/// small operator meets most: floating-point tensors of one dtype and shape, contiguous and on one
/// device; in place of the last of several may stand a number. False, with nothing done, where they
/// are not.
bool meta_of_alike(at::TensorIteratorBase& iterator, Output& output, Variant variant, Result result,
                   at::ArrayRef<const at::Tensor*> inputs);

/// The alpha of add.out, which the front-end checks against the dtype of out=. Stock's CPU has put
/// a temporary of the operands' dtype in its place by then: among truth values it may be one too.
at::Scalar alpha_of(const at::Tensor& self, const at::Tensor& other, const at::Scalar& alpha);

/// After the kernel: what was computed aside goes to where it was asked for.
void copy_proxies(at::ArrayRef<Output> outputs);

/// `Op` (at::meta::structured_x or at::native::structured_x_out) with its outputs. One class for
/// all variants, and little in it: there are hundreds of them.
template <class Op, size_t count>
class Operator final : public Op {
 public:
  template <class... Given>
  explicit Operator(Variant variant, const Given&... given)
      : variant_(variant), outputs_{Output{given, {}}...} {}

  void set_output_strided(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
                          at::TensorOptions options ALT_NAMES_PARAMETER) override {
    set_output(outputs_[index], variant_, sizes, strides, options, /*exact_strides=*/true);
    tell_iterator(index, sizes, strides, options ALT_NAMES_ARGUMENT);
  }

  void set_output_raw_strided(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
                              at::TensorOptions options ALT_NAMES_PARAMETER) override {
    set_output(outputs_[index], variant_, sizes, strides, options, /*exact_strides=*/false);
    tell_iterator(index, sizes, strides, options ALT_NAMES_ARGUMENT);
  }

  const at::Tensor& maybe_get_output(int64_t index) override { return outputs_[index].target(); }

  bool meta_of_alike(Result result, std::initializer_list<const at::Tensor*> inputs) {
    return structured::meta_of_alike(*this, outputs_[0], variant_, result, inputs);
  }

  const at::Tensor& output(size_t index) const { return outputs_[index].target(); }
  at::Tensor take(size_t index) { return std::move(outputs_[index].tensor); }
  void copy_proxies() { structured::copy_proxies(outputs_); }

 private:
  // TensorIterator keeps its own operand list, which it fills by asking maybe_get_output.
  void tell_iterator(int64_t index, at::IntArrayRef sizes, at::IntArrayRef strides,
                     const at::TensorOptions& options ALT_NAMES_PARAMETER) {
    if constexpr (std::is_base_of_v<at::TensorIteratorBase, Op>) {
      Op::set_output_raw_strided(index, sizes, strides, options ALT_NAMES_ARGUMENT);
    }
  }

  Variant variant_;
  std::array<Output, count> outputs_;
};

}  // namespace alt::structured
