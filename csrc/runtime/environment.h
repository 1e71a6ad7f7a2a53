#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace alt {

enum class FallbackMode { kAllow, kWarn, kForbid };
enum class Engine { kAuto, kHost, kCuda };

// What the ALT_* environment variables ask for.
struct Environment {
  std::optional<int> device_count;     // ALT_DEVICE_COUNT
  int num_threads = 0;                 // ALT_NUM_THREADS; 0 follows torch.get_num_threads()
  std::optional<size_t> memory_limit;  // ALT_MEMORY_LIMIT: bytes a device may take
  FallbackMode fallback = FallbackMode::kAllow;  // ALT_FALLBACK
  Engine engine = Engine::kAuto;                 // ALT_ENGINE
};

// Read once, at first use. Raises ValueError at every use while a variable has a value that it
// cannot have.
const Environment& environment();

// Bytes, or a number with a suffix: "512M", "1.5G".
size_t parse_bytes(const std::string& variable, const std::string& value);

// The variables there are, with the value of each, or nothing where it is not set.
std::vector<std::pair<std::string, std::optional<std::string>>> environment_variables();

}  // namespace alt
