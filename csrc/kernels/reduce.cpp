// Reductions that are more than a struct of csrc/ops/reduction.h and a line of ops.yaml.
#include "loops/reduce.h"

#include <ATen/native/ReduceOpsUtils.h>
#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/sum.h>

#include <atomic>
#include <cstring>
#include <optional>

namespace alt::kernels {

namespace {

/// A sum of bools: in bytes for as many steps as these hold, 64 side by side in a vector.
struct CountTrue : ops::Sum<int64_t> {
  static int64_t block(const bool* x, int64_t n, int64_t) {
    constexpr int64_t kSideBySide = 64, kSteps = 255;
    int64_t sum = 0, i = 0;
    while (n - i >= kSideBySide) {
      uint8_t counts[kSideBySide] = {};
      const int64_t steps = std::min(kSteps, (n - i) / kSideBySide);
      for (int64_t step = 0; step < steps; ++step, i += kSideBySide) {
        for (int64_t k = 0; k < kSideBySide; ++k) counts[k] += static_cast<uint8_t>(x[i + k]);
      }
      for (const uint8_t count : counts) sum += count;
    }
    for (; i < n; ++i) sum += static_cast<int64_t>(x[i]);
    return sum;
  }
};

}  // namespace

// Stock casts the whole input to the result's dtype before it sums. What is accumulated alike needs
// no copy: bools, of which a count of true elements is made, are an eighth of what int64 takes.
void sum(const at::Tensor& self, at::OptionalIntArrayRef dim, bool keepdim,
         std::optional<at::ScalarType> /*dtype*/, const at::Tensor& result) {
  const at::ScalarType in = self.scalar_type(), out = result.scalar_type();
  const bool as_it_is =
      c10::promoteTypes(in, out) == out && reduction_dtype(in) == reduction_dtype(out);
  auto iter = at::meta::make_reduction(self, result, dim, keepdim, as_it_is ? in : out);
  if (iter.numel() == 0) {
    result.zero_();  // of any dtype
  } else if (in == at::kBool && out == at::kLong) {
    run_reduction(iter, CountTrue{}, {"sum"});
  } else {
    reduction_stub<ops::Sum, RealAndComplexReduction>(iter, "sum");
  }
}

void std_var(at::TensorIterator& iter, double correction, bool take_sqrt) {
  TORCH_CHECK_NOT_IMPLEMENTED(at::isFloatingType(iter.input_dtype()),
                              "\"std_cpu\" not implemented for '", iter.input_dtype(), "'");
  run_reduction(iter, ops::Variance{correction, take_sqrt},
                {"std_var", {correction, take_sqrt ? 1.0 : 0.0}});
}

// Stock divides a sum in place, and so refuses an integral out=.
void mean(at::TensorIterator& iter) {
  const at::ScalarType result = at::isIntegralType(iter.dtype(), /*includeBool=*/true)
                                    ? c10::get_default_dtype_as_scalartype()
                                    : iter.dtype();
  TORCH_CHECK(result == iter.dtype(), "result type ", result,
              " can't be cast to the desired output type ", iter.dtype());
  reduction_stub<ops::Mean, RealAndComplexReduction>(iter, "mean");
}

void nansum(at::TensorIterator& iter) {
  TORCH_CHECK_NOT_IMPLEMENTED(!at::isIntegralType(iter.dtype(), /*includeBool=*/true),
                              "\"nansum_cpu\" not implemented for '", iter.dtype(), "'");
  reduction_stub<ops::NanSum, RealAndComplexReduction>(iter, "nansum");
}

at::Tensor count_nonzero(const at::Tensor& self, at::IntArrayRef dim) {
  std::vector<int64_t> dims = dim.vec();
  at::maybe_wrap_dims(dims, self.dim());
  at::Tensor result = at::native::create_reduction_result(self, at::IntArrayRef(dims),
                                                          /*keepdim=*/false, at::kLong);
  if (self.numel() == 0) return result.zero_();
  auto iter = at::meta::make_reduction(self, result, at::IntArrayRef(dims), /*keepdim=*/false,
                                       self.scalar_type());
  run_reduction(iter, ops::CountNonzero{}, {"count_nonzero"});
  return result;
}

at::Tensor trace(const at::Tensor& self) {
  TORCH_CHECK(self.dim() == 2, "trace: expected a matrix, but got tensor with dim ", self.dim());
  TORCH_CHECK_NOT_IMPLEMENTED(self.scalar_type() != at::kBool,
                              "\"trace\" not implemented for 'Bool'");
  return at::sum(self.diagonal());
}

namespace {

template <class T>
bool equal_run(const T* a, const T* b, int64_t n) {
  if constexpr (std::is_integral_v<T>) {
    return std::memcmp(a, b, static_cast<size_t>(n) * sizeof(T)) == 0;
  } else {
    bool same = true;
    for (int64_t i = 0; i < n; ++i) same &= a[i] == b[i];
    return same;
  }
}

template <class T>
bool equal_contiguous(const at::Tensor& self, const at::Tensor& other) {
  constexpr int64_t kStep = 4096;
  const T* a = self.const_data_ptr<T>();
  const T* b = other.const_data_ptr<T>();
  std::atomic<bool> same{true};
  parallel_for(0, self.numel(), reduce::kSerial, [&](int64_t begin, int64_t end) {
    for (; begin < end && same.load(std::memory_order_relaxed); begin += kStep) {
      if (!equal_run(a + begin, b + begin, std::min(kStep, end - begin))) same = false;
    }
  });
  return same;
}

}  // namespace

bool equal(const at::Tensor& self, const at::Tensor& other) {
  TORCH_CHECK(self.device() == other.device(),
              "Cannot compare two tensors on different devices. Got: ", self.device(), " and ",
              other.device());
  if (!self.is_same_size(other)) return false;
  if (self.numel() == 0) return true;
  if (alt::cuda::on_gpu() || self.scalar_type() != other.scalar_type() || !self.is_contiguous() ||
      !other.is_contiguous()) {
    return at::all(at::eq(self, other)).item<bool>();
  }
  bool same = false;
  visit<EveryType>(self.scalar_type(), "equal_cpu",
                   [&]<class T>() { same = equal_contiguous<T>(self, other); });
  return same;
}

}  // namespace alt::kernels
