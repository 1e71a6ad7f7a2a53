#include "kernels/conv_plan.h"

#include <algorithm>

namespace alt::kernels::conv {

int64_t spread(int64_t elements) {
  constexpr int64_t line = 16;
  return (divide_up(elements, line) | 1) * line;
}

namespace {

constexpr size_t kMostClasses = 8;
constexpr int64_t kPaddingWorthPhases = 50;
// Phases at the border have few rows, and their taps are no range: it takes channels to pay.
constexpr int64_t kChannelsWorthPhases = 16;

Layout window_layout(const Extent& extent, int64_t channels, bool channels_last) {
  if (!channels_last) {
    const int64_t channel = spread(volume(extent));
    return {channels * channel, channel, {extent[1] * extent[2], extent[2], 1}};
  }
  const int64_t pixel = channels <= 16 ? channels : spread(channels);
  return {volume(extent) * pixel, 1, {extent[1] * extent[2] * pixel, extent[2] * pixel, pixel}};
}

}  // namespace

Axis::Axis(const Geometry& g, int i, bool transposed, bool split_borders)
    : source_size(transposed ? g.small[i] : g.large[i]),
      target_size(transposed ? g.large[i] : g.small[i]) {
  (transposed ? step : g.kernel[i] == 1 ? source_step : stride) = g.stride[i];
  bool first = true;
  for (int64_t tap = 0; tap < g.kernel[i]; ++tap) {
    const int64_t reach = tap * g.dilation[i] - g.padding[i];
    const int64_t residue = transposed ? (reach % step + step) % step : 0;
    const int64_t offset = transposed ? (residue - reach) / step : reach;
    offsets.push_back(offset);
    residues.push_back(residue);
    low = first ? offset : std::min(low, offset);
    high = first ? offset : std::max(high, offset);
    first = false;
  }
  const auto places_of = [&](int64_t residue) {
    return residue < target_size ? (target_size - residue - 1) / step + 1 : 0;
  };
  /// The places of its residue, counted in steps, that see the source through a tap.
  const auto seeing = [&](size_t tap) {
    return Inside(offsets[tap], stride * source_step, places_of(residues[tap]), source_size);
  };
  int64_t pairs = 0, padding = 0;
  for (size_t tap = 0; tap < offsets.size(); ++tap) {
    const Inside inside = seeing(tap);
    pairs += places_of(residues[tap]);
    padding += places_of(residues[tap]) - (inside.last - inside.first);
  }
  const bool split = split_borders && padding * kPaddingWorthPhases > pairs;
  for (int64_t residue = 0; residue < std::min(step, target_size); ++residue) {
    const int64_t places = places_of(residue);
    c10::SmallVector<int64_t, 16> cuts{0, places};
    for (size_t tap = 0; split && tap < offsets.size(); ++tap) {
      if (residues[tap] != residue) continue;
      cuts.push_back(seeing(tap).first);
      cuts.push_back(seeing(tap).last);
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    if (cuts.size() > kMostClasses + 1) cuts = {0, places};
    for (size_t i = 0; i + 1 < cuts.size(); ++i) {
      Class one{.first = residue + cuts[i] * step,
                .end = std::min(residue + cuts[i + 1] * step, target_size),
                .taps = {}};
      for (size_t tap = 0; tap < offsets.size(); ++tap) {
        const Inside inside = seeing(tap);
        if (residues[tap] == residue &&
            (cuts.size() == 2 || (inside.first <= cuts[i] && cuts[i] < inside.last))) {
          one.taps.push_back(static_cast<int64_t>(tap));
        }
      }
      classes.push_back(std::move(one));
    }
  }
}

bool Axis::reaches_outside() const {
  return low < 0 || origin(target_size - 1) + high - low >= source_size;
}

Plan::Plan(const Geometry& g, bool transposed, const Layout& source, bool must_copy,
           bool split_borders, Budget budget)
    : source_channels(g.source_channels_a_group(transposed)),
      target_channels(g.target_channels_a_group(transposed)),
      taps(g.kernel_volume()),
      axes{Axis(g, 0, transposed, split_borders && source_channels >= kChannelsWorthPhases),
           Axis(g, 1, transposed, split_borders && source_channels >= kChannelsWorthPhases),
           Axis(g, 2, transposed, split_borders && source_channels >= kChannelsWorthPhases)},
      copied(must_copy || std::any_of(axes.begin(), axes.end(),
                                      [](const Axis& axis) { return axis.reaches_outside(); })) {
  choose_blocks(budget);
  if (copied) {
    const Extent extent{axes[0].window(block_size[0]), axes[1].window(block_size[1]),
                        axes[2].window(block_size[2])};
    window = window_layout(extent, source_channels, source.channel == 1 && source_channels > 1);
  } else {
    window = source;
    for (int i = 0; i < 3; ++i) window.place[i] *= axes[i].source_step;
  }
  window_size = copied ? window.batch : 0;
  place_rows(g.kernel);
  find_phases(g.kernel);
}

/// The largest blocks within the budget: all of the target, or some depths of it, or some rows of
/// one, or some places of a row. A block is as many steps, or one place.
void Plan::choose_blocks(Budget budget) {
  block_size = {1, 1, 1};
  const auto fits = [&] {
    return volume(block_size) <= budget.places &&
           (!copied || source_channels * axes[0].window(block_size[0]) *
                               axes[1].window(block_size[1]) * axes[2].window(block_size[2]) <=
                           budget.window);
  };
  for (int i = 2; i >= 0; --i) {
    const Axis& axis = axes[i];
    const int64_t steps = divide_up(axis.target_size, axis.step);
    // The outermost dimension that there is gives the blocks that are wanted.
    const bool outermost = std::all_of(axes.begin(), axes.begin() + i,
                                       [](const Axis& outer) { return outer.target_size == 1; });
    int64_t cuts = outermost ? std::clamp<int64_t>(budget.blocks, 1, steps) : 1;
    for (; cuts <= steps; ++cuts) {
      block_size[i] = std::min(divide_up(steps, cuts) * axis.step, axis.target_size);
      if (fits()) break;
    }
    if (block_size[i] < axis.target_size) break;
  }
  for (int i = 0; i < 3; ++i) blocks[i] = divide_up(axes[i].target_size, block_size[i]);
}

/// Taps that one place meets follow one another.
void Plan::place_rows(const Extent& kernel) {
  tap_rows.resize(static_cast<size_t>(taps));
  offsets.resize(static_cast<size_t>(depth()));
  const int64_t residues = axes[0].step * axes[1].step * axes[2].step;
  int64_t row = 0;
  for (int64_t residue = 0; residue < residues; ++residue) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      const Extent at{tap / kernel[2] / kernel[1], tap / kernel[2] % kernel[1], tap % kernel[2]};
      int64_t offset = 0, own = 0;
      for (int i = 0; i < 3; ++i) {
        own = own * axes[i].step + axes[i].residues[at[i]];
        offset += (axes[i].offsets[at[i]] - axes[i].low) / axes[i].source_step * window.place[i];
      }
      if (own != residue) continue;
      tap_rows[tap] = static_cast<int32_t>(row);
      for (int64_t c = 0; c < source_channels; ++c) {
        offsets[row++] = static_cast<int32_t>(offset + c * window.channel);
      }
    }
  }
}

void Plan::find_phases(const Extent& kernel) {
  phases.reserve(axes[0].classes.size() * axes[1].classes.size() * axes[2].classes.size());
  for (const Axis::Class& d : axes[0].classes) {
    for (const Axis::Class& h : axes[1].classes) {
      for (const Axis::Class& w : axes[2].classes) {
        Phase phase{.classes = {&d, &h, &w}, .runs = {}};
        for (const int64_t z : d.taps) {
          for (const int64_t y : h.taps) {
            for (const int64_t x : w.taps) {
              const int64_t row = tap_rows[(z * kernel[1] + y) * kernel[2] + x];
              if (!phase.runs.empty() && phase.runs.back().row + phase.runs.back().count == row) {
                phase.runs.back().count += source_channels;
              } else {
                phase.runs.push_back({row, source_channels});
              }
            }
          }
        }
        phases.push_back(std::move(phase));
      }
    }
  }
}

int64_t Plan::images_at_once(int64_t batch, Budget budget, int64_t sets) const {
  if (volume(blocks) > 1) return 1;
  const int64_t reach = (int64_t{1} << 30) / std::max<int64_t>(window.batch, 1);  // of the offsets
  const int64_t fitting = copied ? 2 * budget.window / window_size : batch;
  return std::clamp<int64_t>(
      std::min({budget.places / most_places(), fitting, reach, divide_up(batch, sets)}), 1, batch);
}

Block Plan::block(int64_t index) const {
  Block result;
  for (int i = 2; i >= 0; --i) {
    result.begin[i] = index % blocks[i] * block_size[i];
    result.size[i] = std::min(block_size[i], axes[i].target_size - result.begin[i]);
    index /= blocks[i];
  }
  return result;
}

}  // namespace alt::kernels::conv
