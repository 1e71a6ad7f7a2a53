// What a reduction walks: its dimensions, kept and reduced; how its elements are cast on load and
// its results on store.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "loops/convert.h"
#include "ops/reduction.h"

namespace at {
struct TensorIteratorBase;
}

namespace alt {

/// What a reduction walks. Strides are in bytes; the nearest dimension comes first.
struct Reduction {
  struct Kept {
    int64_t size, in;
    std::array<int64_t, 2> out;
  };
  struct Reduced {
    int64_t size, in;
  };
  c10::SmallVector<Kept, 6> kept;
  c10::SmallVector<Reduced, 6> reduced;
  const char* in = nullptr;
  at::ScalarType in_dtype = at::ScalarType::Undefined;
  std::array<char*, 2> out{};
  std::array<at::ScalarType, 2> out_dtype{at::ScalarType::Undefined, at::ScalarType::Undefined};
  /// Elements of an output; outputs.
  int64_t count = 1, outputs = 1;

  /// From an iterator with one input, whose outputs have stride 0 where it reduces.
  explicit Reduction(at::TensorIteratorBase& iter);
  /// Over one dimension; the outputs keep it with size 1, or lack it.
  Reduction(const at::Tensor& input, int64_t dim, std::initializer_list<at::Tensor> outputs);
  /// Of an input and outputs that are no tensors.
  Reduction(c10::ArrayRef<Kept> kept_dims, c10::ArrayRef<Reduced> reduced_dims);
  /// Over everything.
  Reduction(const at::Tensor& input, std::initializer_list<at::Tensor> outputs);

 private:
  void point_at(const at::Tensor& input, std::initializer_list<at::Tensor> outputs);
  void sort_and_merge();
};

namespace reduce {

inline constexpr int64_t kRow = 1024;  // outputs at once, at most

/// A position in the reduced dimensions, moved forward in runs along the nearest one.
class Cursor {
 public:
  Cursor(const Reduction& shape, const char* base, int64_t position) : shape_(shape), at_(base) {
    for (size_t d = 0; d < shape.reduced.size(); ++d) {
      index_[d] = position % shape.reduced[d].size;
      position /= shape.reduced[d].size;
      at_ += index_[d] * shape.reduced[d].in;
    }
  }
  const char* at() const { return at_; }
  /// Elements left in the present run.
  int64_t run() const { return shape_.reduced.empty() ? 1 : shape_.reduced[0].size - index_[0]; }
  /// n <= run().
  void advance(int64_t n) {
    if (shape_.reduced.empty()) return;
    index_[0] += n;
    at_ += n * shape_.reduced[0].in;
    for (size_t d = 0; d + 1 < shape_.reduced.size() && index_[d] == shape_.reduced[d].size; ++d) {
      at_ += shape_.reduced[d + 1].in - shape_.reduced[d].in * shape_.reduced[d].size;
      index_[d] = 0;
      ++index_[d + 1];
    }
  }

 private:
  const Reduction& shape_;
  const char* at_;
  // Only as many as there are dimensions are ever set: a tensor has at most 64.
  std::array<int64_t, 64> index_;
};

/// How elements of the input become the operator's Input.
template <class Input>
struct Loader {
  ConvertFunction function;
  at::ScalarType dtype;  // in memory; undefined where elements are not what they are cast to
  int64_t element_size;  // in memory

  Loader(const Reduction& shape, ConvertFunction special) {
    constexpr at::ScalarType kTo = c10::CppTypeToScalarType<Input>::value;
    function = special != nullptr ? special : convert_function(kTo, shape.in_dtype);
    dtype = special == nullptr ? shape.in_dtype : at::ScalarType::Undefined;
    element_size = static_cast<int64_t>(c10::elementSize(shape.in_dtype));
  }
  void gather(Input* to, const char* from, int64_t stride, int64_t n) const {
    function(to, sizeof(Input), from, stride, n);
  }
};

template <class T>
inline constexpr bool is_two_v = false;
template <class A, class B>
inline constexpr bool is_two_v<Two<A, B>> = true;

/// Casts on store: a row of outputs into each output tensor.
template <class Op>
class Storer {
 public:
  using Acc = typename Op::Acc;
  using Result = decltype(std::declval<const Op&>().project(std::declval<Acc>(), int64_t{}));

  explicit Storer(const Reduction& shape) : shape_(shape) {
    if constexpr (is_two_v<Result>) {
      set_function<decltype(Result::first)>(0);
      set_function<decltype(Result::second)>(1);
    } else {
      set_function<Result>(0);
    }
  }

  void store(const Op& op, const Acc* row, int64_t width, std::array<char*, 2> to,
             std::array<int64_t, 2> stride) const {
    if constexpr (is_two_v<Result>) {
      decltype(Result::first) first[kRow];
      decltype(Result::second) second[kRow];
      for (int64_t i = 0; i < width; ++i) {
        const Result result = op.project(row[i], shape_.count);
        first[i] = result.first;
        second[i] = result.second;
      }
      functions_[0](to[0], stride[0], first, sizeof first[0], width);
      // An operator with two results may be asked for the first alone.
      if (to[1] != nullptr) functions_[1](to[1], stride[1], second, sizeof second[0], width);
    } else {
      Result result[kRow];
      for (int64_t i = 0; i < width; ++i) result[i] = op.project(row[i], shape_.count);
      functions_[0](to[0], stride[0], result, sizeof(Result), width);
    }
  }

 private:
  template <class T>
  void set_function(size_t k) {
    if (shape_.out[k] == nullptr) return;
    functions_[k] = convert_function(shape_.out_dtype[k], c10::CppTypeToScalarType<T>::value);
  }

  const Reduction& shape_;
  std::array<ConvertFunction, 2> functions_{};
};

/// The rows of outputs that the kept dimensions make, and where each begins.
struct Rows {
  const Reduction& shape;
  int64_t near, width, per_line, count;

  Rows(const Reduction& reduction, int64_t wanted_width)
      : shape(reduction),
        near(reduction.kept.empty() ? 1 : reduction.kept[0].size),
        width(std::clamp<int64_t>(wanted_width, 1, near)),
        per_line((near + width - 1) / width),
        count(reduction.outputs / near * per_line) {}

  struct Row {
    const char* in;
    std::array<char*, 2> out;
    int64_t width;
  };
  Row operator[](int64_t row) const {
    Row result{shape.in, shape.out, width};
    if (shape.kept.empty()) return result;
    const int64_t begin = row % per_line * width;
    result.width = std::min(width, near - begin);
    move(result, shape.kept[0], begin);
    row /= per_line;
    for (size_t d = 1; d < shape.kept.size(); ++d) {
      move(result, shape.kept[d], row % shape.kept[d].size);
      row /= shape.kept[d].size;
    }
    return result;
  }
  std::array<int64_t, 2> stride() const {
    return shape.kept.empty() ? std::array<int64_t, 2>{} : shape.kept[0].out;
  }

 private:
  static void move(Row& row, const Reduction::Kept& dim, int64_t n) {
    row.in += n * dim.in;
    for (size_t k = 0; k < 2; ++k) {
      if (row.out[k] != nullptr) row.out[k] += n * dim.out[k];
    }
  }
};

}  // namespace reduce
}  // namespace alt
