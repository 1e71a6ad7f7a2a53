#include "loops/stream.h"

#include <fstream>

namespace alt {
namespace {

/// Of the last cache that this processor has a part in. sysconf() adds up those of all sockets.
int64_t last_cache_bytes() {
  constexpr int64_t kUnknown = int64_t{32} << 20;
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  int64_t number = 0;
  char unit = 0;
  if (!(file >> number >> unit) || number <= 0) return kUnknown;
  return unit == 'K' ? number << 10 : unit == 'M' ? number << 20 : kUnknown;
}

}  // namespace

bool worth_streaming(int64_t bytes) {
  static const int64_t half_of_last_cache = last_cache_bytes() / 2;
  return bytes >= half_of_last_cache;
}

void stream_cast(ConvertFunction convert, char* to, int64_t size, const char* from,
                 int64_t from_stride, int64_t n) {
  alignas(kLine) char block[kStreamBlock];
  while (n > 0) {
    const int64_t head = bytes_before_line(to, kLine) / size;
    const int64_t count = std::min(n, head > 0 ? head : kStreamBlock / size);
    convert(block, size, from, from_stride, count);
    stream_copy(to, block, count * size);
    to += count * size;
    from += count * from_stride;
    n -= count;
  }
}

}  // namespace alt
