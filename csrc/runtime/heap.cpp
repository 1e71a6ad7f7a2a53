#include "runtime/heap.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "runtime/rounding.h"
#include "runtime/system_memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace alt {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLargestSmallBlock = size_t{1} << 20;
// Larger sizes overflow when rounded up, and no machine has them.
constexpr size_t kLargestBlock = size_t{1} << 46;

// Under the address sanitizer, memory that nobody owns may not be touched, and there is some of it
// behind every allocation: what follows otherwise is the next block's header, which may be.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kForbiddenEnd = kAlignment;
#else
constexpr size_t kForbiddenEnd = 0;
#endif

// Loads are held up by stores that lie a few lines behind them modulo 4 KiB, since the processor
// compares no more of an address at first. Large results of one size, laid out one after another,
// would lie so: an operator that reads one and writes the next would lose a third of its speed. So
// they keep this distance, which their header is a part of.
constexpr size_t kStagger = 512;
constexpr size_t kStaggered = size_t{16} << 10;

// What lies behind a request's own bytes in its block.
size_t end_of(size_t requested) {
  return kForbiddenEnd + (requested >= kStaggered ? kStagger - sizeof(Block) : 0);
}

void forbid([[maybe_unused]] const void* begin, [[maybe_unused]] size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(begin, size);
#endif
}

void permit([[maybe_unused]] const void* begin, [[maybe_unused]] size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(begin, size);
#endif
}

// Linux promises more memory than there is, and ends the process that comes to use it. So the
// segments of all devices are weighed against what the system has before they are asked for.
class SystemBudget {
 public:
  bool admits(size_t size) {
    std::lock_guard lock(mutex_);
    if (size > granted_) {
      const SystemMemory memory = SystemMemory::query();
      const size_t headroom = memory.total / 64;
      const size_t available = memory.available - std::min(memory.available, headroom);
      if (size > available || reserved_ + size > memory.total) {
        granted_ = 0;
        return false;
      }
      // Asking the system takes as long as mapping a segment: the next few go unasked.
      granted_ = size + (available - size) / 8;
    }
    granted_ -= size;
    reserved_ += size;
    return true;
  }

  void give_back(size_t size) {
    std::lock_guard lock(mutex_);
    reserved_ -= size;
  }

  std::mutex& mutex() { return mutex_; }

 private:
  std::mutex mutex_;
  size_t reserved_ = 0;
  size_t granted_ = 0;
};

SystemBudget& system_budget() {
  static SystemBudget& instance = *new SystemBudget;
  return instance;
}

[[maybe_unused]] const int keep_heap_over_fork =
    pthread_atfork([] { system_budget().mutex().lock(); }, [] { system_budget().mutex().unlock(); },
                   [] { system_budget().mutex().unlock(); });

// At a multiple of a huge page, so that the system can back it with huge pages: one page fault
// for 2 MiB in place of 512.
void* map_memory(size_t size) {
  const size_t mapped = size + kHugePage;
  void* result = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (result == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(result);
  char* aligned = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(begin), kHugePage));
  if (aligned > begin) munmap(begin, static_cast<size_t>(aligned - begin));
  char* end = aligned + size;
  if (begin + mapped > end) munmap(end, static_cast<size_t>(begin + mapped - end));
#if defined(MADV_HUGEPAGE)
  madvise(aligned, size, MADV_HUGEPAGE);
#endif
  return aligned;
}

[[noreturn]] void end_on_corruption(const void* data, const char* what) {
  std::fprintf(stderr, "altbackend: the memory at %p, being freed, %s\n", data, what);
  std::abort();
}

}  // namespace

size_t Block::allocated() const {
  return capacity() - end_of(requested);
}

// ---- FreeLists ----

int FreeLists::list_of(size_t size) {
  const int power = std::bit_width(size) - 1;
  const int part = static_cast<int>(size >> (power - 4)) & (kListsPerPower - 1);
  return power * kListsPerPower + part;
}

int FreeLists::first_nonempty(int from) const {
  if (from >= kLists) return -1;
  size_t word = static_cast<size_t>(from) / 64;
  uint64_t bits = nonempty_[word] & (~uint64_t{0} << (from % 64));
  while (!bits) {
    if (++word == nonempty_.size()) return -1;
    bits = nonempty_[word];
  }
  return static_cast<int>(word * 64) + std::countr_zero(bits);
}

void FreeLists::insert(Block* block) {
  const int list = list_of(block->size);
  Block*& head = heads_[static_cast<size_t>(list)];
  block->previous_free = nullptr;
  block->next_free = head;
  if (head) head->previous_free = block;
  head = block;
  nonempty_[static_cast<size_t>(list) / 64] |= uint64_t{1} << (list % 64);
}

void FreeLists::remove(Block* block) {
  const int list = list_of(block->size);
  Block*& head = heads_[static_cast<size_t>(list)];
  (block->previous_free ? block->previous_free->next_free : head) = block->next_free;
  if (block->next_free) block->next_free->previous_free = block->previous_free;
  if (!head) nonempty_[static_cast<size_t>(list) / 64] &= ~(uint64_t{1} << (list % 64));
}

Block* FreeLists::find(size_t size) const {
  const int list = list_of(size);
  Block* best = nullptr;
  int compared = 0;
  for (Block* block = heads_[static_cast<size_t>(list)]; block && compared < kCompared;
       block = block->next_free, ++compared) {
    if (block->size == size) return block;
    if (block->size > size && (!best || block->size < best->size)) best = block;
  }
  if (best) return best;
  const int larger = first_nonempty(list + 1);
  return larger < 0 ? nullptr : heads_[static_cast<size_t>(larger)];
}

// ---- WaitingBlocks ----

Block* WaitingBlocks::take(size_t size) {
  // A rest of one step was not worth a block of its own, so what served this size may be that
  // larger.
  for (size_t list = size / kStep; list <= size / kStep + 1 && list < kLists; ++list) {
    Block* block = heads_[list];
    if (!block) continue;
    heads_[list] = block->next_free;
    bytes_ -= block->size;
    --count_;
    block->waiting = false;
    return block;
  }
  return nullptr;
}

bool WaitingBlocks::keep(Block* block) {
  const size_t list = block->size / kStep;
  if (list >= kLists || bytes_ + block->size > kMostBytes) return false;
  block->next_free = heads_[list];
  heads_[list] = block;
  bytes_ += block->size;
  ++count_;
  block->waiting = true;
  return true;
}

Block* WaitingBlocks::take_any() {
  if (count_ == 0) return nullptr;
  const auto head = std::find_if(heads_.begin(), heads_.end(), [](Block* block) { return block; });
  return take((*head)->size);
}

// ---- Heap: blocks ----

void* Heap::allocate(size_t requested) {
  if (requested > kLargestBlock) return nullptr;
  BlockPool& pool = requested <= kLargestSmallBlock ? small_ : large_;
  const size_t size =
      sizeof(Block) + round_up(std::max<size_t>(requested, 1) + end_of(requested), kAlignment);

  std::lock_guard lock(mutex_);
  Block* block = waiting_.take(size);
  if (!block) block = take(pool, size);
  if (!block && &pool == &small_) {  // Only small blocks wait.
    merge_waiting();
    block = take(pool, size);
  }
  if (!block && grow(pool, size)) block = take(pool, size);
  if (!block) return nullptr;

  block->requested = requested;
  permit(block->data(), requested);
  const size_t capacity = block->allocated();
  update(pool.kind, stats_.allocation, [](auto& stat) { stat.increase(1); });
  update(pool.kind, stats_.allocated_bytes, [&](auto& stat) { stat.increase(capacity); });
  update(pool.kind, stats_.requested_bytes, [&](auto& stat) { stat.increase(requested); });
  return block->data();
}

void Heap::release(void* data) {
  Block* block = Block::of(data);
  if (block->mark != Block::kMark) {
    end_on_corruption(data, "is no allocation, or was overwritten from below");
  }
  Heap& heap = *block->segment->heap;
  std::lock_guard lock(heap.mutex_);
  if (block->free || block->waiting) end_on_corruption(data, "was freed before");
  Block* above = block->above();
  if (above && above->mark != Block::kMark) {
    end_on_corruption(data, "was written to past its end");
  }
  BlockPool& pool = *block->segment->pool;
  const size_t capacity = block->allocated();
  heap.update(pool.kind, heap.stats_.allocation, [](auto& stat) { stat.decrease(1); });
  heap.update(pool.kind, heap.stats_.allocated_bytes, [&](auto& stat) { stat.decrease(capacity); });
  heap.update(pool.kind, heap.stats_.requested_bytes,
              [&](auto& stat) { stat.decrease(block->requested); });
  forbid(block->data(), block->capacity());
  if (!heap.waiting_.keep(block)) heap.put_back(block);
}

void Heap::merge_waiting() {
  while (Block* block = waiting_.take_any()) put_back(block);
}

// A free block of at least `size`, cut to it where the rest is worth keeping.
Block* Heap::take(BlockPool& pool, size_t size) {
  Block* block = pool.free_blocks.find(size);
  if (!block) return nullptr;
  remove_free(block);
  block->free = false;
  if (block->size - size >= pool.smallest_rest) split(block, size);
  return block;
}

void Heap::split(Block* block, size_t size) {
  Block* above = block->above();
  auto* rest = reinterpret_cast<Block*>(reinterpret_cast<char*>(block) + size);
  permit(rest, sizeof(Block));
  *rest = Block{.mark = Block::kMark,
                .size = block->size - size,
                .requested = 0,
                .below = block,
                .segment = block->segment,
                .next_free = nullptr,
                .previous_free = nullptr,
                .free = true,
                .waiting = false,
                .last = block->last};
  block->size = size;
  block->last = false;
  if (above) above->below = rest;
  insert_free(rest);
}

void Heap::put_back(Block* block) {
  Block* above = block->above();
  if (above && above->free) {
    remove_free(above);
    block = merge(block, above);
  }
  if (block->below && block->below->free) {
    remove_free(block->below);
    block = merge(block->below, block);
  }
  block->free = true;
  insert_free(block);
}

Block* Heap::merge(Block* lower, Block* upper) {
  lower->size += upper->size;
  lower->last = upper->last;
  if (Block* above = lower->above()) above->below = lower;
  upper->mark = 0;
  forbid(upper, sizeof(Block));
  return lower;
}

void Heap::insert_free(Block* block) {
  BlockPool& pool = *block->segment->pool;
  pool.free_blocks.insert(block);
  if (block->is_whole_segment()) return;
  update(pool.kind, stats_.inactive_split, [](auto& stat) { stat.increase(1); });
  update(pool.kind, stats_.inactive_split_bytes, [&](auto& stat) { stat.increase(block->size); });
}

void Heap::remove_free(Block* block) {
  BlockPool& pool = *block->segment->pool;
  pool.free_blocks.remove(block);
  if (block->is_whole_segment()) return;
  update(pool.kind, stats_.inactive_split, [](auto& stat) { stat.decrease(1); });
  update(pool.kind, stats_.inactive_split_bytes, [&](auto& stat) { stat.decrease(block->size); });
}

// ---- Heap: segments ----

// Adds a segment with room for a block of `size`.
bool Heap::grow(BlockPool& pool, size_t size) {
  const size_t least = round_up(size + sizeof(Segment), size_t{64} << 10);
  const size_t preferred =
      least < pool.segment_size / 2 ? pool.segment_size : round_up(least, kHugePage);
  // Near the limit, a segment that holds the block and no more.
  return map_segment(pool, preferred) || (least < preferred && map_segment(pool, least));
}

Segment* Heap::map_segment(BlockPool& pool, size_t size) {
  if (!within_limit(size)) return nullptr;
  if (!system_budget().admits(size)) return nullptr;
  void* memory = map_memory(size);
  if (!memory) {
    system_budget().give_back(size);
    return nullptr;
  }
  auto* segment = static_cast<Segment*>(memory);
  *segment = Segment{
      .heap = this, .pool = &pool, .next = pool.segments, .previous = nullptr, .size = size};
  if (pool.segments) pool.segments->previous = segment;
  pool.segments = segment;
  Block* block = segment->first();
  *block = Block{.mark = Block::kMark,
                 .size = (size - sizeof(Segment)) / kAlignment * kAlignment,
                 .requested = 0,
                 .below = nullptr,
                 .segment = segment,
                 .next_free = nullptr,
                 .previous_free = nullptr,
                 .free = true,
                 .waiting = false,
                 .last = true};
  forbid(block->data(), block->capacity());
  insert_free(block);
  ++stats_.num_device_alloc;
  update(pool.kind, stats_.segment, [](auto& stat) { stat.increase(1); });
  update(pool.kind, stats_.reserved_bytes, [&](auto& stat) { stat.increase(size); });
  return segment;
}

void Heap::unmap_segment(Segment* segment) {
  BlockPool& pool = *segment->pool;
  const size_t size = segment->size;
  remove_free(segment->first());
  (segment->previous ? segment->previous->next : pool.segments) = segment->next;
  if (segment->next) segment->next->previous = segment->previous;
  permit(segment, size);
  munmap(segment, size);
  system_budget().give_back(size);
  ++stats_.num_device_free;
  update(pool.kind, stats_.segment, [](auto& stat) { stat.decrease(1); });
  update(pool.kind, stats_.reserved_bytes, [&](auto& stat) { stat.decrease(size); });
}

void Heap::empty_cache() {
  std::lock_guard lock(mutex_);
  merge_waiting();
  for (BlockPool* pool : {&small_, &large_}) {
    for (Segment* segment = pool->segments; segment;) {
      Segment* next = segment->next;
      if (segment->first()->free && segment->first()->is_whole_segment()) unmap_segment(segment);
      segment = next;
    }
  }
}

bool Heap::contains(const void* pointer) const {
  std::lock_guard lock(mutex_);
  for (const BlockPool* pool : {&small_, &large_}) {
    for (Segment* segment = pool->segments; segment; segment = segment->next) {
      if (segment->contains(pointer)) return true;
    }
  }
  return false;
}

// ---- Heap: statistics ----

Heap::Stats Heap::stats() const {
  std::lock_guard lock(mutex_);
  Stats result = stats_;
  // What waits is free.
  for (const size_t kind : {size_t{0}, static_cast<size_t>(small_.kind)}) {
    result.inactive_split[kind].increase(waiting_.count());
    result.inactive_split_bytes[kind].increase(waiting_.bytes());
  }
  // No work is pending on a freed block: active is allocated.
  result.active = result.allocation;
  result.active_bytes = result.allocated_bytes;
  return result;
}

}  // namespace alt
