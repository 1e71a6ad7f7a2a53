// Padding by a constant: each output row once, where PyTorch fills the whole result and then copies
// the input into its middle.
//
// A row is the last dimension that is padded, with those behind it; threads share the rows. Short
// ones of a large result are put together in the first cache and go past the others as a block
// (loops/stream.h).
#include <ATen/core/Tensor.h>
#include <ATen/ops/constant_pad_nd_compositeexplicitautograd_dispatch.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "loops/dtype.h"
#include "loops/element_size.h"
#include "loops/stream.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;

constexpr int64_t kElementsPerTask = 16384;
constexpr int64_t kBlockBytes = 4096;  // of short rows together
// Bytes of a row below which a fill of all and a copy of what is shown are faster, in the caches.
constexpr int64_t kShortRow = 512;

struct Dimension {
  int64_t input, before, output;
};

/// What is padded: planes of rows of `inner` elements, and the dimensions before.
struct Problem {
  std::vector<Dimension> outer;
  Dimension plane{1, 0, 1}, row{1, 0, 1};  // of a plane, its rows
  int64_t rows = 1;                        // of the output

  Problem(at::IntArrayRef sizes, at::IntArrayRef pad) {
    const auto dims = static_cast<int64_t>(sizes.size());
    int64_t inner = 1, found = 0;
    for (int64_t d = dims - 1, p = 0; d >= 0; --d, p += 2) {
      const bool given = p < static_cast<int64_t>(pad.size());
      const int64_t before = given ? pad[p] : 0, after = given ? pad[p + 1] : 0;
      const Dimension dimension{sizes[d], before, before + sizes[d] + after};
      if (found == 0 && before + after == 0 && d > 0) {
        inner *= sizes[d];
      } else if (found++ == 0) {
        row = {dimension.input * inner, dimension.before * inner, dimension.output * inner};
      } else {
        rows *= dimension.output;
        if (found == 2) {
          plane = dimension;
        } else {
          outer.insert(outer.begin(), dimension);
        }
      }
    }
  }

  /// Which of the input's planes the output's shows, or -1.
  int64_t input_plane(int64_t output_plane) const {
    int64_t index = 0, stride = 1;
    for (size_t d = outer.size(); d-- > 0; output_plane /= outer[d].output) {
      const int64_t i = output_plane % outer[d].output - outer[d].before;
      if (i < 0 || i >= outer[d].input) return -1;
      index += i * stride;
      stride *= outer[d].input;
    }
    return index;
  }
};

/// Where the rows of an output go, one after another.
template <class T>
class Rows {
 public:
  Rows(T* to, int64_t size, bool streaming)
      : to_(to),
        size_(size),
        streaming_(streaming),
        together_(streaming ? kBlockBytes / (size * static_cast<int64_t>(sizeof(T))) : 0) {}
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows() {
    flush();
    if (streaming_) stream_fence();
  }

  /// A row of the input in the middle of a row of the constant.
  void show(const T* from, const Dimension& row, T value) {
    T* const out = next();
    fill(out, row.before, value);
    copy_part(out + row.before, from, row.input * static_cast<int64_t>(sizeof(T)),
              streaming_ && together_ < 2);
    const int64_t done = row.before + row.input;
    fill(out + done, row.output - done, value);
  }
  void blank(T value) { std::fill_n(next(), size_, value); }

 private:
  /// Mostly one or two elements.
  static void fill(T* to, int64_t n, T value) {
    for (int64_t i = 0; i < n; ++i) to[i] = value;
  }
  T* next() {
    if (together_ < 2) return std::exchange(to_, to_ + size_);
    if (pending_ == together_) flush();
    return block_ + pending_++ * size_;
  }
  void flush() {
    const int64_t n = std::exchange(pending_, 0) * size_;
    if (n > 0)
      stream_copy(std::exchange(to_, to_ + n), block_, n * static_cast<int64_t>(sizeof(T)));
  }

  T* to_;
  int64_t size_;
  bool streaming_;
  int64_t together_, pending_ = 0;
  alignas(kLine) T block_[kBlockBytes / sizeof(T)];
};

template <class T>
void pad(const Problem& problem, const T* from, T value, T* to) {
  const Dimension &plane = problem.plane, &row = problem.row;
  const bool streaming =
      worth_streaming(problem.rows * row.output * static_cast<int64_t>(sizeof(T)));
  const int64_t grain = std::max<int64_t>(1, kElementsPerTask / row.output);
  parallel_for(0, problem.rows, grain, [&](int64_t begin, int64_t end) {
    Rows<T> rows(to + begin * row.output, row.output, streaming);
    for (int64_t r = begin; r < end;) {
      const int64_t output_plane = r / plane.output;
      const int64_t shown = problem.input_plane(output_plane);
      const int64_t last = std::min(end, (output_plane + 1) * plane.output);
      for (int64_t i = r % plane.output - plane.before; r < last; ++r, ++i) {
        if (shown < 0 || i < 0 || i >= plane.input) {
          rows.blank(value);
        } else {
          rows.show(from + (shown * plane.input + i) * row.input, row, value);
        }
      }
    }
  });
}

/// Whether there is an input to show, as memory has it, and nothing is cut off.
bool is_plain(const Tensor& self, at::IntArrayRef pad) {
  const auto dims = static_cast<size_t>(self.dim());
  return dims > 0 && self.numel() > 0 && pad.size() % 2 == 0 && pad.size() <= 2 * dims &&
         self.is_contiguous() && self.suggest_memory_format() == at::MemoryFormat::Contiguous &&
         !self.is_conj() && !self.is_neg() &&
         std::all_of(pad.begin(), pad.end(), [](int64_t p) { return p >= 0; }) &&
         std::any_of(pad.begin(), pad.end(), [](int64_t p) { return p > 0; });
}

}  // namespace

Tensor constant_pad_nd(const Tensor& self, at::IntArrayRef pad, const at::Scalar& value) {
  const auto composite = [&] {
    return at::compositeexplicitautograd::constant_pad_nd(self, pad, value);
  };
  if (!is_plain(self, pad)) return composite();
  const Problem problem(self.sizes(), pad);
  const int64_t row_bytes = problem.row.output * self.element_size();
  if (row_bytes < kShortRow && !worth_streaming(problem.rows * row_bytes)) return composite();
  std::vector<int64_t> sizes = self.sizes().vec();
  for (size_t p = 0; p < pad.size(); p += 2) sizes[sizes.size() - 1 - p / 2] += pad[p] + pad[p + 1];
  const Tensor number = at::empty({1}, self.options()).fill_(value);  // or raises what fill_ raises
  const Tensor result = at::empty(sizes, self.options());
  visit<EveryType>(moved_as(self.scalar_type()), "constant_pad_nd", [&]<class T>() {
    T filled;
    std::memcpy(&filled, number.const_data_ptr(), sizeof(T));
    alt::kernels::pad(problem, static_cast<const T*>(self.const_data_ptr()), filled,
                      static_cast<T*>(result.mutable_data_ptr()));
  });
  return result;
}

}  // namespace alt::kernels
