#include "runtime/cuda/memory.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "runtime/allocator.h"
#include "runtime/cuda/engine.h"
#include "runtime/cuda/event.h"
#include "runtime/cuda/pinned_memory.h"
#include "runtime/cuda/stream.h"
#include "runtime/device.h"
#include "runtime/rounding.h"
#include "runtime/stream.h"

namespace alt::cuda {
namespace {

using c10::CachingAllocator::StatType;

constexpr size_t kAlignment = 512;
constexpr size_t kLargestSmallBlock = size_t{1} << 20;
constexpr size_t kSegmentStep = size_t{2} << 20;
constexpr size_t kLargestBlock = size_t{1} << 46;

class Heap;
struct Pool;
struct Segment;

// A piece of a segment. Nothing of it lies in the device's memory, which the host cannot read.
struct Block {
  char* data;
  size_t size;
  CUstream stream;  // What is submitted there from now on may use a free block.
  Segment* segment;
  Block* below = nullptr;
  Block* above = nullptr;
  bool free = false;
  size_t requested = 0;
  size_t events = 0;                 // That a freed block still waits for.
  std::vector<CUstream> users = {};  // Other streams of the device, while it is allocated.

  bool is_whole_segment() const { return !below && !above; }
};

// Of one stream, the smallest first.
struct ByStreamAndSize {
  static auto key(const Block* block) {
    return std::make_tuple(reinterpret_cast<uintptr_t>(block->stream), block->size, block->data);
  }
  bool operator()(const Block* a, const Block* b) const { return key(a) < key(b); }
};

struct Pool {
  StatType kind;
  size_t segment_size;
  size_t smallest_rest;
  std::set<Block*, ByStreamAndSize> free_blocks = {};
};

struct Segment {
  Heap* heap;
  Pool* pool;
  char* data;
  size_t size;
  Block* first;
};

// One GPU's memory.
class Heap final : public HeapStatistics {
 public:
  explicit Heap(c10::DeviceIndex device) : device_(device) {}

  c10::DeviceIndex device() const { return device_; }

  // For work on `stream`; null where neither the cache nor CuPy's pool can give as much.
  Block* allocate(size_t size, CUstream stream);
  void release(Block* block);
  void record_stream(Block* block, CUstream stream);

  void empty_cache() override;
  Stats stats() const override;
  bool contains(const void* pointer) const override;

 private:
  Block* take(Pool& pool, size_t size, CUstream stream);
  Block* take_from_others(Pool& pool, size_t size, CUstream stream);
  Block* grow(Pool& pool, size_t size, CUstream stream);
  Block* add_segment(Pool& pool, size_t bytes, CUstream stream);
  Block* cut(Pool& pool, Block* block, size_t size);
  void put_back(Block* block, bool any_stream);
  Block* merge(Block* lower, Block* upper);
  void insert_free(Pool& pool, Block* block);
  void remove_free(Pool& pool, Block* block);
  void collect_events(bool wait);
  std::vector<Segment*> take_empty_segments();

  const c10::DeviceIndex device_;
  Pool small_{StatType::SMALL_POOL, size_t{2} << 20, kAlignment};
  Pool large_{StatType::LARGE_POOL, size_t{32} << 20, size_t{64} << 10};
  std::map<const char*, std::unique_ptr<Segment>, std::less<>> segments_;
  std::deque<std::pair<CUevent, Block*>> waiting_;
};

// Which block an allocation is. In shards, so that threads seldom meet.
class BlockTable {
 public:
  void insert(Block* block) {
    Shard& shard = of(block->data);
    std::lock_guard lock(shard.mutex);
    shard.blocks[block->data] = block;
  }
  Block* find(const void* data) {
    Shard& shard = of(data);
    std::lock_guard lock(shard.mutex);
    const auto found = shard.blocks.find(data);
    return found == shard.blocks.end() ? nullptr : found->second;
  }
  Block* remove(const void* data) {
    Shard& shard = of(data);
    std::lock_guard lock(shard.mutex);
    const auto found = shard.blocks.find(data);
    if (found == shard.blocks.end()) return nullptr;
    Block* block = found->second;
    shard.blocks.erase(found);
    return block;
  }

 private:
  struct Shard {
    std::mutex mutex;
    std::unordered_map<const void*, Block*> blocks;
  };
  Shard& of(const void* data) {
    return shards_[reinterpret_cast<uintptr_t>(data) / kAlignment % shards_.size()];
  }
  std::array<Shard, 61> shards_;
};

// Both leaked: tensors may outlive static objects.
BlockTable& block_table() {
  static BlockTable& instance = *new BlockTable;
  return instance;
}

std::vector<std::unique_ptr<Heap>>& all_heaps();

void lock_all() {
  for (auto& each : all_heaps()) each->mutex().lock();
}

void unlock_all() {
  for (auto& each : all_heaps()) each->mutex().unlock();
}

std::vector<std::unique_ptr<Heap>>& all_heaps() {
  static auto& heaps = *[] {
    auto* made = new std::vector<std::unique_ptr<Heap>>;
    for (c10::DeviceIndex i = 0; i < engine().devices; ++i) {
      made->push_back(std::make_unique<Heap>(i));
      made->back()->set_limit(environment_memory_limit());
    }
    // A forked process may not use the memory, but may ask how much there was.
    pthread_atfork(&lock_all, &unlock_all, &unlock_all);
    return made;
  }();
  return heaps;
}

Heap& heap(c10::DeviceIndex device) {
  return *all_heaps()[static_cast<size_t>(device)];
}

// ---- blocks ----

Block* Heap::allocate(size_t requested, CUstream stream) {
  if (requested > kLargestBlock) return nullptr;
  Pool& pool = requested <= kLargestSmallBlock ? small_ : large_;
  const size_t size = round_up(requested, kAlignment);
  Block* block = nullptr;
  {
    std::lock_guard lock(mutex_);
    collect_events(/*wait=*/false);
    block = take(pool, size, stream);
  }
  if (!block) block = grow(pool, size, stream);
  std::lock_guard lock(mutex_);
  if (!block) block = take_from_others(pool, size, stream);
  if (!block) return nullptr;
  block->requested = requested;
  const auto count = [&](auto& number, auto& bytes) {
    update(pool.kind, number, [](auto& stat) { stat.increase(1); });
    update(pool.kind, bytes, [&](auto& stat) { stat.increase(block->size); });
  };
  count(stats_.allocation, stats_.allocated_bytes);
  count(stats_.active, stats_.active_bytes);
  update(pool.kind, stats_.requested_bytes, [&](auto& stat) { stat.increase(requested); });
  return block;
}

void Heap::release(Block* block) {
  std::lock_guard lock(mutex_);
  const StatType kind = block->segment->pool->kind;
  update(kind, stats_.allocation, [](auto& stat) { stat.decrease(1); });
  update(kind, stats_.allocated_bytes, [&](auto& stat) { stat.decrease(block->size); });
  update(kind, stats_.requested_bytes, [&](auto& stat) { stat.decrease(block->requested); });
  for (CUstream user : block->users) {
    const DeviceInUse in_use(device_);
    ScopedEvent event;
    check(driver().EventRecord(event.get(), user), "cuEventRecord");
    waiting_.emplace_back(event.release(), block);
    ++block->events;
  }
  block->users.clear();
  if (block->events == 0) put_back(block, /*any_stream=*/false);
}

void Heap::record_stream(Block* block, CUstream stream) {
  std::lock_guard lock(mutex_);
  auto& users = block->users;
  if (stream == block->stream || std::find(users.begin(), users.end(), stream) != users.end()) {
    return;
  }
  users.push_back(stream);
}

// Puts back the blocks whose users are done; with `wait`, all.
void Heap::collect_events(bool wait) {
  if (waiting_.empty()) return;
  const DeviceInUse in_use(device_);
  while (!waiting_.empty()) {
    const auto [event, block] = waiting_.front();
    if (wait) {
      check(driver().EventSynchronize(event), "cuEventSynchronize");
    } else {
      const CUresult result = driver().EventQuery(event);
      if (result == kNotReady) return;
      check(result, "cuEventQuery");
    }
    waiting_.pop_front();
    driver().EventDestroy(event);
    if (--block->events == 0) put_back(block, /*any_stream=*/false);
  }
}

// The smallest free block of the stream that holds `size`, cut to it.
Block* Heap::take(Pool& pool, size_t size, CUstream stream) {
  Block wanted{.data = nullptr, .size = size, .stream = stream, .segment = nullptr};
  const auto found = pool.free_blocks.lower_bound(&wanted);
  if (found == pool.free_blocks.end() || (*found)->stream != stream) return nullptr;
  Block* block = *found;
  remove_free(pool, block);
  return cut(pool, block, size);
}

// The last resort, since `stream` then waits for all that another has got so far.
Block* Heap::take_from_others(Pool& pool, size_t size, CUstream stream) {
  Block* best = nullptr;
  for (Block* block : pool.free_blocks) {
    if (block->size >= size && (!best || block->size < best->size)) best = block;
  }
  if (!best) return nullptr;
  order(device_, stream, device_, best->stream);
  remove_free(pool, best);
  Block* block = cut(pool, best, size);
  block->stream = stream;
  return block;
}

// `block`, no longer free, without what is over `size` and worth keeping.
Block* Heap::cut(Pool& pool, Block* block, size_t size) {
  block->free = false;
  if (block->size - size < pool.smallest_rest) return block;
  auto* rest = new Block{.data = block->data + size,
                         .size = block->size - size,
                         .stream = block->stream,
                         .segment = block->segment,
                         .below = block,
                         .above = block->above};
  if (rest->above) rest->above->below = rest;
  block->above = rest;
  block->size = size;
  insert_free(pool, rest);
  return block;
}

// Frees a block and joins it with free neighbours: of its stream, or where nothing is under way any
// more, of any.
void Heap::put_back(Block* block, bool any_stream) {
  Pool& pool = *block->segment->pool;
  if (!block->free) {
    update(pool.kind, stats_.active, [](auto& stat) { stat.decrease(1); });
    update(pool.kind, stats_.active_bytes, [&](auto& stat) { stat.decrease(block->size); });
  }
  const auto fits = [&](const Block* other) {
    return other && other->free && (any_stream || other->stream == block->stream);
  };
  if (fits(block->above)) {
    remove_free(pool, block->above);
    block = merge(block, block->above);
  }
  if (fits(block->below)) {
    remove_free(pool, block->below);
    block = merge(block->below, block);
  }
  insert_free(pool, block);
}

Block* Heap::merge(Block* lower, Block* upper) {
  lower->size += upper->size;
  lower->above = upper->above;
  if (lower->above) lower->above->below = lower;
  delete upper;
  return lower;
}

void Heap::insert_free(Pool& pool, Block* block) {
  block->free = true;
  pool.free_blocks.insert(block);
  if (block->is_whole_segment()) return;
  update(pool.kind, stats_.inactive_split, [](auto& stat) { stat.increase(1); });
  update(pool.kind, stats_.inactive_split_bytes, [&](auto& stat) { stat.increase(block->size); });
}

void Heap::remove_free(Pool& pool, Block* block) {
  pool.free_blocks.erase(block);
  if (block->is_whole_segment()) return;
  update(pool.kind, stats_.inactive_split, [](auto& stat) { stat.decrease(1); });
  update(pool.kind, stats_.inactive_split_bytes, [&](auto& stat) { stat.decrease(block->size); });
}

// ---- segments ----

Block* Heap::grow(Pool& pool, size_t size, CUstream stream) {
  const size_t preferred =
      size < pool.segment_size / 2 ? pool.segment_size : round_up(size, kSegmentStep);
  Block* block = add_segment(pool, preferred, stream);
  // Near the limit, a segment that holds the block and no more.
  if (!block && size < preferred) block = add_segment(pool, size, stream);
  if (!block) return nullptr;
  std::lock_guard lock(mutex_);
  return cut(pool, block, size);
}

// A new segment as one block, which is nobody else's. Without the lock: Python is asked.
Block* Heap::add_segment(Pool& pool, size_t bytes, CUstream stream) {
  {
    std::lock_guard lock(mutex_);
    if (!within_limit(bytes)) return nullptr;
  }
  auto* data = static_cast<char*>(python_side().allocate(device_, bytes));
  if (!data) return nullptr;
  // CuPy may have used the memory itself, on its stream.
  order(device_, stream, device_, nullptr);
  auto* block = new Block{.data = data, .size = bytes, .stream = stream, .segment = nullptr};
  std::lock_guard lock(mutex_);
  auto& segment = segments_[data];
  segment.reset(new Segment{this, &pool, data, bytes, block});
  block->segment = segment.get();
  ++stats_.num_device_alloc;
  update(pool.kind, stats_.segment, [](auto& stat) { stat.increase(1); });
  update(pool.kind, stats_.reserved_bytes, [&](auto& stat) { stat.increase(bytes); });
  return block;
}

// Nothing is under way on the device: blocks of all streams join, and segments that nothing lies in
// are no longer the heap's. Under the lock.
std::vector<Segment*> Heap::take_empty_segments() {
  std::vector<Segment*> result;
  for (auto& [data, segment] : segments_) {
    Pool& pool = *segment->pool;
    for (Block* block = segment->first; block; block = block->above) {
      if (!block->free || !block->above || !block->above->free) continue;
      remove_free(pool, block);
      while (block->above && block->above->free) {
        remove_free(pool, block->above);
        merge(block, block->above);
      }
      insert_free(pool, block);
    }
    Block* first = segment->first;
    if (!first->free || !first->is_whole_segment()) continue;
    remove_free(pool, first);
    delete first;
    ++stats_.num_device_free;
    update(pool.kind, stats_.segment, [](auto& stat) { stat.decrease(1); });
    update(pool.kind, stats_.reserved_bytes, [&](auto& s) { s.decrease(segment->size); });
    result.push_back(segment.release());
  }
  std::erase_if(segments_, [](const auto& entry) { return !entry.second; });
  return result;
}

void Heap::empty_cache() {
  std::vector<Segment*> empty;
  {
    std::lock_guard lock(mutex_);
    if (segments_.empty()) return;  // A device that nothing was asked of is not started for this.
    const DeviceInUse in_use(device_);
    check(driver().CtxSynchronize(), "cuCtxSynchronize");
    collect_events(/*wait=*/true);
    empty = take_empty_segments();
  }
  for (Segment* segment : empty) {
    python_side().release(device_, segment->data);
    delete segment;
  }
  python_side().empty_pool(device_);
}

bool Heap::contains(const void* pointer) const {
  std::lock_guard lock(mutex_);
  const auto* address = static_cast<const char*>(pointer);
  const auto after = segments_.upper_bound(address);
  return after != segments_.begin() &&
         address < std::prev(after)->first + std::prev(after)->second->size;
}

Heap::Stats Heap::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace

c10::DataPtr allocate(size_t size, c10::DeviceIndex device) {
  const c10::Device on(c10::DeviceType::PrivateUse1, device);
  const DeviceInUse in_use(device);
  if (size == 0) return {nullptr, nullptr, &release, on};
  Heap& from = heap(device);
  CUstream stream = handle(current_stream_id(device));
  Block* block = from.allocate(size, stream);
  if (!block) {
    from.count_retry();
    from.empty_cache();
    block = from.allocate(size, stream);
  }
  if (!block) throw_out_of_memory(from, size, device);
  block_table().insert(block);
  report_to_profiler(block->data, static_cast<int64_t>(block->size), from, device);
  return {block->data, block->data, &release, on};
}

void release(void* data) {
  if (!data || in_bad_fork()) return;
  Block* block = block_table().remove(data);
  if (!block) return;
  Heap& from = *block->segment->heap;
  const auto bytes = static_cast<int64_t>(block->size);
  try {
    from.release(block);
  } catch (const std::exception&) {
    return;  // The device is lost, and the next call says so.
  }
  report_to_profiler(data, -bytes, from, from.device());
}

void record_stream(const c10::DataPtr& data, c10::Stream stream) {
  Block* block = in_bad_fork() ? nullptr : block_table().find(data.get_context());
  if (block) block->segment->heap->record_stream(block, handle(stream.id()));
}

HeapStatistics& statistics(c10::DeviceIndex device) {
  return heap(device);
}

void empty_cache() {
  for (auto& each : all_heaps()) each->empty_cache();
  empty_pinned_cache();
}

std::pair<size_t, size_t> free_and_total_memory(c10::DeviceIndex device) {
  const DeviceInUse in_use(device);
  size_t free = 0;
  size_t total = 0;
  check(driver().MemGetInfo(&free, &total), "cuMemGetInfo");
  return {free, total};
}

std::optional<c10::DeviceIndex> device_of(const void* pointer) noexcept {
  if (!pointer || !is_engine() || in_bad_fork()) return std::nullopt;
  for (const auto& each : all_heaps()) {
    if (each->contains(pointer)) return each->device();
  }
  // Another library's, through DLPack. A thread that is new here has no context to ask in.
  follow_current_device();
  unsigned type = 0;
  int ordinal = 0;
  const Driver& d = driver();
  if (d.PointerGetAttribute(&type, kPointerMemoryType, address(pointer)) != kSuccess ||
      type != kMemoryOnDevice ||
      d.PointerGetAttribute(&ordinal, kPointerDeviceOrdinal, address(pointer)) != kSuccess) {
    return std::nullopt;
  }
  return static_cast<c10::DeviceIndex>(ordinal);
}

bool is_device_memory(const void* pointer) noexcept {
  return device_of(pointer).has_value();
}

}  // namespace alt::cuda
