// 3x3 convolution of stride 1 by Winograd's F(2x2, 3x3): 16 multiplications for four places of the
// target, where the implicit gemm (conv_gemm.cpp) needs 36. Forward, for the input's gradient,
// which is the same with the taps in reverse order (conv_winograd.cpp), and for the weight's
// (conv_winograd_weight.cpp).
//
// A tile of 4x4 elements of the source, d, gives 2x2 places of the target, y:
//
//   y = A' [(G g G') * (B' d B)] A    with    B' = 1  0 -1  0    G = 1    0   0     A' = 1  1  1  0
//                                                  0  1  1  0        1/2  1/2 1/2        0  1 -1 -1
//                                                  0 -1  1  0        1/2 -1/2 1/2
//                                                  0  1  0 -1        0    0   1
//
//   and the gradient of g, of one tile, is G' [(A dy A') * (B' d B)] G.
//
// The elementwise product, summed over channels or over tiles, is 16 matrix products. Factors are 1
// and 1/2 and the sums are four to nine times shorter, so the error is about the implicit gemm's;
// that of F(4x4, 3x3) is ten times as large. An infinite element makes NaNs of what it meets.
//
// All transforms have channels as lanes: images are transposed on their way in and out, a vector of
// channels at a time, so it does not matter how tiles lie in rows and images.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/conv.h"
#include "kernels/conv_block.h"
#include "kernels/conv_pack.h"
#include "runtime/rounding.h"

namespace alt::kernels::conv {

namespace winograd {

constexpr int64_t kSide = 4, kStep = 2, kProducts = kSide * kSide, kTaps = 9;

/// One dimension of the images.
struct Side {
  Side(const Geometry& g, int i, bool transposed)
      : source(transposed ? g.small[i] : g.large[i]),
        target(transposed ? g.large[i] : g.small[i]),
        padding(transposed ? 2 - g.padding[i] : g.padding[i]),
        tiles(divide_up(target, kStep)) {}

  int64_t source, target, padding, tiles;
};

/// Tiles rows x columns from (row, column) on of some images, numbered in this order.
struct Tiles {
  int64_t image, images, row, rows, column, columns;

  int64_t of_image() const { return rows * columns; }
  int64_t count() const { return images * of_image(); }
};

/// Elements height x width from (top, left) on of an image, which may reach out of it: zero there.
struct Patch {
  Patch(int64_t top, int64_t left, int64_t height, int64_t width, int64_t image_height,
        int64_t image_width)
      : top(top),
        left(left),
        height(height),
        width(width),
        image_width(image_width),
        rows(top, 1, height, image_height),
        columns(left, 1, width, image_width) {}

  int64_t size() const { return height * width; }

  int64_t top, left, height, width, image_width;
  Inside rows, columns;
};

/// How the tiles are cut into blocks: of at most `most` tiles, and as many blocks as are wanted.
struct Tiling {
  Tiling(const Geometry& g, bool transposed, int64_t most, int64_t wanted)
      : height(g, 1, transposed), width(g, 2, transposed), batch(g.batch) {
    columns = std::min(width.tiles, most);
    const int64_t rows_wanted = divide_up(height.tiles, divide_up(wanted, batch));
    rows = columns < width.tiles ? 1 : std::min(most / columns, rows_wanted);
    rows = divide_up(height.tiles, divide_up(height.tiles, rows));
    if (columns == width.tiles && rows == height.tiles) {
      images = std::clamp<int64_t>(most / (rows * columns), 1, divide_up(batch, wanted));
    }
    down = divide_up(height.tiles, rows);
    across = divide_up(width.tiles, columns);
    sets = divide_up(batch, images);
  }

  int64_t count() const { return sets * down * across; }
  int64_t all_tiles() const { return batch * height.tiles * width.tiles; }
  int64_t most_tiles() const { return images * rows * columns; }
  /// Elements of the largest patch of the source.
  int64_t most_seen() const { return (rows * kStep + 2) * (columns * kStep + 2); }

  Tiles block(int64_t index) const {
    const int64_t column = index % across * columns, row = index / across % down * rows;
    const int64_t set = index / across / down, image = set * batch / sets;
    return {.image = image,
            .images = (set + 1) * batch / sets - image,
            .row = row,
            .rows = std::min(rows, height.tiles - row),
            .column = column,
            .columns = std::min(columns, width.tiles - column)};
  }

  Patch source(const Tiles& tiles) const {
    return {tiles.row * kStep - height.padding,
            tiles.column * kStep - width.padding,
            tiles.rows * kStep + 2,
            tiles.columns * kStep + 2,
            height.source,
            width.source};
  }
  Patch target(const Tiles& tiles) const {
    return {tiles.row * kStep,     tiles.column * kStep, tiles.rows * kStep,
            tiles.columns * kStep, height.target,        width.target};
  }

  Side height, width;
  int64_t batch, images = 1, rows, columns, down, across, sets;
};

/// Where the elements of the rows of a patch lie in its copy, from the first of them on, if they
/// follow one another in memory; empty if not.
inline std::vector<int32_t> spots_of(const Patch& patch, const Layout& layout) {
  const int64_t count = patch.columns.last - patch.columns.first;
  std::vector<int32_t> spots;
  if (layout.channel == 1 || count != patch.image_width || layout.place[1] != count) return spots;
  for (int64_t row = 0; row < patch.rows.last - patch.rows.first; ++row) {
    for (int64_t x = 0; x < count; ++x) {
      spots.push_back(static_cast<int32_t>(row * patch.width + x));
    }
  }
  return spots;
}

/// What of a patch is in the image, of up to a vector of channels: copy[row][column][lane].
template <class S, class T>
void copy_patch(const Patch& patch, const std::vector<int32_t>& spots, const S* image,
                const Layout& layout, int channels, T* copy) {
  constexpr int64_t side = Vec<T>::size;
  const int64_t rows = patch.rows.last - patch.rows.first;
  const int64_t count = patch.columns.last - patch.columns.first;
  const S* const from = image + (patch.top + patch.rows.first) * layout.place[1] +
                        (patch.left + patch.columns.first) * layout.place[2];
  T* const to = copy + (patch.rows.first * patch.width + patch.columns.first) * side;
  if (!spots.empty()) {
    copy_transposed(from, layout.channel, channels, rows * count, side, to,
                    [&](int64_t k) { return spots[k]; });
    return;
  }
  for (int64_t row = 0; row < rows; ++row) {
    const S* const line = from + row * layout.place[1];
    T* const place = to + row * patch.width * side;
    if (layout.channel == 1) {
      for (int64_t x = 0; x < count; ++x) {
        load_lanes<S>(line + x * layout.place[2], channels).store(place + x * side);
      }
    } else {
      copy_transposed(line, layout.channel, channels, count, side, place,
                      [](int64_t k) { return k; });
    }
  }
}

/// Transforms of a patch of each of some images: transform(copy, to) for each vector of channels,
/// to[tile * pitch + channel]. `copy` is memory for a patch.
template <class S, class T, class Transform>
void transform_patches(const Patch& patch, const Tiles& tiles, const S* images,
                       const Layout& layout, int64_t channels, int64_t pitch, T* copy, T* to,
                       Transform&& transform) {
  constexpr int64_t side = Vec<T>::size;
  std::fill_n(copy, patch.size() * side, T(0));
  const std::vector<int32_t> spots = spots_of(patch, layout);
  for (int64_t i = 0; i < tiles.images; ++i) {
    for (int64_t c = 0; c < channels; c += side) {
      copy_patch(patch, spots, images + i * layout.batch + c * layout.channel, layout,
                 static_cast<int>(std::min(channels - c, side)), copy);
      transform(copy, to + i * tiles.of_image() * pitch + c);
    }
  }
}

/// B' d B of rows x columns tiles of a patch, to[tile * pitch] of each product. Neighbouring tiles
/// share two columns.
template <class T>
void transform_source(const T* patch, int64_t rows, int64_t columns, T* to, int64_t stride,
                      int64_t pitch) {
  using V = Vec<T>;
  const int64_t line = (columns * kStep + 2) * V::size;
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = patch + r * kStep * line;
    V t[kSide][kSide];
    const auto next_column = [&](int j) {
      const V a = V::load(from), b = V::load(from + line), c = V::load(from + 2 * line),
              d = V::load(from + 3 * line);
      t[0][j] = a - c;
      t[1][j] = b + c;
      t[2][j] = c - b;
      t[3][j] = b - d;
      from += V::size;
    };
    next_column(2);
    next_column(3);
    for (int64_t column = 0; column < columns; ++column, to += pitch) {
#pragma GCC unroll 4
      for (int i = 0; i < kSide; ++i) {
        t[i][0] = t[i][2];
        t[i][1] = t[i][3];
      }
      next_column(2);
      next_column(3);
#pragma GCC unroll 4
      for (int i = 0; i < kSide; ++i) {
        T* const row = to + i * kSide * stride;
        (t[i][0] - t[i][2]).store(row);
        (t[i][1] + t[i][2]).store(row + stride);
        (t[i][2] - t[i][1]).store(row + 2 * stride);
        (t[i][1] - t[i][3]).store(row + 3 * stride);
      }
    }
  }
}

/// The 16 products of `count` rows and a panel of `groups` vectors, put to or added to
/// to[product][row][lane]. The strides are from a product to the next.
template <class T>
void multiply_products(int64_t count, int groups, int64_t depth, blas::Rows<T> rows,
                       int64_t rows_stride, const T* panel, int64_t panel_stride, bool add, T* to,
                       int64_t stride) {
  const int64_t blocks = divide_up(count, blas::block_rows(groups));
  const int64_t width = groups * Vec<T>::size;
  blas::Target<T> target{to, width};
  target.add.fill(add);
  for (int g = 0; g < groups; ++g) {
    target.offset[g] = g * Vec<T>::size;
    target.lanes[g] = Vec<T>::size;
  }
  for (int64_t product = 0; product < kProducts; ++product) {
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t begin = i * count / blocks, end = (i + 1) * count / blocks;
      const T* const first = rows.data + product * rows_stride + begin * rows.stride;
      target.data = to + product * stride + begin * target.row_stride;
      blas::find_block<T>(groups, end - begin)(depth, {first, rows.stride, rows.step},
                                               {panel + product * panel_stride, width}, target);
    }
  }
}

/// Both sides are 3 wide, with stride and dilation 1.
inline bool is_three_by_three(const Geometry& g) {
  for (int i = 0; i < 3; ++i) {
    const bool flat = g.kernel[i] == 1 && g.large[i] == 1 && g.small[i] == 1;
    const bool three = g.kernel[i] == 3 && g.padding[i] <= 2;
    if (g.stride[i] != 1 || g.dilation[i] != 1 || !(i == 0 ? flat : three)) return false;
  }
  return true;
}

// For the choice: multiplications that take as long as the transforms of a tile's source and target
// of a channel, and how many channels make it worth while, and how many times as fast.
constexpr double kOfSource = 80, kOfTarget = 64, kWorth = 1.1;
constexpr int64_t kFewestChannels = 16;

}  // namespace winograd
}  // namespace alt::kernels::conv
