#pragma once

#include <c10/core/Allocator.h>

namespace alt {

// Host memory for tensors that are to be copied to this device often. The host engine reads all
// memory alike: there it is ordinary memory that remembers having been asked for as pinned.
c10::Allocator* pinned_memory_allocator();

// Whether `pointer` lies in memory of pinned_memory_allocator().
bool is_pinned(const void* pointer);

}  // namespace alt
