// Convolution of integers, and the gradient of the bias. The loops of convolution are matrix
// products of weights and windows, blocked to the cache.
//
// Windows are built for a strip of the small image (to_small) or for a block of channels of the
// large one (to_large) at a time, at most 512 KiB of them, half of a core's L2, and are used by one
// product each while they are there. Every unit of work writes memory of its own: an image, group
// and strip; an image, group and channel block.

#include <algorithm>

#include "kernels/blas.h"
#include "kernels/conv.h"
#include "kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace alt::kernels::conv {
namespace {

constexpr int64_t window_bytes = 512 * 1024;
constexpr int64_t units_wanted = 8;
constexpr double operations_worth_a_thread = 1e6;

/// Elements of the small image whose windows, `rows` values each, fill the cache's share.
template <class T>
int64_t strip_length(int64_t rows, int64_t volume) {
  const int64_t fitting =
      window_bytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(rows, 1);
  const int64_t length = std::max<int64_t>(fitting / 16 * 16, 64);
  return std::min(length, volume);
}

/// Units that make a chunk worth handing to a thread.
int64_t grain_of(double operations) {
  return static_cast<int64_t>(operations_worth_a_thread / std::max(operations, 1.0)) + 1;
}

template <class T>
void fill_rows(T* out, int64_t rows, int64_t stride, int64_t count, const T* bias) {
  for (int64_t row = 0; row < rows; ++row) {
    std::fill_n(out + row * stride, count, bias ? bias[row] : T(0));
  }
}

}  // namespace

template <class T>
void to_small(const Geometry& g, const T* large, const T* weight, const T* bias, T* small) {
  const int64_t volume = g.small_volume();
  const int64_t m = g.small_channels_a_group();
  const int64_t channels = g.large_channels_a_group();
  const int64_t k = channels * g.kernel_volume();
  int64_t length = strip_length<T>(k, volume);
  // A batch too small to occupy the threads is cut finer, but no finer than a product is worth.
  const int64_t least = divide_up(units_wanted, g.batch * g.groups);
  if (volume / least >= 256) {
    length = std::min(length, divide_up(divide_up(volume, least), 16) * 16);
  }
  const int64_t strips = divide_up(volume, length);
  const auto unit = [&](int64_t index) {
    const int64_t begin = index % strips * length;
    const int64_t end = std::min(begin + length, volume);
    const int64_t group = index / strips % g.groups;
    const int64_t image = index / strips / g.groups;
    const T* source = large + (image * g.groups + group) * channels * g.large_volume();
    T* target = small + (image * g.groups + group) * m * volume + begin;
    if (bias) {
      fill_rows(target, m, volume, end - begin, bias + group * m);
    }
    const blas::Matrix<T> left{weight + group * m * k, k};
    const T beta(bias ? 1 : 0);
    if (g.is_pointwise()) {
      blas::gemm_in_thread<T>(m, end - begin, k, T(1), left, {source + begin, volume}, beta, target,
                              volume);
      return;
    }
    const Scratch<T> windows(k * (end - begin));
    gather_windows(g, source, channels, begin, end, windows.data());
    blas::gemm_in_thread<T>(m, end - begin, k, T(1), left, {windows.data(), end - begin}, beta,
                            target, volume);
  };
  parallel_for(0, g.batch * g.groups * strips, grain_of(2.0 * m * k * length),
               [&](int64_t begin, int64_t end) {
                 for (int64_t index = begin; index < end; ++index) {
                   unit(index);
                 }
               });
}

template <class T>
void to_large(const Geometry& g, const T* small, const T* weight, const T* bias, T* large) {
  const int64_t volume = g.small_volume();
  const int64_t kernel = g.kernel_volume();
  const int64_t channels = g.large_channels_a_group();
  const int64_t k = g.small_channels_a_group();
  const int64_t rows = channels * kernel;
  int64_t block = std::max<int64_t>(
      window_bytes / static_cast<int64_t>(sizeof(T)) / std::max<int64_t>(kernel * volume, 1), 1);
  block =
      std::min({block, channels, divide_up(channels, divide_up(units_wanted, g.batch * g.groups))});
  const int64_t blocks = divide_up(channels, block);
  const auto unit = [&](int64_t index) {
    const int64_t first = index % blocks * block;
    const int64_t count = std::min(block, channels - first);
    const int64_t group = index / blocks % g.groups;
    const int64_t image = index / blocks / g.groups;
    const blas::Matrix<T> left{weight + group * k * rows + first * kernel, rows, true};
    const blas::Matrix<T> right{small + (image * g.groups + group) * k * volume, volume};
    const int64_t channel = group * channels + first;
    T* target = large + (image * g.large_channels + channel) * g.large_volume();
    const T* first_bias = bias ? bias + channel : nullptr;
    if (g.is_pointwise()) {
      if (bias) {
        fill_rows(target, count, volume, volume, first_bias);
      }
      blas::gemm_in_thread<T>(count, volume, k, T(1), left, right, T(bias ? 1 : 0), target, volume);
      return;
    }
    const Scratch<T> windows(count * kernel * volume);
    blas::gemm_in_thread<T>(count * kernel, volume, k, T(1), left, right, T(0), windows.data(),
                            volume);
    fill_rows(target, count, g.large_volume(), g.large_volume(), first_bias);
    scatter_windows(g, windows.data(), count, target);
  };
  parallel_for(0, g.batch * g.groups * blocks, grain_of(2.0 * block * kernel * k * volume),
               [&](int64_t begin, int64_t end) {
                 for (int64_t index = begin; index < end; ++index) {
                   unit(index);
                 }
               });
}

template <class T>
void sum_channels(int64_t batch, int64_t channels, int64_t volume, const T* image,
                  T* bias_gradient) {
  // Sixteen running sums vectorise and keep a row's rounding small; rows are added in double.
  constexpr int64_t lanes = 16;
  const int64_t grain = std::max<int64_t>(65536 / std::max<int64_t>(batch * volume, 1), 1);
  parallel_for(0, channels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; ++channel) {
      double sum = 0;
      for (int64_t n = 0; n < batch; ++n) {
        const T* row = image + (n * channels + channel) * volume;
        T lane[lanes] = {};
        int64_t i = 0;
        for (; i + lanes <= volume; i += lanes) {
          for (int64_t j = 0; j < lanes; ++j) {
            lane[j] = static_cast<T>(lane[j] + row[i + j]);
          }
        }
        for (; i < volume; ++i) {
          lane[i % lanes] = static_cast<T>(lane[i % lanes] + row[i]);
        }
        for (T value : lane) {
          sum += static_cast<double>(value);
        }
      }
      bias_gradient[channel] = static_cast<T>(sum);
    }
  });
}

#define INSTANTIATE(T)                                                          \
  template void to_small<T>(const Geometry&, const T*, const T*, const T*, T*); \
  template void to_large<T>(const Geometry&, const T*, const T*, const T*, T*);
INSTANTIATE(uint8_t)
INSTANTIATE(int8_t)
INSTANTIATE(int16_t)
INSTANTIATE(int32_t)
INSTANTIATE(int64_t)
#undef INSTANTIATE

template void sum_channels<float>(int64_t, int64_t, int64_t, const float*, float*);
template void sum_channels<double>(int64_t, int64_t, int64_t, const double*, double*);

}  // namespace alt::kernels::conv
