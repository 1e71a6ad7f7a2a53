#include "runtime/environment.h"

#include <c10/util/Exception.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string_view>

namespace alt {
namespace {

[[noreturn]] void refuse(std::string_view variable, std::string_view value,
                         std::string_view allowed) {
  TORCH_CHECK_VALUE(false, variable, "='", value, "' is not valid: it must be ", allowed);
  __builtin_unreachable();
}

int parse_count(std::string_view variable, std::string_view value, int most) {
  int count = 0;
  const char* end = value.data() + value.size();
  const auto result = std::from_chars(value.data(), end, count);
  if (result.ec != std::errc() || result.ptr != end || count < 1 || count > most) {
    refuse(variable, value, "a whole number from 1 to " + std::to_string(most));
  }
  return count;
}

template <class T>
struct Choice {
  std::string_view name;
  T value;
};

template <class T, size_t N>
T parse_choice(std::string_view variable, std::string_view value, const Choice<T> (&choices)[N]) {
  std::string allowed = "one of";
  for (const auto& choice : choices) {
    if (value == choice.name) return choice.value;
    allowed += allowed == "one of" ? " " : ", ";
    allowed += choice.name;
  }
  refuse(variable, value, allowed);
}

constexpr Choice<FallbackMode> kFallbackModes[] = {{"allow", FallbackMode::kAllow},
                                                   {"warn", FallbackMode::kWarn},
                                                   {"forbid", FallbackMode::kForbid}};

constexpr Choice<Engine> kEngines[] = {
    {"auto", Engine::kAuto}, {"host", Engine::kHost}, {"cuda", Engine::kCuda}};

// A device index is an int8_t.
constexpr int kLargestDeviceCount = std::numeric_limits<int8_t>::max();
constexpr int kMostThreads = 1024;

struct Variable {
  const char* name;
  void (*parse)(const std::string& name, const std::string& value, Environment& into);
};

constexpr Variable kVariables[] = {
    {"ALT_DEVICE_COUNT",
     [](const std::string& name, const std::string& value, Environment& into) {
       into.device_count = parse_count(name, value, kLargestDeviceCount);
     }},
    {"ALT_NUM_THREADS",
     [](const std::string& name, const std::string& value, Environment& into) {
       into.num_threads = parse_count(name, value, kMostThreads);
     }},
    {"ALT_MEMORY_LIMIT", [](const std::string& name, const std::string& value,
                            Environment& into) { into.memory_limit = parse_bytes(name, value); }},
    {"ALT_FALLBACK",
     [](const std::string& name, const std::string& value, Environment& into) {
       into.fallback = parse_choice(name, value, kFallbackModes);
     }},
    {"ALT_ENGINE", [](const std::string& name, const std::string& value,
                      Environment& into) { into.engine = parse_choice(name, value, kEngines); }},
};

Environment read_environment() {
  Environment result;
  for (const auto& variable : kVariables) {
    // An empty value is an unset one, as in `ALT_FALLBACK= python script.py`.
    const char* value = std::getenv(variable.name);
    if (value && *value) variable.parse(variable.name, value, result);
  }
  return result;
}

}  // namespace

const Environment& environment() {
  static const Environment instance = read_environment();
  return instance;
}

size_t parse_bytes(const std::string& variable, const std::string& value) {
  double number = 0;
  const char* end = value.data() + value.size();
  const auto result = std::from_chars(value.data(), end, number);
  const std::string_view suffix(result.ptr, static_cast<size_t>(end - result.ptr));
  double unit = 0;
  if (suffix.empty()) unit = 1;
  if (suffix == "K" || suffix == "k") unit = 1024.0;
  if (suffix == "M" || suffix == "m") unit = 1024.0 * 1024;
  if (suffix == "G" || suffix == "g") unit = 1024.0 * 1024 * 1024;
  const double bytes = number * unit;
  if (result.ec != std::errc() || !(bytes >= 1) || !(bytes < std::ldexp(1.0, 62))) {
    refuse(variable, value, "a positive number of bytes, or one with the suffix K, M or G");
  }
  return static_cast<size_t>(bytes);
}

std::vector<std::pair<std::string, std::optional<std::string>>> environment_variables() {
  std::vector<std::pair<std::string, std::optional<std::string>>> result;
  for (const auto& variable : kVariables) {
    const char* value = std::getenv(variable.name);
    result.emplace_back(variable.name, value ? std::optional<std::string>(value) : std::nullopt);
  }
  return result;
}

}  // namespace alt
