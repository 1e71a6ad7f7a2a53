#pragma once

// Checks for plain executables: a failed one names its line and makes the program exit with 1.

#include <cstdio>
#include <exception>
#include <string>

#if defined(__SANITIZE_THREAD__)
// Tests start threads in forked children; the thread sanitizer ends those unless told not to.
extern "C" inline const char* __tsan_default_options() {
  return "die_after_fork=0";
}
#endif

namespace check {

inline int failures = 0;

inline void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  ++failures;
}

template <class Exception, class F>
bool throws(F&& body) {
  try {
    body();
  } catch (const Exception&) {
    return true;
  }
  return false;
}

// Runs a test; an exception that leaves it is a failure of it.
template <class F>
void test(const char* name, F&& body) {
  const int before = failures;
  try {
    body();
  } catch (const std::exception& error) {
    fail(name, 0, std::string("unexpected exception: ") + error.what());
  }
  std::printf("%s %s\n", failures == before ? "ok    " : "FAILED", name);
}

inline int finish() {
  return failures == 0 ? 0 : 1;
}

}  // namespace check

#define CHECK(condition) \
  ((condition) ? (void)0 : check::fail(__FILE__, __LINE__, "not true: " #condition))

#define CHECK_THROWS(Exception, expression)      \
  (check::throws<Exception>([&] { expression; }) \
       ? (void)0                                 \
       : check::fail(__FILE__, __LINE__, "no " #Exception " from: " #expression))
