#include "runtime/system_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace alt {
namespace {

constexpr size_t kUnknown = std::numeric_limits<size_t>::max();

std::optional<size_t> read_number(const std::string& path) {
  std::ifstream file(path);
  size_t number = 0;
  if (file >> number) return number;  // Not for "max", which is how a cgroup says no limit.
  return std::nullopt;
}

// The number after `key` in a file of "key number" lines.
std::optional<size_t> read_field(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    size_t number = 0;
    if (words >> name && name == key && words >> number) return number;
  }
  return std::nullopt;
}

// The files in which one version of cgroups keeps its limit.
struct MemoryGroup {
  std::string limit;
  std::string usage;
  std::string statistics;
  const char* reclaimable;
};

void add_groups(std::vector<MemoryGroup>& groups, const std::string& root, std::string path,
                bool version2) {
  // A limit on any ancestor counts. Inside a container the path may not exist; the root does.
  for (;;) {
    if (path == "/") path.clear();
    const std::string directory = root + path + "/";
    if (version2) {
      groups.push_back({directory + "memory.max", directory + "memory.current",
                        directory + "memory.stat", "inactive_file"});
    } else {
      groups.push_back({directory + "memory.limit_in_bytes", directory + "memory.usage_in_bytes",
                        directory + "memory.stat", "total_inactive_file"});
    }
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

std::vector<MemoryGroup> find_groups() {
  std::vector<MemoryGroup> groups;
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (path.empty() || path[0] != '/') continue;
    if (controllers.empty()) add_groups(groups, "/sys/fs/cgroup", path, true);
    if (controllers == "memory") add_groups(groups, "/sys/fs/cgroup/memory", path, false);
  }
  std::erase_if(groups, [](const MemoryGroup& group) { return !std::ifstream(group.limit); });
  return groups;
}

}  // namespace

SystemMemory SystemMemory::query() {
  SystemMemory result;
  const auto kilobytes = [](const char* key) {
    const auto number = read_field("/proc/meminfo", key);
    return number ? *number * 1024 : kUnknown;
  };
  result.total = kilobytes("MemTotal:");
  result.available = kilobytes("MemAvailable:");

  static const std::vector<MemoryGroup>& groups = *new std::vector<MemoryGroup>(find_groups());
  for (const auto& group : groups) {
    const auto limit = read_number(group.limit);
    const auto usage = read_number(group.usage);
    if (!limit || !usage) continue;
    const size_t reclaimable = read_field(group.statistics, group.reclaimable).value_or(0);
    const size_t used = *usage - std::min(*usage, reclaimable);
    result.total = std::min(result.total, *limit);
    result.available = std::min(result.available, *limit - std::min(*limit, used));
  }
  return result;
}

}  // namespace alt
