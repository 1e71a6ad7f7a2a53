#pragma once

#include <c10/core/CachingDeviceAllocator.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/heap_statistics.h"

namespace alt {

struct Segment;

// The header in front of the memory that an allocation gets. The blocks of a segment lie one after
// another without gaps, so a freed block finds its neighbours and merges with the free ones.
struct alignas(64) Block {
  static constexpr uint64_t kMark = 0x616c742d626c6f63;

  uint64_t mark;     // kMark, unless somebody wrote past the end of the block below.
  size_t size;       // With this header: a multiple of 64.
  size_t requested;  // What the allocation asked for.
  Block* below;      // The block before this one in the segment, or null.
  Segment* segment;
  Block* next_free;
  Block* previous_free;
  bool free;
  bool waiting;  // Freed, and kept as it is for the next allocation of its size.
  bool last;     // Of its segment.

  size_t capacity() const { return size - sizeof(Block); }
  // What the allocation counts as: its capacity but for what is kept free at its end.
  size_t allocated() const;
  char* data() { return reinterpret_cast<char*>(this) + sizeof(Block); }
  Block* above() {
    return last ? nullptr : reinterpret_cast<Block*>(reinterpret_cast<char*>(this) + size);
  }
  bool is_whole_segment() const { return !below && last; }

  static Block* of(void* data) {
    return reinterpret_cast<Block*>(static_cast<char*>(data) - sizeof(Block));
  }
};
static_assert(sizeof(Block) == 64);

class Heap;
class BlockPool;

// A mapping of the system's memory, with this header at its front.
struct alignas(64) Segment {
  Heap* heap;
  BlockPool* pool;
  Segment* next;
  Segment* previous;
  size_t size;

  Block* first() { return reinterpret_cast<Block*>(reinterpret_cast<char*>(this) + sizeof(*this)); }
  bool contains(const void* pointer) const {
    const char* begin = reinterpret_cast<const char*>(this);
    return pointer >= begin && pointer < begin + size;
  }
};
static_assert(sizeof(Segment) == 64);

// The free blocks of a kind, in lists of similar sizes: sixteen to each power of two.
class FreeLists {
 public:
  void insert(Block* block);
  void remove(Block* block);

  // A free block of at least `size`, the smallest of those looked at; null where there is none.
  Block* find(size_t size) const;

 private:
  static constexpr int kListsPerPower = 16;
  static constexpr int kLists = 48 * kListsPerPower;
  // Blocks of the first list that may hold `size` differ; this many are compared.
  static constexpr int kCompared = 32;

  static int list_of(size_t size);
  int first_nonempty(int from) const;

  std::array<Block*, kLists> heads_{};
  std::array<uint64_t, kLists / 64> nonempty_{};
};

// Freed blocks of small sizes, as they are: what a program makes and drops over and over is not
// merged with its neighbours and cut again each time.
class WaitingBlocks {
 public:
  // Null where none of this size waits.
  Block* take(size_t size);
  // False where the block is to be merged: it is large, or enough others wait.
  bool keep(Block* block);
  // Some block that waits, to be merged after all; null where none does.
  Block* take_any();

  size_t count() const { return count_; }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kStep = 64;
  static constexpr size_t kLists = 512;  // Up to 32 KiB.
  static constexpr size_t kMostBytes = size_t{4} << 20;

  std::array<Block*, kLists> heads_{};
  size_t count_ = 0;
  size_t bytes_ = 0;
};

// Small and large blocks are kept apart, so that a few small ones do not hold large segments.
class BlockPool {
 public:
  BlockPool(c10::CachingAllocator::StatType kind, size_t segment_size, size_t smallest_rest)
      : kind(kind), segment_size(segment_size), smallest_rest(smallest_rest) {}

  const c10::CachingAllocator::StatType kind;
  const size_t segment_size;   // Of segments for blocks that are smaller than it.
  const size_t smallest_rest;  // A block is split if at least this much stays over.
  FreeLists free_blocks;
  Segment* segments = nullptr;
};

// One device's memory. Freed blocks are kept for later allocations, until empty_cache().
class Heap final : public HeapStatistics {
 public:
  // Aligned to 64 bytes, or null where neither the cache nor the system can give as much.
  void* allocate(size_t size);

  // Ends the process with a message where `data` is not an allocated block, or where somebody
  // wrote over its header.
  static void release(void* data);
  static Heap& heap_of(void* data) { return *Block::of(data)->segment->heap; }

  void empty_cache() override;
  Stats stats() const override;
  bool contains(const void* pointer) const override;

 private:
  Block* take(BlockPool& pool, size_t size);
  void merge_waiting();
  void split(Block* block, size_t size);
  void put_back(Block* block);
  Block* merge(Block* lower, Block* upper);

  bool grow(BlockPool& pool, size_t size);
  Segment* map_segment(BlockPool& pool, size_t size);
  void unmap_segment(Segment* segment);

  void insert_free(Block* block);
  void remove_free(Block* block);

  BlockPool small_{c10::CachingAllocator::StatType::SMALL_POOL, size_t{2} << 20, 128};
  BlockPool large_{c10::CachingAllocator::StatType::LARGE_POOL, size_t{32} << 20, size_t{64} << 10};
  WaitingBlocks waiting_;
};

}  // namespace alt
