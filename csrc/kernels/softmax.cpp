// softmax and log_softmax along one dimension, and their gradients.
//
// A tensor is (outer, dim, inner). With inner == 1 a row is contiguous and lanes run along it: its
// maximum, the sum of exponentials, the result; three passes over a row that stays in the
// first-level cache. Otherwise lanes run across `inner`: a block of 128 columns keeps its maxima
// and sums in registers and first-level cache while dim is walked. Half and BFloat16 are computed
// in float; to round once, exponentials are computed again instead of stored.
#include <ATen/core/Tensor.h>

#include <cmath>
#include <limits>

#include "kernels/norm_lanes.h"
#include "kernels/row_writer.h"
#include "kernels/scratch.h"
#include "kernels/slices.h"
#include "kernels/softmax_lanes.h"
#include "loops/exp.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

constexpr int64_t kElementsPerTask = 16384;

// row(writer, offset) for each contiguous row, or columns(writer, offset, width) for each block of
// columns, of a result of Out.
template <class Out, class Row, class Columns>
void for_each_slice(const Slices& extent, Row&& row, Columns&& columns) {
  if (extent.inner == 1) {
    const int64_t grain = std::max<int64_t>(1, kElementsPerTask / extent.dim);
    parallel_for(0, extent.outer, grain, [&](int64_t begin, int64_t end) {
      const RowWriter<Out> writer(extent.outer * extent.dim);
      for (int64_t i = begin; i < end; ++i) row(writer, i * extent.dim);
    });
    return;
  }
  const int64_t blocks = (extent.inner + kSoftmaxColumns - 1) / kSoftmaxColumns;
  const int64_t width = std::min(kSoftmaxColumns, extent.inner);
  const int64_t grain = std::max<int64_t>(1, kElementsPerTask / (extent.dim * width));
  parallel_for(0, extent.outer * blocks, grain, [&](int64_t begin, int64_t end) {
    const RowWriter<Out> writer(extent.outer * extent.dim * extent.inner);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % blocks * kSoftmaxColumns;
      columns(writer, i / blocks * extent.dim * extent.inner + first,
              std::min(kSoftmaxColumns, extent.inner - first));
    }
  });
}

// Whether exponentials wait for their sum where the result will be: a reduced type would round them
// twice.
template <bool log, class In, class Out>
constexpr bool keeps_exponentials = !log && std::is_same_v<Out, opmath_t<In>>;

// What is left to do at each element: subtract the logarithm of the sum, or multiply by its
// inverse. `rest` is what the rounding of `main` took away.
template <class V>
struct Finish {
  V main, rest;
};
template <bool log>
double finishing(double sum) {
  return log ? std::log(sum) : 1 / sum;
}

// A softmax or its logarithm at one element. `kept` is what stands in the output.
template <bool log, class In, class Out, class V>
V finished(const V& x, const V& max, const V& kept, const Finish<V>& finish) {
  if constexpr (log) return x - max - finish.main;
  const V e = keeps_exponentials<log, In, Out> ? kept : math::exp_below(x, max);
  return fma(e, finish.main, e * finish.rest);
}

// Where n exponentials wait: in `out`, unless that is written past the caches and the thread has
// memory for them that is not fresh.
template <class A>
class Kept {
  using Memory = Scratch<A, Kept>;

 public:
  Kept(bool streaming, A* out, int64_t n)
      : apart_(streaming && n * static_cast<int64_t>(sizeof(A)) <= Memory::kKeptBytes),
        scratch_(apart_ ? n : 0),
        data_(apart_ ? scratch_.data() : out) {}
  A* data() const { return data_; }
  bool apart() const { return apart_; }

 private:
  bool apart_;
  Memory scratch_;
  A* data_;
};
template <bool keep, class A, class Out>
Kept<A> kept_exponentials(const RowWriter<Out>& writer, [[maybe_unused]] Out* out, int64_t n) {
  if constexpr (keep) {
    return {writer.streaming(), out, n};
  } else {
    return {false, nullptr, 0};
  }
}

template <bool log, class In, class Out>
void softmax_row(const RowWriter<Out>& writer, const In* in, Out* out, int64_t n) {
  using A = opmath_t<In>;
  using V = Vec<A>;
  constexpr bool keep = keeps_exponentials<log, In, Out>;
  const Kept<A> memory = kept_exponentials<keep, A>(writer, out, n);
  A* const exponentials = memory.data();
  const V max(largest_of_row(in, n));
  const double sum = sum_lanes<A, 1>(n, [&](int64_t at, auto count) {
    const V e = math::exp_below(load_lanes(in + at, count), max);
    if constexpr (keep) store_lanes<A>(e, exponentials + at, count);
    return std::array<V, 1>{e};
  })[0];

  const double last = finishing<log>(sum);
  const A rounded = static_cast<A>(last);
  const Finish<V> finish{V(rounded), V(static_cast<A>(last - rounded))};
  writer.write(out, n, [&](int64_t at, auto count) {
    const V x = keep ? V(A(0)) : Vec<A>(load_lanes(in + at, count));
    const V kept = keep ? Vec<A>(load_lanes(exponentials + at, count)) : V(A(0));
    return finished<log, In, Out>(x, max, kept, finish);
  });
}

template <bool log, class In, class Out>
void softmax_columns(const RowWriter<Out>& writer, const In* in, Out* out, int64_t dim,
                     int64_t stride, int64_t width) {
  using A = opmath_t<In>;
  using V = Vec<A>;
  constexpr bool keep = keeps_exponentials<log, In, Out>;
  const Kept<A> memory = kept_exponentials<keep, A>(writer, out, dim * kSoftmaxColumns);
  A* const exponentials = memory.data();
  const int64_t apart = memory.apart() ? kSoftmaxColumns : stride;  // their rows
  A max[kSoftmaxColumns], sum[kSoftmaxColumns], rest[kSoftmaxColumns];
  std::fill_n(max, width, -std::numeric_limits<A>::infinity());
  std::fill_n(sum, width, A(0));

  for (int64_t d = 0; d < dim; ++d) {
    for_lanes<A>(0, width, [&](int64_t i, auto count) {
      store_lanes<A>(larger(load_lanes(in + d * stride + i, count), load_lanes(max + i, count)),
                     max + i, count);
    });
  }
  for (int64_t d = 0; d < dim; ++d) {
    for_lanes<A>(0, width, [&](int64_t i, auto count) {
      const int64_t at = d * stride + i;
      const V e = math::exp_below(load_lanes(in + at, count), load_lanes(max + i, count));
      if constexpr (keep) store_lanes<A>(e, exponentials + d * apart + i, count);
      store_lanes<A>(load_lanes(sum + i, count) + e, sum + i, count);
    });
  }
  for (int64_t i = 0; i < width; ++i) {
    const double last = finishing<log>(sum[i]);
    sum[i] = static_cast<A>(last);
    rest[i] = static_cast<A>(last - sum[i]);
  }
  for (int64_t d = 0; d < dim; ++d) {
    writer.write(out + d * stride, width, [&](int64_t i, auto count) {
      const V x = keep ? V(A(0)) : Vec<A>(load_lanes(in + d * stride + i, count));
      const V kept = keep ? Vec<A>(load_lanes(exponentials + d * apart + i, count)) : V(A(0));
      const Finish<V> finish{load_lanes(sum + i, count), load_lanes(rest + i, count)};
      return finished<log, In, Out>(x, load_lanes(max + i, count), kept, finish);
    });
  }
}

// softmax: (grad - sum(grad * output)) * output; log_softmax: grad - math::exp(output) * sum(grad)
template <bool log, class V>
V sum_term(const V& grad, const V& output) {
  return log ? grad : grad * output;
}
template <bool log, class V>
V input_gradient(const V& grad, const V& output, const V& sum) {
  if constexpr (log) return grad - math::exp(output) * sum;
  return (grad - sum) * output;
}

template <bool log, class In, class Out>
void softmax_backward_row(const RowWriter<Out>& writer, const In* grad, const In* output,
                          Out* grad_input, int64_t n) {
  using A = opmath_t<In>;
  using V = Vec<A>;
  const double total = sum_lanes<A, 1>(n, [&](int64_t i, auto count) {
    return std::array<V, 1>{
        sum_term<log>(load_lanes(grad + i, count), load_lanes(output + i, count))};
  })[0];
  const V sum(static_cast<A>(total));
  writer.write(grad_input, n, [&](int64_t i, auto count) {
    return input_gradient<log>(load_lanes(grad + i, count), load_lanes(output + i, count), sum);
  });
}

template <bool log, class In, class Out>
void softmax_backward_columns(const RowWriter<Out>& writer, const In* grad, const In* output,
                              Out* grad_input, int64_t dim, int64_t stride, int64_t width) {
  using A = opmath_t<In>;
  A sum[kSoftmaxColumns];
  std::fill_n(sum, width, A(0));
  for (int64_t d = 0; d < dim; ++d) {
    for_lanes<A>(0, width, [&](int64_t i, auto count) {
      const int64_t at = d * stride + i;
      const auto term = sum_term<log>(load_lanes(grad + at, count), load_lanes(output + at, count));
      store_lanes<A>(load_lanes(sum + i, count) + term, sum + i, count);
    });
  }
  for (int64_t d = 0; d < dim; ++d) {
    writer.write(grad_input + d * stride, width, [&](int64_t i, auto count) {
      const int64_t at = d * stride + i;
      return input_gradient<log>(load_lanes(grad + at, count), load_lanes(output + at, count),
                                 load_lanes(sum + i, count));
    });
  }
}

// `run<In, Out>()`: the same type twice, or a reduced type on the side that half_to_float makes
// narrower.
template <class F>
void visit_types(at::ScalarType in, at::ScalarType out, const char* name, F&& run) {
  visit<FloatingAndHalfTypes>(in, name, [&]<class In>() {
    if (in == out) {
      run.template operator()<In, In>();
    } else if constexpr (std::is_same_v<In, float>) {
      visit<HalfTypes>(out, name, [&]<class Out>() { run.template operator()<float, Out>(); });
    } else if constexpr (detail::is_reduced<In>) {
      TORCH_CHECK(out == at::kFloat, name,
                  ": expected an output of Float or of the input's type, got ", out);
      run.template operator()<In, float>();
    } else {
      TORCH_CHECK(false, name, ": expected an output of type ", in, ", got ", out);
    }
  });
}

// `fill(result)` on `out` itself if it is contiguous, or on a copy of its shape.
template <class F>
void into_contiguous(const at::Tensor& out, F&& fill) {
  if (out.is_contiguous()) return fill(out);
  const at::Tensor result = out.contiguous();
  fill(result);
  out.copy_(result);
}

template <bool log>
void forward(const at::Tensor& self, int64_t dim, const at::Tensor& out, const char* name) {
  if (self.numel() == 0) return;
  const Slices extent(self, dim);
  const at::Tensor input = self.contiguous();
  into_contiguous(out, [&](const at::Tensor& result) {
    visit_types(input.scalar_type(), result.scalar_type(), name, [&]<class In, class Out>() {
      const In* in = input.const_data_ptr<In>();
      Out* to = result.mutable_data_ptr<Out>();
      using Writer = RowWriter<Out>;
      for_each_slice<Out>(
          extent,
          [&](const Writer& writer, int64_t at) {
            softmax_row<log>(writer, in + at, to + at, extent.dim);
          },
          [&](const Writer& writer, int64_t at, int64_t width) {
            softmax_columns<log>(writer, in + at, to + at, extent.dim, extent.inner, width);
          });
    });
  });
}

template <bool log>
void backward(const at::Tensor& grad_output, const at::Tensor& output, int64_t dim,
              const at::Tensor& grad_input, const char* name) {
  if (grad_output.numel() == 0) return;
  const Slices extent(grad_output, dim);
  const at::Tensor grad = grad_output.contiguous(), forward_output = output.contiguous();
  into_contiguous(grad_input, [&](const at::Tensor& result) {
    visit_types(grad.scalar_type(), result.scalar_type(), name, [&]<class In, class Out>() {
      const In* g = grad.const_data_ptr<In>();
      const In* y = forward_output.const_data_ptr<In>();
      Out* to = result.mutable_data_ptr<Out>();
      using Writer = RowWriter<Out>;
      for_each_slice<Out>(
          extent,
          [&](const Writer& writer, int64_t at) {
            softmax_backward_row<log>(writer, g + at, y + at, to + at, extent.dim);
          },
          [&](const Writer& writer, int64_t at, int64_t width) {
            softmax_backward_columns<log>(writer, g + at, y + at, to + at, extent.dim, extent.inner,
                                          width);
          });
    });
  });
}

}  // namespace

void softmax(const at::Tensor& self, int64_t dim, bool /*half_to_float*/, const at::Tensor& out) {
  forward<false>(self, dim, out, "softmax");
}

void log_softmax(const at::Tensor& self, int64_t dim, bool /*half_to_float*/,
                 const at::Tensor& out) {
  forward<true>(self, dim, out, "log_softmax");
}

void softmax_backward_data(const at::Tensor& grad_output, const at::Tensor& output, int64_t dim,
                           at::ScalarType /*input_dtype*/, const at::Tensor& grad_input) {
  backward<false>(grad_output, output, dim, grad_input, "softmax_backward");
}

void log_softmax_backward_data(const at::Tensor& grad_output, const at::Tensor& output, int64_t dim,
                               at::ScalarType /*input_dtype*/, const at::Tensor& grad_input) {
  backward<true>(grad_output, output, dim, grad_input, "log_softmax_backward");
}

}  // namespace alt::kernels
