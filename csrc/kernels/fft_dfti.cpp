// MKL's DFTI as an FFT engine. libtorch_cpu exports it where it was linked with MKL.

#include <c10/util/Exception.h>

#include "kernels/fft.h"

extern "C" {
struct DFTI_DESCRIPTOR;
// Absent where libtorch has no MKL.
long DftiCreateDescriptor_s_1d(DFTI_DESCRIPTOR**, int domain, long length) __attribute__((weak));
long DftiCreateDescriptor_d_1d(DFTI_DESCRIPTOR**, int domain, long length) __attribute__((weak));
long DftiSetValue(DFTI_DESCRIPTOR*, int parameter, ...) __attribute__((weak));
long DftiCommitDescriptor(DFTI_DESCRIPTOR*) __attribute__((weak));
long DftiComputeForward(DFTI_DESCRIPTOR*, void* in, ...) __attribute__((weak));
long DftiComputeBackward(DFTI_DESCRIPTOR*, void* in, ...) __attribute__((weak));
long DftiFreeDescriptor(DFTI_DESCRIPTOR**) __attribute__((weak));
char* DftiErrorMessage(long status) __attribute__((weak));
}

namespace alt::fft {
namespace {

// From mkl_dfti.h, which torch does not ship.
enum Parameter {
  kForwardScale = 4,
  kBackwardScale = 5,
  kConjugateEvenStorage = 10,
  kPlacement = 11,
  kThreadLimit = 27,
};
enum Value { kComplexDomain = 32, kRealDomain = 33, kComplexComplex = 39, kNotInplace = 44 };

void check(long status) {
  TORCH_CHECK(status == 0, "MKL FFT error: ", DftiErrorMessage(status));
}

template <class T>
class DftiPlan final : public Plan<T> {
 public:
  explicit DftiPlan(const Description& description) : forward_(description.forward) {
    const bool complex = description.kind == Kind::kComplex;
    const int domain = complex ? kComplexDomain : kRealDomain;
    const auto create =
        sizeof(T) == sizeof(float) ? DftiCreateDescriptor_s_1d : DftiCreateDescriptor_d_1d;
    check(create(&descriptor_, domain, static_cast<long>(description.length)));
    set(kPlacement, kNotInplace);
    set(kThreadLimit, 1);  // the lanes are shared among our own threads
    if (!complex) {
      set(kConjugateEvenStorage, kComplexComplex);
    }
    check(DftiSetValue(descriptor_, forward_ ? kForwardScale : kBackwardScale, description.scale));
    check(DftiCommitDescriptor(descriptor_));
  }
  ~DftiPlan() override { DftiFreeDescriptor(&descriptor_); }
  DftiPlan(const DftiPlan&) = delete;
  DftiPlan& operator=(const DftiPlan&) = delete;

  void run(const T* in, T* out) const override {
    const auto compute = forward_ ? DftiComputeForward : DftiComputeBackward;
    check(compute(descriptor_, const_cast<T*>(in), out));
  }

 private:
  void set(Parameter parameter, long value) { check(DftiSetValue(descriptor_, parameter, value)); }

  DFTI_DESCRIPTOR* descriptor_ = nullptr;
  bool forward_;
};

}  // namespace

bool has_dfti() {
  return DftiSetValue != nullptr;
}

template <class T>
std::unique_ptr<Plan<T>> make_dfti_plan(const Description& description) {
  if (!has_dfti()) {
    return nullptr;
  }
  return std::make_unique<DftiPlan<T>>(description);
}

template std::unique_ptr<Plan<float>> make_dfti_plan<float>(const Description&);
template std::unique_ptr<Plan<double>> make_dfti_plan<double>(const Description&);

}  // namespace alt::fft
