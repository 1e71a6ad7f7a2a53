// topk: the first k of every lane.
//
// Values become integer keys (sort_keys.h) of which the largest comes first. A lane is seen as a
// few columns more than k; the k-th of the columns' maxima is a threshold that few elements reach
// and that k do, found without a branch. Those few are sorted. Long lanes are cut into pieces,
// which threads share and whose candidates compete once more.
//
// Which of equal elements are taken, and in which order, follows from the algorithm, so a lane in
// which that is to be decided goes through stock's: a heap where k is small, else a partition.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/bits.h"
#include "kernels/lane_offsets.h"
#include "kernels/sort_keys.h"
#include "loops/dtype.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

// Keys of a piece that stay in the second level of cache.
constexpr int64_t kPiece = int64_t{1} << 16;

/// A key and its position; the first of two is the larger, and of equal keys the one that lies
/// first.
template <class Key>
struct Candidate {
  using Word = uint64_t;
  static Word make(Key key, int64_t position) {
    return static_cast<Word>(key) << 32 | static_cast<uint32_t>(~position);
  }
  static int64_t position(Word word) { return static_cast<uint32_t>(~word); }
  static Key key(Word word) { return static_cast<Key>(word >> 32); }
};
template <>
struct Candidate<uint64_t> {
  using Word = std::pair<uint64_t, int64_t>;
  static Word make(uint64_t key, int64_t position) { return {key, ~position}; }
  static int64_t position(const Word& word) { return ~word.second; }
  static uint64_t key(const Word& word) { return word.first; }
};

/// The largest that `want` of a few values reach: those that fewer are larger than.
template <class Key>
Key reached_by(const std::array<Key, 16>& values, int64_t want) {
  std::array<Key, 16> larger{};
  for (const Key value : values) {
    for (size_t c = 0; c < values.size(); ++c) {
      larger[c] += value > values[c] ? 1 : 0;
    }
  }
  Key least = std::numeric_limits<Key>::max();
  for (size_t c = 0; c < values.size(); ++c) {
    least = std::min(least, larger[c] < static_cast<Key>(want) ? values[c] : least);
  }
  return least;
}

template <class T>
class TopSelector {
 public:
  using Key = std::conditional_t<sizeof(sort_key(T())) <= 4, uint32_t, uint64_t>;
  using Entry = Candidate<Key>;
  using Word = typename Entry::Word;

  TopSelector(const T* source, int64_t stride, int64_t n, bool largest)
      : source_(source), stride_(stride), n_(n), largest_(largest) {}

  /// The first `want` in `chosen`, in order.
  void select(int64_t want, std::vector<Word>& chosen) const {
    chosen.clear();
    if (n_ <= kPiece) {
      add_candidates(0, n_, want, chosen);
    } else {
      const int64_t pieces = (n_ + kPiece - 1) / kPiece;
      std::vector<std::vector<Word>> found(static_cast<size_t>(pieces));
      parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
        for (int64_t piece = begin; piece < end; ++piece) {
          const int64_t first = piece * kPiece;
          auto& words = found[static_cast<size_t>(piece)];
          add_candidates(first, std::min(kPiece, n_ - first), want, words);
          keep_first(words, want);
        }
      });
      for (const auto& words : found) {
        chosen.insert(chosen.end(), words.begin(), words.end());
      }
    }
    keep_first(chosen, want);
    std::sort(chosen.begin(), chosen.end(), std::greater<>());
  }

 private:
  /// At least the first `want` of `n` elements from `first` on, or all of fewer.
  void add_candidates(int64_t first, int64_t n, int64_t want, std::vector<Word>& words) const {
    static thread_local std::vector<Key> keys;
    keys.resize(static_cast<size_t>(n));
    if (stride_ == 1) {
      fill_keys(keys.data(), source_ + first, 1, n);
    } else {
      fill_keys(keys.data(), source_ + first * stride_, stride_, n);
    }
    const Key* key = keys.data();
    const Key least = threshold(key, n, want);
    for (int64_t i = 0; i < n; i += kWordBits) {
      for_each_bit(
          keep_bits(i, n, [key, least](int64_t j) { return key[j] >= least; }),
          [&](int64_t bit) { words.push_back(Entry::make(key[i + bit], first + i + bit)); });
    }
  }

  void fill_keys(Key* keys, const T* source, int64_t stride, int64_t n) const {
    const Key flip = largest_ ? Key{0} : ~Key{0};
    for (int64_t i = 0; i < n; ++i) {
      keys[i] = static_cast<Key>(sort_key(source[i * stride])) ^ flip;
    }
  }

  /// A key that at least `want` of the n keys reach.
  static Key threshold(const Key* keys, int64_t n, int64_t want) {
    if (want <= 8 && n >= 32) {
      std::array<Key, 16> best;
      fold_columns(keys, n, best.data(), std::integral_constant<int64_t, 16>{});
      return reached_by(best, want);
    }
    const int64_t columns = (2 * want + 63) / 64 * 64;
    if (n < 2 * columns) {
      return 0;
    }
    static thread_local std::vector<Key> best;
    best.resize(static_cast<size_t>(columns));
    fold_columns(keys, n, best.data(), columns);
    std::nth_element(best.begin(), best.begin() + want - 1, best.end(), std::greater<>());
    return best[static_cast<size_t>(want - 1)];
  }

  template <class Columns>
  static void fold_columns(const Key* keys, int64_t n, Key* best, Columns columns) {
    std::copy_n(keys, static_cast<int64_t>(columns), best);
    int64_t row = columns;
    for (; row + columns <= n; row += columns) {
      for (int64_t c = 0; c < columns; ++c) {
        best[c] = std::max(best[c], keys[row + c]);
      }
    }
    for (int64_t c = 0; c < n - row; ++c) {
      best[c] = std::max(best[c], keys[row + c]);
    }
  }

  static void keep_first(std::vector<Word>& words, int64_t want) {
    if (static_cast<int64_t>(words.size()) > want) {
      std::nth_element(words.begin(), words.begin() + want, words.end(), std::greater<>());
      words.resize(static_cast<size_t>(want));
    }
  }

  const T* source_;
  int64_t stride_;
  int64_t n_;
  bool largest_;
};

/// What stock does with a lane: a heap where k is small, else a partition.
void select_as_stock(std::vector<Keyed>& lane, int64_t k, bool sorted) {
  if (k * 64 <= static_cast<int64_t>(lane.size())) {
    std::partial_sort(lane.begin(), lane.begin() + k, lane.end(), by_key);
    return;
  }
  std::nth_element(lane.begin(), lane.begin() + k - 1, lane.end(), by_key);
  if (sorted) {
    std::sort(lane.begin(), lane.begin() + k - 1, by_key);
  }
}

}  // namespace

void topk(const at::Tensor& self, int64_t k, int64_t dim, bool largest, bool sorted,
          const at::Tensor& values, const at::Tensor& indices) {
  TORCH_CHECK(self.scalar_type() != at::kBool, "topk does not support bool dtypes on CPU");
  if (self.dim() == 0 && self.numel() == 1) {
    values.copy_(self);
    indices.zero_();
    return;
  }
  if (values.numel() == 0) {
    return;
  }
  dim = dim < 0 ? dim + self.dim() : dim;
  const LaneOffsets lanes(self.sizes(), dim);
  const int64_t n = lanes.length();
  const int64_t stride = lanes.stride(self);
  const int64_t value_stride = lanes.stride(values), index_stride = lanes.stride(indices);
  // One more than asked for shows whether the last has an equal that is left out.
  const int64_t want = std::min(k + 1, n);
  const bool in_order = sorted || k * 64 <= n;
  visit<AllTypesAndHalf>(self.scalar_type(), "topk_cpu", [&]<class T>() {
    using Entry = typename TopSelector<T>::Entry;
    parallel_for(0, lanes.count(), lane_grain(n, 4096), [&](int64_t begin, int64_t end) {
      std::vector<typename TopSelector<T>::Word> chosen;
      std::vector<Keyed> entries;
      bool distinct = in_order && n <= int64_t{std::numeric_limits<uint32_t>::max()};
      for (int64_t lane = begin; lane < end; ++lane) {
        const T* source = self.const_data_ptr<T>() + lanes.start(self, lane);
        T* value = values.mutable_data_ptr<T>() + lanes.start(values, lane);
        int64_t* index = indices.mutable_data_ptr<int64_t>() + lanes.start(indices, lane);
        if (distinct) {
          TopSelector<T>(source, stride, n, largest).select(want, chosen);
          distinct = std::adjacent_find(chosen.begin(), chosen.end(), [](auto a, auto b) {
                       return Entry::key(a) == Entry::key(b);
                     }) == chosen.end();
        }
        if (distinct) {
          for (int64_t i = 0; i < k; ++i) {
            const int64_t position = Entry::position(chosen[static_cast<size_t>(i)]);
            value[i * value_stride] = source[position * stride];
            index[i * index_stride] = position;
          }
          continue;
        }
        fill_keyed(source, stride, n, /*descending=*/largest, entries);
        select_as_stock(entries, k, sorted);
        for (int64_t i = 0; i < k; ++i) {
          const int64_t position = entries[static_cast<size_t>(i)].second;
          value[i * value_stride] = source[position * stride];
          index[i * index_stride] = position;
        }
      }
    });
  });
}

}  // namespace alt::kernels
