// ALT_KERNEL for the simulation: the kernel's name is a function that runs the whole grid, and says
// what went wrong or null.
#pragma once

#define ALT_KERNEL(name, Arguments)                                                       \
  static inline void name##_thread(const Arguments& arguments);                           \
  extern "C" const char* name(const Arguments* arguments, const unsigned* grid_and_block, \
                              int backwards) {                                            \
    return simulation::launch([arguments] { name##_thread(*arguments); }, grid_and_block, \
                              backwards);                                                 \
  }                                                                                       \
  static inline void name##_thread(const Arguments& arguments)
