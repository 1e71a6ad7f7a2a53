// The connectionist temporal classification loss (Graves et al., 2006) and its gradient.
//
// A target of n labels is a path of 2n + 1 states, blanks around every label. alpha[t][s] is the
// log probability of all ways to be in state s at time t, beta the same from the end. A batch
// element is a task; in it, a row of states is computed from the row before, in lanes: from the
// state itself, the one before and, where that skips no label that must be told apart, the one
// before that.

#include <ATen/TensorUtils.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "loops/dtype.h"
#include "loops/lanes.h"
#include "loops/math.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::IntArrayRef;
using at::Tensor;

template <class T>
constexpr T kNever = -std::numeric_limits<T>::infinity();

/// Where each batch element's labels are in the contiguous targets.
std::vector<int64_t> target_offsets(const Tensor& targets, IntArrayRef target_lengths) {
  std::vector<int64_t> offsets;
  int64_t position = 0;
  for (size_t b = 0; b < target_lengths.size(); ++b) {
    offsets.push_back(targets.dim() == 1 ? position : static_cast<int64_t>(b) * targets.size(1));
    position += target_lengths[b];
  }
  return offsets;
}

int64_t longest(IntArrayRef lengths) {
  return lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
}

void check(const Tensor& log_probs, const Tensor& targets, IntArrayRef input_lengths,
           IntArrayRef target_lengths, int64_t blank) {
  const at::CheckedFrom caller = "ctc_loss_allocate_outputs";
  const at::TensorArg log_probs_arg(log_probs, "log_probs", 1);
  const at::TensorArg targets_arg(targets, "targets", 2);
  at::checkScalarType(caller, targets_arg,
                      targets.scalar_type() == at::kLong ? at::kLong : at::kInt);
  at::checkDim(caller, log_probs_arg, 3);
  at::checkDimRange(caller, targets_arg, 1, 3);
  const int64_t batch = log_probs.size(1);
  TORCH_CHECK(0 <= blank && blank < log_probs.size(2), "blank must be in label range");
  TORCH_CHECK(static_cast<int64_t>(input_lengths.size()) == batch,
              "input_lengths must be of size batch_size");
  TORCH_CHECK(static_cast<int64_t>(target_lengths.size()) == batch,
              "target_lengths must be of size batch_size");
  int64_t total = 0;
  for (const int64_t length : target_lengths) {
    TORCH_CHECK(length >= 0, "Expected target_lengths to have value at least ", 0,
                ", but got value ", length, " (while checking arguments for ", caller, ")");
    total += length;
  }
  if (targets.dim() == 1) {
    at::checkSize(caller, targets_arg, 0, total);
  } else {
    at::checkSize(caller, targets_arg, 0, batch);
    TORCH_CHECK(targets.size(1) >= longest(target_lengths),
                "Expected tensor to have size at least ", longest(target_lengths),
                " at dimension 1, but got size ", targets.size(1), " for ", targets_arg,
                " (while checking arguments for ", caller, ")");
  }
  for (const int64_t length : input_lengths) {
    TORCH_CHECK(length >= 0, "Expected input_lengths to have value at least ", 0,
                ", but got value ", length, " (while checking arguments for ", caller, ")");
    TORCH_CHECK(length <= log_probs.size(0), "Expected input_lengths to have value at most ",
                log_probs.size(0), ", but got value ", length, " (while checking arguments for ",
                caller, ")");
  }
}

/// The path of one batch element.
template <class T>
struct Path {
  Path(const int64_t* target, int64_t length, int64_t blank, int64_t labels)
      : states(static_cast<size_t>(2 * length + 1), blank), emitted(states.size()) {
    for (int64_t i = 0; i < length; ++i) {
      TORCH_CHECK(target[i] >= 0 && target[i] < labels, "ctc_loss: target ", target[i],
                  " is not a label; there are ", labels);
      states[2 * i + 1] = target[i];
    }
    for (int64_t s = 0; s < size(); ++s) {
      from_before.push_back(s > 1 && states[s] != states[s - 2] ? T(0) : kNever<T>);
      from_after.push_back(s + 2 < size() && states[s] != states[s + 2] ? T(0) : kNever<T>);
    }
  }
  int64_t size() const { return static_cast<int64_t>(states.size()); }

  /// The log probability that each state has at a time.
  const T* emit(const T* log_probs) {
    for (size_t s = 0; s < states.size(); ++s) {
      emitted[s] = log_probs[states[s]];
    }
    return emitted.data();
  }

  std::vector<int64_t> states;
  std::vector<T> from_before;  // added to what comes from two states before: nothing, or no way
  std::vector<T> from_after;
  std::vector<T> emitted;
};

template <class V>
V greater(V a, V b) {
  return select(a > b, a, b);
}

/// log(exp(a) + exp(b) + exp(c)), of which any may be the logarithm of zero.
template <class V>
V log_sum(V a, V b, V c) {
  const V greatest = greater(greater(a, b), c);
  const V m = select(greatest == V(-INFINITY), V(0), greatest);
  return math::log(math::exp(a - m) + math::exp(b - m) + math::exp(c - m)) + m;
}

template <class T>
T log_add(T a, T b) {
  const T m = std::max(a, b);
  return m == kNever<T> ? m : std::log(std::exp(a - m) + std::exp(b - m)) + m;
}

/// row[s] = probs[s] + log_sum of near[s], middle[s] and far[s] + skip[s].
template <class T>
void step(int64_t states, const T* near, const T* middle, const T* far, const T* skip,
          const T* probs, T* row) {
  for_each_lane<T>(states, [&]<class V>(int64_t s) {
    const V sum =
        log_sum(read<V>(near + s), read<V>(middle + s), read<V>(far + s) + read<V>(skip + s));
    write(sum + read<V>(probs + s), row + s);
  });
}

/// Fills the rows of alpha, `stride` apart; the loss.
template <class T>
T forward(Path<T>& path, const T* log_probs, int64_t time_stride, int64_t time, T* alpha,
          int64_t stride) {
  const int64_t states = path.size();
  if (time == 0) {
    return states == 1 ? T(0) : -kNever<T>;
  }
  std::copy_n(path.emit(log_probs), std::min<int64_t>(2, states), alpha);
  // Two states before the first, in which nothing is.
  std::vector<T> before(static_cast<size_t>(states + 2), kNever<T>);
  for (int64_t t = 1; t < time; ++t) {
    std::copy_n(alpha + (t - 1) * stride, states, before.begin() + 2);
    step(states, &before[2], &before[1], &before[0], path.from_before.data(),
         path.emit(log_probs + t * time_stride), alpha + t * stride);
  }
  const T* last = alpha + (time - 1) * stride;
  return states == 1 ? -last[0] : -log_add(last[states - 1], last[states - 2]);
}

/// Adds alpha * beta of each state, as logarithms, to the gradient of its label.
template <class T>
void collect(const Path<T>& path, const T* alpha, const T* beta, T* grad) {
  for (int64_t s = path.size() - 1; s >= 0; --s) {
    T& sum = grad[path.states[s]];
    sum = log_add(sum, alpha[s] + beta[s]);
  }
}

/// Turns rows that are the logarithm of nothing into the gradient.
template <class T>
void backward(Path<T>& path, const T* log_probs, T* grad, int64_t time_stride, int64_t time,
              int64_t labels, const T* alpha, int64_t stride, T loss, T grad_loss) {
  const int64_t states = path.size();
  // The row of beta, and two states after the last, in which nothing is.
  std::vector<T> beta(static_cast<size_t>(states + 2), kNever<T>), next(beta);
  for (int64_t t = time - 1; t >= 0; --t) {
    const T* probs = path.emit(log_probs + t * time_stride);
    if (t == time - 1) {
      const int64_t first = std::max<int64_t>(0, states - 2);
      std::copy(probs + first, probs + states, beta.begin() + first);
    } else {
      std::swap(beta, next);
      step(states, &next[0], &next[1], &next[2], path.from_after.data(), probs, beta.data());
    }
    T* row = grad + t * time_stride;
    collect(path, alpha + t * stride, beta.data(), row);
    for_each_lane<T>(labels, [&]<class V>(int64_t c) {
      const V log_prob = read<V>(log_probs + t * time_stride + c);
      const V share = math::exp(read<V>(row + c) + V(loss) - log_prob);
      write((math::exp(log_prob) - share) * V(grad_loss), row + c);
    });
  }
}

/// Calls body(b, path) for each batch element.
template <class T, class Body>
void for_each_path(const Tensor& targets, IntArrayRef target_lengths, int64_t blank, int64_t labels,
                   Body&& body) {
  const Tensor contiguous = targets.to(at::kLong).contiguous();
  const int64_t* data = contiguous.const_data_ptr<int64_t>();
  const auto offsets = target_offsets(contiguous, target_lengths);
  parallel_for(0, static_cast<int64_t>(offsets.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      Path<T> path(data + offsets[b], target_lengths[b], blank, labels);
      body(b, path);
    }
  });
}

}  // namespace

std::tuple<Tensor, Tensor> ctc_loss(const Tensor& log_probs, const Tensor& targets,
                                    IntArrayRef input_lengths, IntArrayRef target_lengths,
                                    int64_t blank, bool /*zero_infinity*/) {
  std::tuple<Tensor, Tensor> result;
  visit<FloatingTypes>(log_probs.scalar_type(), "ctc_loss_cpu", [&]<class T>() {
    check(log_probs, targets, input_lengths, target_lengths, blank);
    const int64_t time = log_probs.size(0), batch = log_probs.size(1), labels = log_probs.size(2);
    const int64_t stride = 2 * longest(target_lengths) + 1;
    const Tensor log_alpha = at::full({batch, time, stride}, kNever<double>, log_probs.options());
    const Tensor loss = at::empty({batch}, log_probs.options());
    const Tensor contiguous = log_probs.contiguous();
    const T* probs = contiguous.const_data_ptr<T>();
    T *alpha = log_alpha.mutable_data_ptr<T>(), *losses = loss.mutable_data_ptr<T>();
    for_each_path<T>(targets, target_lengths, blank, labels, [&](int64_t b, Path<T>& path) {
      losses[b] = forward(path, probs + b * labels, batch * labels, input_lengths[b],
                          alpha + b * time * stride, stride);
    });
    result = {loss, log_alpha};
  });
  return result;
}

Tensor ctc_loss_backward(const Tensor& grad, const Tensor& log_probs, const Tensor& targets,
                         IntArrayRef input_lengths, IntArrayRef target_lengths,
                         const Tensor& neg_log_likelihood, const Tensor& log_alpha, int64_t blank,
                         bool zero_infinity) {
  Tensor result;
  visit<FloatingTypes>(log_probs.scalar_type(), "ctc_loss_backward_cpu", [&]<class T>() {
    check(log_probs, targets, input_lengths, target_lengths, blank);
    const int64_t batch = log_probs.size(1), labels = log_probs.size(2);
    const Tensor alphas = log_alpha.contiguous(), losses = neg_log_likelihood.contiguous();
    const Tensor contiguous = log_probs.contiguous(), grads = grad.contiguous();
    const int64_t stride = alphas.size(2);
    result = at::full(log_probs.sizes(), kNever<double>, log_probs.options());
    const T *probs = contiguous.const_data_ptr<T>(), *alpha = alphas.const_data_ptr<T>();
    const T *loss = losses.const_data_ptr<T>(), *grad_loss = grads.const_data_ptr<T>();
    T* out = result.mutable_data_ptr<T>();
    for_each_path<T>(targets, target_lengths, blank, labels, [&](int64_t b, Path<T>& path) {
      const bool impossible = zero_infinity && loss[b] == -kNever<T>;
      const int64_t used = impossible ? 0 : input_lengths[b];
      backward(path, probs + b * labels, out + b * labels, batch * labels, used, labels,
               alpha + b * alphas.stride(0), stride, loss[b], grad_loss[b]);
      for (int64_t t = used; t < log_probs.size(0); ++t) {
        std::fill_n(out + (t * batch + b) * labels, labels, T(0));
      }
    });
  });
  return result;
}

}  // namespace alt::kernels
