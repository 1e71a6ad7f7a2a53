// Upsampling and padding: along each of three dimensions, an output is a few inputs with weights.
//
// Tensors are planes x D x H x W x inner, contiguous; missing dimensions have size 1 and their own
// element for a tap. What the taps are, tables in the GPU's memory say: those of output i along
// dimension d are numbers first[i] to first[i + 1] of `index` and `weight` (the bits of doubles). A
// gradient is the same with the tables turned round, so that nothing is added by atomics.
#pragma once

#include "loops/block.cuh"
#include "loops/math.h"

namespace alt::kernels {

namespace resample {
/// kIn and on: one a dimension. The last three are places in the table.
enum Integers { kPlanes, kInner, kIn, kOut = 5, kFirst = 8, kIndex = 11, kWeight = 14 };

struct Tables {
  const int64_t* g;
  const int64_t* table;
  ALT_FN explicit Tables(const KernelArgs& a)
      : g(a.integers), table(data_of<int64_t>(a.tensors[2])) {}
  ALT_FN int64_t begin(int d, int64_t output) const { return table[g[kFirst + d] + output]; }
  ALT_FN int64_t end(int d, int64_t output) const { return table[g[kFirst + d] + output + 1]; }
  ALT_FN int64_t input(int d, int64_t tap) const { return table[g[kIndex + d] + tap]; }
  ALT_FN double weight(int d, int64_t tap) const {
    return __builtin_bit_cast(double, table[g[kWeight + d] + tap]);
  }
  ALT_FN int64_t outputs() const {
    return g[kPlanes] * g[kOut] * g[kOut + 1] * g[kOut + 2] * g[kInner];
  }
};

/// Where output `i` lies.
struct Place {
  int64_t plane, at[3], inner;
  ALT_FN Place(const int64_t* g, int64_t i) : inner(i % g[kInner]) {
    i /= g[kInner];
    for (int d = 2; d >= 0; --d) {
      at[d] = i % g[kOut + d];
      i /= g[kOut + d];
    }
    plane = i;
  }
  /// In the input, at other coordinates.
  ALT_FN int64_t input(const int64_t* g, int64_t z, int64_t y, int64_t x) const {
    return (((plane * g[kIn] + z) * g[kIn + 1] + y) * g[kIn + 2] + x) * g[kInner] + inner;
  }
};
}  // namespace resample

/// tensors: output, input, tables.
template <class T>
ALT_FN void resample_sum(const KernelArgs& a) {
  using namespace resample;
  using A = opmath_t<T>;
  const Tables tables(a);
  const T* from = data_of<T>(a.tensors[1]);
  for (int64_t i = first_index(); i < tables.outputs(); i += grid_step()) {
    const Place p(tables.g, i);
    A sum(0);
    for (int64_t z = tables.begin(0, p.at[0]); z < tables.end(0, p.at[0]); ++z) {
      A slice(0);
      for (int64_t y = tables.begin(1, p.at[1]); y < tables.end(1, p.at[1]); ++y) {
        A row(0);
        for (int64_t x = tables.begin(2, p.at[2]); x < tables.end(2, p.at[2]); ++x) {
          const int64_t at =
              p.input(tables.g, tables.input(0, z), tables.input(1, y), tables.input(2, x));
          row = fma(static_cast<A>(tables.weight(2, x)), convert<A>(from[at]), row);
        }
        slice = fma(static_cast<A>(tables.weight(1, y)), row, slice);
      }
      sum = fma(static_cast<A>(tables.weight(0, z)), slice, sum);
    }
    data_of<T>(a.tensors[0])[i] = convert<T>(sum);
  }
}

/// For tables of one tap for each output, with weight 1: elements move. tensors: as above.
template <class T>
ALT_FN void resample_move(const KernelArgs& a) {
  using namespace resample;
  const Tables tables(a);
  for (int64_t i = first_index(); i < tables.outputs(); i += grid_step()) {
    const Place p(tables.g, i);
    const int64_t at = p.input(tables.g, tables.input(0, p.at[0]), tables.input(1, p.at[1]),
                               tables.input(2, p.at[2]));
    data_of<T>(a.tensors[0])[i] = data_of<T>(a.tensors[1])[at];
  }
}

}  // namespace alt::kernels
