// Operators that read or write where indices say: index, index_put, gather, scatter, index_select,
// take, embedding.
//
// An index out of range touches nothing: it is noted (loops/failure.cuh) and its element skipped.
// Elements are moved as what they are; only what adds knows their dtype. Adding goes by atomics,
// whose order is the scheduler's: integer sums are exact, floating-point ones may differ in their
// last places from run to run, as stock's on CUDA do.
#pragma once

#include "loops/block.cuh"
#include "loops/divide.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace index {

/// `i`, counted from the end where it is negative; -1 after a note where it is out of range.
template <class I>
ALT_FN int64_t checked(I i, int64_t size, bool wraps = true) {
  const int64_t given = static_cast<int64_t>(i);
  if (given >= size || given < (wraps ? -size : 0)) {
    fail(FailureKind::kIndexOutOfRange, given, size);
    return -1;
  }
  return given < 0 ? given + size : given;
}

/// Of gather and scatter, which take no negative index, along dimension `dim` of a tensor.
template <class I>
ALT_FN int64_t checked(I i, const TensorArgs& of, int64_t dim) {
  const int64_t given = static_cast<int64_t>(i), size = of.ndim == 0 ? 1 : of.sizes[dim];
  if (given >= 0 && given < size) return given;
  fail(FailureKind::kIndexOfDimension, given, size, dim);
  return -1;
}

/// *to = combine(*to) by compare and swap on the aligned word that holds it.
template <class T, class Combine>
ALT_FN void atomic_update(T* to, Combine combine) {
  if constexpr (sizeof(T) == 8) {
    using Word = unsigned long long;
    Word* word = reinterpret_cast<Word*>(to);
    Word seen = *word;
    for (;;) {
      const T next = combine(__builtin_bit_cast(T, seen));
      const Word found = atomicCAS(word, seen, __builtin_bit_cast(Word, next));
      if (found == seen) return;
      seen = found;
    }
  } else {
    const uintptr_t address = reinterpret_cast<uintptr_t>(to);
    unsigned* word = reinterpret_cast<unsigned*>(address & ~uintptr_t(3));
    const unsigned shift = static_cast<unsigned>(address & 3) * 8;
    const unsigned mask = sizeof(T) == 4 ? ~0u : ((1u << (8 * sizeof(T) % 32)) - 1) << shift;
    unsigned seen = *word;
    for (;;) {
      using Bits = std::make_unsigned_t<std::conditional_t<
          sizeof(T) == 1, int8_t, std::conditional_t<sizeof(T) == 2, int16_t, int32_t>>>;
      const T next = combine(__builtin_bit_cast(T, static_cast<Bits>((seen & mask) >> shift)));
      const unsigned bits = static_cast<unsigned>(__builtin_bit_cast(Bits, next)) << shift;
      const unsigned found = atomicCAS(word, seen, (seen & ~mask) | bits);
      if (found == seen) return;
      seen = found;
    }
  }
}

/// What becomes of an element that an index names; all but the first by atomics.
enum Mode { kAssign, kAdd, kMultiply, kMaximum, kMinimum };

template <class T>
ALT_FN T combined(Mode mode, T held_given, T x_given) {
  using A = opmath_t<T>;
  const A held = convert<A>(held_given), x = convert<A>(x_given);
  if constexpr (std::is_same_v<T, bool>) {
    return mode == kMultiply || mode == kMinimum ? held && x : held || x;
  } else {
    if (mode == kMultiply) return convert<T>(static_cast<A>(held * x));
    if (mode == kMaximum) return convert<T>(maximum(held, x));
    if (mode == kMinimum) return convert<T>(minimum(held, x));
    return convert<T>(static_cast<A>(held + x));
  }
}

template <class T>
ALT_FN void atomic_add(T* to, T x) {
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    atomicAdd(to, x);
  } else {
    atomic_update(to, [&](T held) { return combined(kAdd, held, x); });
  }
}

template <class T>
ALT_FN void assign_or_add(Mode mode, T* to, T x) {
  if (mode == kAssign) {
    *to = x;
  } else {
    atomic_add(to, x);
  }
}

template <class T>
ALT_FN void update(Mode mode, T* to, T x) {
  if (mode <= kAdd) {
    assign_or_add(mode, to, x);
  } else {
    atomic_update(to, [&](T held) { return combined(mode, held, x); });
  }
}

enum Integers { kDim, kUnsigned = 0, kMode, kSizes = 2, kStrides = 10 };

/// The offset of element i of `shape` in a tensor with `strides` of the same dimensions, but for
/// dimension `dim`, where `at` is its coordinate.
ALT_FN int64_t offset_with(const TensorArgs& shape, const TensorArgs& tensor, int64_t i,
                           int64_t dim, int64_t at) {
  int64_t offset = 0;
  for (int64_t d = shape.ndim - 1; d >= 0; --d) {
    const int64_t coordinate = i % shape.sizes[d];
    i /= shape.sizes[d];
    offset += (d == dim ? at : coordinate) * tensor.strides[d];
  }
  return offset;
}
ALT_FN int64_t numel(const TensorArgs& a) {
  int64_t n = 1;
  for (int64_t d = 0; d < a.ndim; ++d) n *= a.sizes[d];
  return n;
}

}  // namespace index

/// out[i, j] = input[index[i, j], j] and the like, kDim being the dimension. tensors: output,
/// input, index (of the output's sizes).
template <class T, class I>
ALT_FN void gather(const KernelArgs& a) {
  const TensorArgs &output = a.tensors[0], &input = a.tensors[1], &indices = a.tensors[2];
  const int64_t dim = a.integers[index::kDim];
  const int64_t n = index::numel(output);
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const I given = data_of<I>(indices)[offset_at(indices, i)];
    const int64_t at = index::checked(given, input, dim);
    if (at < 0) continue;
    data_of<T>(output)[offset_at(output, i)] =
        data_of<T>(input)[index::offset_with(output, input, i, dim, at)];
  }
}

/// self[index[i, j], j] = source[i, j], or what kMode says. tensors: self, index, source (of no
/// dimensions: one number for all).
template <class T, class I>
ALT_FN void scatter(const KernelArgs& a) {
  const TensorArgs &self = a.tensors[0], &indices = a.tensors[1], &source = a.tensors[2];
  const int64_t dim = a.integers[index::kDim];
  const int64_t n = index::numel(indices);
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const I given = data_of<I>(indices)[offset_at(indices, i)];
    const int64_t at = index::checked(given, self, dim);
    if (at < 0) continue;
    const T x = data_of<T>(source)[index::offset_with(indices, source, i, -1, 0)];
    T* to = data_of<T>(self) + index::offset_with(indices, self, i, dim, at);
    index::update(static_cast<index::Mode>(a.integers[index::kMode]), to, x);
  }
}

namespace index {
/// The offset that the index tensors from tensors[2] on give, or -1: PyTorch's front-end has made
/// all operands of the result's sizes; indexed dimension k has size integers[kSizes + k] and, in
/// elements, stride integers[kStrides + k]. kUnsigned: none is counted from the end.
template <class I>
ALT_FN int64_t indexed_offset(const KernelArgs& a, int64_t i) {
  int64_t offset = 0;
  for (int k = 0; k < kMaxTensors - 2 && a.tensors[2 + k].data != nullptr; ++k) {
    const TensorArgs& indices = a.tensors[2 + k];
    const int64_t at = checked(data_of<I>(indices)[offset_at(indices, i)], a.integers[kSizes + k],
                               a.integers[kUnsigned] == 0);
    if (at < 0) return -1;
    offset += at * a.integers[kStrides + k];
  }
  return offset;
}
}  // namespace index

/// output = self[i0, i1, ...]. tensors: output, self (stride 0 in indexed dimensions), indices.
template <class T, class I>
ALT_FN void index_get(const KernelArgs& a) {
  const TensorArgs &output = a.tensors[0], &self = a.tensors[1];
  const int64_t n = index::numel(output);
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t extra = index::indexed_offset<I>(a, i);
    if (extra < 0) continue;
    data_of<T>(output)[offset_at(output, i)] = data_of<T>(self)[offset_at(self, i) + extra];
  }
}

/// self[i0, i1, ...] = values, or += where kMode is kAdd. tensors: self (as above), values,
/// indices.
template <class T, class I>
ALT_FN void index_put(const KernelArgs& a) {
  const TensorArgs &self = a.tensors[0], &values = a.tensors[1];
  const int64_t n = index::numel(values);
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t extra = index::indexed_offset<I>(a, i);
    if (extra < 0) continue;
    const T x = data_of<T>(values)[offset_at(values, i)];
    T* to = data_of<T>(self) + offset_at(self, i) + extra;
    index::assign_or_add(static_cast<index::Mode>(a.integers[index::kMode]), to, x);
  }
}

/// output[.., i, ..] = self[.., index[i], ..] along kDim. tensors: output, self, index.
template <class T, class I>
ALT_FN void index_select(const KernelArgs& a) {
  const TensorArgs &output = a.tensors[0], &self = a.tensors[1], &indices = a.tensors[2];
  const int64_t dim = a.integers[index::kDim];
  const int64_t n = index::numel(output);
  int64_t inside = 1;  // elements of one index
  for (int64_t d = dim + 1; d < output.ndim; ++d) inside *= output.sizes[d];
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t place = i / inside % output.sizes[dim];
    const I given = data_of<I>(indices)[place * indices.strides[0]];
    const int64_t at = index::checked(given, self.sizes[dim], false);
    if (at < 0) continue;
    data_of<T>(output)[offset_at(output, i)] =
        data_of<T>(self)[index::offset_with(output, self, i, dim, at)];
  }
}

/// self[.., index[i], ..] += source[.., i, ..] along kDim. tensors: self, source, index.
template <class T, class I>
ALT_FN void index_add(const KernelArgs& a) {
  const TensorArgs &self = a.tensors[0], &source = a.tensors[1], &indices = a.tensors[2];
  using A = opmath_t<T>;
  const int64_t dim = a.integers[index::kDim];
  const int64_t n = index::numel(source);
  int64_t inside = 1;
  for (int64_t d = dim + 1; d < source.ndim; ++d) inside *= source.sizes[d];
  const A alpha = static_cast<A>(a.numbers[0]);
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t place = i / inside % source.sizes[dim];
    const I given = data_of<I>(indices)[place * indices.strides[0]];
    const int64_t at = index::checked(given, self.sizes[dim], false);
    if (at < 0) continue;
    const A x = convert<A>(data_of<T>(source)[offset_at(source, i)]);
    index::atomic_add(data_of<T>(self) + index::offset_with(source, self, i, dim, at),
                      convert<T>(x * alpha));
  }
}

/// The gradient of an embedding's weight (zeroed before), by atomics; the row of padding and, where
/// counts are given, rows divided by how often they occur. tensors: result (rows x width),
/// gradient (n x width), index (n), counts (rows) or none.
template <class T, class I>
ALT_FN void embedding_backward(const KernelArgs& a) {
  const TensorArgs &result = a.tensors[0], &gradient = a.tensors[1], &indices = a.tensors[2];
  using A = opmath_t<T>;
  const int64_t padding = a.integers[0];
  const int64_t width = gradient.sizes[1];
  const int64_t n = gradient.sizes[0] * width;
  for (int64_t i = first_index(); i < n; i += grid_step()) {
    const int64_t row = i / width, column = i % width;
    const int64_t at =
        index::checked(data_of<I>(indices)[row * indices.strides[0]], result.sizes[0], false);
    if (at < 0 || at == padding) continue;
    A x =
        convert<A>(data_of<T>(gradient)[row * gradient.strides[0] + column * gradient.strides[1]]);
    if (a.tensors[3].data != nullptr) {
      x = x / static_cast<A>(data_of<I>(a.tensors[3])[at * a.tensors[3].strides[0]]);
    }
    index::atomic_add(data_of<T>(result) + at * result.strides[0] + column * result.strides[1],
                      convert<T>(x));
  }
}

}  // namespace alt::kernels
