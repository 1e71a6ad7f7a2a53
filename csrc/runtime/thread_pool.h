#pragma once

// The threads that the host engine's loops run on.
//
// A range is cut into chunks that threads claim one at a time from an atomic counter, and the
// calling thread claims like any other. So a core taken by another process costs its share of the
// speed and no more: nobody waits for a thread that has not started, which is what OpenMP's static
// split does. An idle thread sleeps, but while jobs follow each other closely it waits awake for
// the next one, and yields its core to whoever else wants it.

#include <cstdint>
#include <type_traits>

namespace alt {

// The threads that a parallel_for may use, the calling one included: what set_num_threads() was
// given, else ALT_NUM_THREADS, else torch.get_num_threads().
int num_threads();

// Zero returns to following ALT_NUM_THREADS and torch.get_num_threads().
void set_num_threads(int count);

// True inside the body of a parallel_for.
bool in_parallel_region();

namespace detail {

using ChunkFunction = void (*)(void* context, int64_t begin, int64_t end);

// Size of a chunk: a multiple of `grain` that gives every thread several chunks.
int64_t chunk_size(int64_t count, int64_t grain, int threads);

void run_chunks(int64_t begin, int64_t end, int64_t grain, ChunkFunction function, void* context);

}  // namespace detail

// Calls body(chunk_begin, chunk_end) until all of [begin, end) is covered, each index once.
// Every chunk but the last has a multiple of `grain` elements. Where the chunks are cut depends on
// the number of threads, so a body must not round differently at a cut. Called inside another
// parallel_for it runs the range inline. The first exception stops the handing out of chunks and
// reaches the caller once all running bodies have returned.
template <class F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, F&& body) {
  if (begin >= end) return;
  if (end - begin <= grain || in_parallel_region()) {
    body(begin, end);
    return;
  }
  using Body = std::remove_reference_t<F>;
  detail::run_chunks(
      begin, end, grain,
      [](void* context, int64_t chunk_begin, int64_t chunk_end) {
        (*static_cast<Body*>(context))(chunk_begin, chunk_end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace alt
