// How a convolution on the matrix core is laid out: what a call computes once, before its loops.
//
// A convolution reads a source image and writes a target image. Along one dimension, place q of the
// target sees source element q / step * stride + offset(tap) through those taps (elements of the
// kernel) that belong to it: for a convolution step is 1 and they are all; for a transposed one
// stride is 1, and its stride is the step: a place meets every step-th tap. So the loops know no
// difference.
//
// The target is cut into blocks of places. What the places of a block see of the source, its
// window, is copied with its padding to memory of the thread, where it stays in the second-level
// cache; a window without padding may be read where it is. The matrix of windows is never built:
// element (place, k) is window[place's offset + k's offset].
//
// Places that meet the same taps are a phase, a product of its own over the rows of the packed
// weight for these taps. Where padding is more than 2 % of what a dimension's places see, places at
// its border are phases too, so that nobody multiplies with padding: a quarter of the
// multiplications of a 3x3 kernel on 7x7 images, and half of them on 2x2.
#pragma once

#include <c10/util/SmallVector.h>

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/conv.h"
#include "kernels/window.h"

namespace alt::kernels::conv {

/// An odd number of cache lines, for elements a power of two apart share a set of the cache.
int64_t spread(int64_t elements);

struct Axis {
  Axis(const Geometry& geometry, int dimension, bool transposed, bool split_borders);

  /// Elements of the window of `places` places.
  int64_t window(int64_t places) const {
    return ((places + step - 1) / step - 1) * stride + high - low + 1;
  }
  /// Where the window of the places from `place` on begins in the source.
  int64_t origin(int64_t place) const { return place / step * stride * source_step + low; }
  bool reaches_outside() const;

  /// The places first, first + step, ... below `end`, which meet the same taps.
  struct Class {
    int64_t first, end;
    c10::SmallVector<int64_t, 8> taps;
  };

  int64_t source_size, target_size;
  int64_t step = 1, stride = 1;
  /// Source elements from one of the window to the next: those that a kernel of one element would
  /// skip are left out.
  int64_t source_step = 1;
  c10::SmallVector<int64_t, 8> offsets, residues;  // of each tap: residues modulo step
  int64_t low = 0, high = 0;                       // least and largest offset
  c10::SmallVector<Class, 4> classes;
};

/// A class of each dimension, and the ranges of rows of the packed weight that it meets.
struct Phase {
  std::array<const Axis::Class*, 3> classes;
  c10::SmallVector<Run, 2> runs;
};

/// Places [begin, begin + size) of the target, by dimension; one after the other in memory.
struct Block {
  Extent begin, size;
};

/// Most elements of a window and places of a block, and how many blocks there should be.
struct Budget {
  int64_t window, places, blocks;
};

/// What a window and a tile may take of the second-level cache.
template <class T>
Budget budget_of(int64_t blocks) {
  constexpr int64_t window_bytes = 256 * 1024, places = 400;
  return {window_bytes / static_cast<int64_t>(sizeof(T)), places, blocks};
}

struct Plan {
  /// must_copy: whether windows must be copies, padded or not. split_borders: whether places at
  /// borders may be phases.
  Plan(const Geometry& geometry, bool transposed, const Layout& source, bool must_copy,
       bool split_borders, Budget budget);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  int64_t depth() const { return source_channels * taps; }
  Block block(int64_t index) const;
  int64_t most_places() const { return volume(block_size); }
  /// How many images to take at once: several where one is small, but leaving so many sets.
  int64_t images_at_once(int64_t batch, Budget budget, int64_t sets) const;

  int64_t source_channels, target_channels;  // channels a group
  int64_t taps;
  std::array<Axis, 3> axes;
  Extent block_size, blocks;
  /// Strides of the window, batch from one image's to the next; its elements if it is a copy.
  Layout window;
  int64_t window_size;
  bool copied;
  /// A row of the packed weight for each tap and channel: channel c of tap t is row
  /// tap_rows[t] + c, and sees the window at offsets[row].
  std::vector<int32_t> tap_rows, offsets;
  std::vector<Phase> phases;

 private:
  void choose_blocks(Budget budget);
  void place_rows(const Extent& kernel);
  void find_phases(const Extent& kernel);
};

/// For each place of a block of `images` images, phase after phase: its offset in the window and
/// its number. Calls each(phase, first, end) with the ranges of the phases.
template <class Each>
void for_each_phase(const Plan& plan, const Block& block, int64_t images, int32_t* offsets,
                    int32_t* numbers, Each&& each) {
  const auto& [d_axis, h_axis, w_axis] = plan.axes;
  const Extent& pitch = plan.window.place;
  int64_t count = 0;
  for (const Phase& phase : plan.phases) {
    const int64_t begin = count;
    Extent first, end;
    for (int i = 0; i < 3; ++i) {
      const int64_t step = plan.axes[i].step;
      const Axis::Class& one = *phase.classes[i];
      first[i] = one.first - block.begin[i];
      if (first[i] < 0) first[i] = (first[i] % step + step) % step;
      end[i] = std::min(one.end - block.begin[i], block.size[i]);
    }
    for (int64_t image = 0; image < images; ++image) {
      const int64_t image_offset = image * plan.window.batch;
      for (int64_t d = first[0]; d < end[0]; d += d_axis.step) {
        for (int64_t h = first[1]; h < end[1]; h += h_axis.step) {
          const int64_t row = image_offset + d / d_axis.step * d_axis.stride * pitch[0] +
                              h / h_axis.step * h_axis.stride * pitch[1];
          const int64_t number = ((image * block.size[0] + d) * block.size[1] + h) * block.size[2];
          int64_t at = row + first[2] / w_axis.step * w_axis.stride * pitch[2];
          for (int64_t w = first[2]; w < end[2]; w += w_axis.step) {
            offsets[count] = static_cast<int32_t>(at);
            numbers[count++] = static_cast<int32_t>(number + w);
            at += w_axis.stride * pitch[2];
          }
        }
      }
    }
    each(phase, begin, count);
  }
}

}  // namespace alt::kernels::conv
