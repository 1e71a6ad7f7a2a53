// The Fourier transforms under torch.fft: _fft_r2c, _fft_c2r, _fft_c2c.
//
// A transform of several dimensions is one pass a dimension. A pass shares its lanes among the
// threads; lanes that are not contiguous are gathered, transformed and scattered 16 at a time,
// those that lie side by side in memory together. The first pass reads the input, the others work
// in place on the result (of c2r, on a copy whose real transform comes last). Of a real signal all
// passes but the first work on half of the last dimension; the other half is its mirror image,
// conjugated. Results' strides are stock's: batch dimensions in the order of the input's strides,
// then the transformed ones.

#include <ATen/core/Tensor.h>
#include <ATen/native/SpectralOpsUtils.h>
#include <ATen/ops/empty_strided.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/cuda/array.h"
#include "kernels/fft.h"
#include "kernels/operands.h"
#include "loops/dtype.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::DimVector;
using at::IntArrayRef;
using at::Tensor;

/// A place in a space of indices, the first dimension counting fastest.
class Counter {
 public:
  Counter(IntArrayRef sizes, int64_t position) : sizes_(sizes), index_(sizes.size()) {
    for (size_t d = 0; d < sizes_.size(); ++d) {
      index_[d] = position % sizes_[d];
      position /= sizes_[d];
    }
  }

  void advance() {
    for (size_t d = 0; d < sizes_.size(); ++d) {
      if (++index_[d] < sizes_[d]) {
        return;
      }
      index_[d] = 0;
    }
  }

  int64_t offset(IntArrayRef strides) const {
    return std::inner_product(index_.begin(), index_.end(), strides.begin(), int64_t{0});
  }

  int64_t operator[](size_t dim) const { return index_[dim]; }

 private:
  IntArrayRef sizes_;
  std::vector<int64_t> index_;
};

/// The dimensions besides `dim`, the one with the smallest stride first.
DimVector other_dims(const Tensor& tensor, int64_t dim) {
  DimVector dims;
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    if (d != dim) {
      dims.push_back(d);
    }
  }
  std::stable_sort(dims.begin(), dims.end(),
                   [&](int64_t a, int64_t b) { return tensor.stride(a) < tensor.stride(b); });
  return dims;
}

DimVector pick(IntArrayRef values, IntArrayRef dims) {
  DimVector picked;
  for (const int64_t d : dims) {
    picked.push_back(values[d]);
  }
  return picked;
}

/// A strided set of lanes on one side of a pass; elements are of type E.
template <class E>
struct Side {
  Side(const Tensor& tensor, int64_t dim, IntArrayRef others)
      : data(const_cast<E*>(tensor.const_data_ptr<E>())),
        length(tensor.size(dim)),
        stride(tensor.stride(dim)),
        lane_strides(pick(tensor.strides(), others)) {}

  bool contiguous() const { return stride == 1 || length == 1; }

  E* data;
  int64_t length;
  int64_t stride;
  DimVector lane_strides;
};

constexpr int64_t kBlock = 16;

template <class T, class In, class Out>
void run_lanes(const fft::Plan<T>& plan, const Side<In>& in, const Side<Out>& out,
               IntArrayRef lane_sizes, int64_t begin, int64_t end) {
  const bool direct = in.contiguous() && out.contiguous() &&
                      static_cast<const void*>(in.data) != static_cast<const void*>(out.data);
  std::vector<In> gathered(direct ? 0 : kBlock * in.length);
  std::vector<Out> transformed(direct ? 0 : kBlock * out.length);
  std::array<const In*, kBlock> sources;
  std::array<Out*, kBlock> targets;
  Counter lane(lane_sizes, begin);
  for (int64_t first = begin; first < end; first += kBlock) {
    const int64_t count = std::min(kBlock, end - first);
    for (int64_t l = 0; l < count; ++l, lane.advance()) {
      sources[l] = in.data + lane.offset(in.lane_strides);
      targets[l] = out.data + lane.offset(out.lane_strides);
    }
    if (direct) {
      for (int64_t l = 0; l < count; ++l) {
        plan.run(reinterpret_cast<const T*>(sources[l]), reinterpret_cast<T*>(targets[l]));
      }
      continue;
    }
    for (int64_t i = 0; i < in.length; ++i) {
      for (int64_t l = 0; l < count; ++l) {
        gathered[l * in.length + i] = sources[l][i * in.stride];
      }
    }
    for (int64_t l = 0; l < count; ++l) {
      plan.run(reinterpret_cast<const T*>(gathered.data() + l * in.length),
               reinterpret_cast<T*>(transformed.data() + l * out.length));
    }
    for (int64_t i = 0; i < out.length; ++i) {
      for (int64_t l = 0; l < count; ++l) {
        targets[l][i * out.stride] = transformed[l * out.length + i];
      }
    }
  }
}

/// Transforms `in` along `dim` into `out`, which may be the same tensor. T is float or double.
template <class T, class In, class Out>
void pass(const Tensor& in, const Tensor& out, int64_t dim, const fft::Description& description) {
  const auto plan = fft::make_plan<T>(description);
  const DimVector others = other_dims(in, dim);
  const DimVector lane_sizes = pick(in.sizes(), others);
  const Side<In> source(in, dim, others);
  const Side<Out> target(out, dim, others);
  constexpr double operations_worth_a_thread = 2e4;
  const auto n = static_cast<double>(description.length);
  const double operations = 5 * n * std::log2(n + 1) + 100;
  const auto grain = static_cast<int64_t>(operations_worth_a_thread / operations) + 1;
  parallel_for(0, in.numel() / in.size(dim), grain, [&](int64_t begin, int64_t end) {
    run_lanes<T, In, Out>(*plan, source, target, lane_sizes, begin, end);
  });
}

/// Calls body.operator()<T>() with the real type of a signal's dtype.
template <class Body>
void visit_real(at::ScalarType dtype, const Body& body) {
  const at::ScalarType real = c10::toRealValueType(dtype);
  TORCH_CHECK(real == at::kFloat || real == at::kDouble,
              "MKL FFT doesn't support tensors of type: ", dtype);
  visit<FloatingTypes>(real, "fft", body);
}

void complex_pass(const Tensor& in, const Tensor& out, int64_t dim, bool forward, double scale) {
  visit_real(in.scalar_type(), [&]<class T>() {
    using Complex = c10::complex<T>;
    pass<T, Complex, Complex>(in, out, dim, {fft::Kind::kComplex, in.size(dim), forward, scale});
  });
}

/// What the sum over a signal of `numel` elements is multiplied with.
double scale_of(int64_t normalization, double numel) {
  switch (static_cast<at::native::fft_norm_mode>(normalization)) {
    case at::native::fft_norm_mode::by_root_n:
      return 1 / std::sqrt(numel);
    case at::native::fft_norm_mode::by_n:
      return 1 / numel;
    default:
      return 1;
  }
}

double signal_numel(const Tensor& tensor, IntArrayRef dims) {
  double numel = 1;
  for (const int64_t d : dims) {
    numel *= static_cast<double>(tensor.size(d));
  }
  return numel;
}

/// `dims` in the order of their strides, the largest first; the last stays last if told so.
DimVector sort_dims(const Tensor& tensor, IntArrayRef dims, bool keep_last) {
  DimVector sorted(dims.begin(), dims.end());
  std::stable_sort(sorted.begin(), sorted.end() - (keep_last ? 1 : 0),
                   [&](int64_t a, int64_t b) { return tensor.stride(a) > tensor.stride(b); });
  return sorted;
}

/// A dense tensor: batch dimensions in the order of the input's strides, then `dims` in theirs.
Tensor empty_result(const Tensor& input, IntArrayRef sizes, IntArrayRef dims,
                    at::ScalarType dtype) {
  DimVector order;
  for (int64_t d = 0; d < input.dim(); ++d) {
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) {
      order.push_back(d);
    }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return input.stride(a) > input.stride(b); });
  order.append(dims.begin(), dims.end());
  DimVector strides(sizes.size());
  int64_t stride = 1;
  for (auto d = order.rbegin(); d != order.rend(); ++d) {
    strides[*d] = stride;
    stride *= sizes[*d];
  }
  return at::empty_strided(sizes, strides, input.options().dtype(dtype));
}

/// Fills the second half of the last of `dims` with the first half's mirror image, conjugated.
template <class T>
void mirror(const Tensor& out, IntArrayRef dims) {
  const int64_t last = dims.back();
  const int64_t n = out.size(last);
  const int64_t step = out.stride(last);
  const DimVector rows = other_dims(out, last);
  const DimVector sizes = pick(out.sizes(), rows);
  const DimVector strides = pick(out.strides(), rows);
  std::vector<bool> mirrored;
  for (const int64_t d : rows) {
    mirrored.push_back(std::find(dims.begin(), dims.end(), d) != dims.end());
  }
  T* data = out.mutable_data_ptr<T>();
  const int64_t grain = (1 << 14) / n + 1;
  parallel_for(0, out.numel() / n, grain, [&](int64_t begin, int64_t end) {
    Counter row(sizes, begin);
    for (int64_t r = begin; r < end; ++r, row.advance()) {
      T* target = data + row.offset(strides);
      int64_t opposite = 0;
      for (size_t d = 0; d < sizes.size(); ++d) {
        const int64_t index = mirrored[d] && row[d] > 0 ? sizes[d] - row[d] : row[d];
        opposite += index * strides[d];
      }
      const T* source = data + opposite;
      for (int64_t k = n / 2 + 1; k < n; ++k) {
        target[k * step] = std::conj(source[(n - k) * step]);
      }
    }
  });
}

void check_complex(const Tensor& self) {
  TORCH_CHECK(self.is_complex(), "Only supports complex dtypes, but found: ", self.scalar_type());
}

/// MKL refuses a batch without signals, and so does stock where it has MKL.
void refuse_no_lanes() {
  TORCH_CHECK(!fft::has_dfti(),
              "MKL FFT error: Intel oneMKL DFTI ERROR: Inconsistent configuration parameters");
}

}  // namespace

Tensor fft_c2c(const Tensor& self, IntArrayRef dim, int64_t normalization, bool forward) {
  check_complex(self);
  if (dim.empty()) {
    return self.clone();
  }
  const DimVector dims = sort_dims(self, dim, /*keep_last=*/false);
  Tensor out = empty_result(self, self.sizes(), dims, self.scalar_type());
  if (self.numel() == 0) {
    refuse_no_lanes();
    return out;
  }
  if (alt::cuda::on_gpu()) {
    cuda::call_array("fft.c2c", {self}, {out},
                     {{"dim", dim.vec()}, {"normalization", normalization}, {"forward", forward}});
    return out;
  }
  const double scale = scale_of(normalization, signal_numel(self, dim));
  complex_pass(self, out, dims.back(), forward, scale);
  for (size_t i = 0; i + 1 < dims.size(); ++i) {
    complex_pass(out, out, dims[i], forward, 1);
  }
  return out;
}

Tensor fft_r2c(const Tensor& self, IntArrayRef dim, int64_t normalization, bool onesided) {
  TORCH_CHECK(self.is_floating_point(),
              "Only supports floating-point dtypes, but found: ", self.scalar_type());
  const int64_t last = dim.back();
  const int64_t half = self.size(last) / 2 + 1;
  DimVector sizes(self.sizes());
  if (onesided) {
    sizes[last] = half;
  }
  const DimVector dims = sort_dims(self, dim, /*keep_last=*/true);
  Tensor out = empty_result(self, sizes, dims, c10::toComplexType(self.scalar_type()));
  if (self.numel() == 0) {
    refuse_no_lanes();
    return out;
  }
  if (alt::cuda::on_gpu()) {
    cuda::call_array(
        "fft.r2c", {self}, {out},
        {{"dim", dim.vec()}, {"normalization", normalization}, {"onesided", onesided}});
    return out;
  }
  const double scale = scale_of(normalization, signal_numel(self, dim));
  const Tensor first_half = out.narrow(last, 0, half);
  visit_real(self.scalar_type(), [&]<class T>() {
    pass<T, T, c10::complex<T>>(self, first_half, last,
                                {fft::Kind::kRealToComplex, self.size(last), true, scale});
    for (size_t i = 0; i + 1 < dims.size(); ++i) {
      complex_pass(first_half, first_half, dims[i], true, 1);
    }
    if (!onesided) {
      mirror<c10::complex<T>>(out, dims);
    }
  });
  return out;
}

Tensor fft_c2r(const Tensor& self, IntArrayRef dim, int64_t normalization, int64_t last_dim_size) {
  check_complex(self);
  const int64_t last = dim.back();
  const Tensor input =
      dim.size() > 1 ? fft_c2c(self, dim.slice(0, dim.size() - 1), normalization, false) : self;
  DimVector sizes(self.sizes());
  sizes[last] = last_dim_size;
  Tensor out = empty_result(input, sizes, last, c10::toRealValueType(self.scalar_type()));
  if (out.numel() == 0 || self.numel() == 0) {
    refuse_no_lanes();
    return out.zero_();
  }
  if (alt::cuda::on_gpu()) {
    cuda::call_array("fft.c2r", {input}, {out},
                     {{"dim", std::vector{last}},
                      {"normalization", normalization},
                      {"last_size", last_dim_size}});
    return out;
  }
  // A signal may come with more of its spectrum than the half that is read.
  const Tensor half = input.narrow(last, 0, last_dim_size / 2 + 1);
  const double scale = scale_of(normalization, static_cast<double>(last_dim_size));
  visit_real(self.scalar_type(), [&]<class T>() {
    pass<T, c10::complex<T>, T>(half, out, last,
                                {fft::Kind::kComplexToReal, last_dim_size, false, scale});
  });
  return out;
}

Tensor& fft_c2c_out(const Tensor& self, IntArrayRef dim, int64_t normalization, bool forward,
                    Tensor& out) {
  copy_to_output(fft_c2c(self, dim, normalization, forward), out);
  return out;
}

Tensor& fft_r2c_out(const Tensor& self, IntArrayRef dim, int64_t normalization, bool onesided,
                    Tensor& out) {
  copy_to_output(fft_r2c(self, dim, normalization, onesided), out);
  return out;
}

Tensor& fft_c2r_out(const Tensor& self, IntArrayRef dim, int64_t normalization,
                    int64_t last_dim_size, Tensor& out) {
  copy_to_output(fft_c2r(self, dim, normalization, last_dim_size), out);
  return out;
}

}  // namespace alt::kernels
