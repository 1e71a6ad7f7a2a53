// Concatenation.
//
// Seen in memory order, `out` is `outer` rows, and a row is one piece of every tensor after the
// other. Pieces are copied whole; tensors that are laid out otherwise, or have another dtype, go
// through copy_ into a slice of `out`, as all do on a GPU.
#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "loops/stream.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

constexpr int64_t kGrainBytes = 1 << 16;

/// One tensor's part of a row of the output.
struct Piece {
  const char* data;
  int64_t bytes;
  int64_t offset;
};

/// A 1-D empty tensor may be concatenated with anything, for old scripts' sake.
bool is_skipped(const at::Tensor& tensor) {
  return tensor.dim() == 1 && tensor.size(0) == 0;
}

void check_devices(const at::MaterializedITensorListRef& tensors) {
  std::optional<at::Device> device;
  for (const at::Tensor& tensor : tensors) {
    device = tensor.is_privateuseone() ? tensor.device() : device;
  }
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(tensor.device() == device,
                "Expected all tensors to be on the same device, but got tensors is on ",
                tensor.device(), ", different from other tensors on ", *device,
                " (when checking argument in method wrapper_cat)");
  }
}

/// The product of the sizes of the dimensions that lie after `dim` in memory.
int64_t inner_size(const at::Tensor& out, int64_t dim, at::MemoryFormat format) {
  static constexpr int64_t channels_last_order[] = {0, 2, 3, 1};
  static constexpr int64_t channels_last_3d_order[] = {0, 2, 3, 4, 1};
  const int64_t* order = format == at::MemoryFormat::ChannelsLast     ? channels_last_order
                         : format == at::MemoryFormat::ChannelsLast3d ? channels_last_3d_order
                                                                      : nullptr;
  int64_t size = 1;
  for (int64_t position = out.dim() - 1; position >= 0; --position) {
    const int64_t current = order != nullptr ? order[position] : position;
    if (current == dim) {
      break;
    }
    size *= out.size(current);
  }
  return size;
}

/// Pieces of one element, as when scalars are stacked: no call to memcpy for each.
template <class T>
void copy_elements(char* out, const Piece& piece, int64_t row_bytes, int64_t rows) {
  const auto* source = reinterpret_cast<const T*>(piece.data);
  char* target = out + piece.offset;
  for (int64_t i = 0; i < rows; ++i) {
    *reinterpret_cast<T*>(target + i * row_bytes) = source[i];
  }
}

void copy_piece(char* out, const Piece& piece, int64_t row_bytes, int64_t begin, int64_t end,
                bool streaming) {
  const Piece part{piece.data + begin * piece.bytes, piece.bytes, piece.offset};
  out += begin * row_bytes;
  switch (piece.bytes) {
    case 1:
      return copy_elements<uint8_t>(out, part, row_bytes, end - begin);
    case 2:
      return copy_elements<uint16_t>(out, part, row_bytes, end - begin);
    case 4:
      return copy_elements<uint32_t>(out, part, row_bytes, end - begin);
    case 8:
      return copy_elements<uint64_t>(out, part, row_bytes, end - begin);
    default:
      for (int64_t i = 0; i < end - begin; ++i) {
        copy_part(out + i * row_bytes + part.offset, part.data + i * part.bytes, part.bytes,
                  streaming);
      }
  }
}

void copy_rows(char* out, const std::vector<Piece>& pieces, int64_t row_bytes, int64_t rows) {
  const bool streaming = worth_streaming(row_bytes * rows);
  if (rows > 1) {
    const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, row_bytes));
    parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      for (const Piece& piece : pieces) {
        copy_piece(out, piece, row_bytes, begin, end, streaming);
      }
      if (streaming) stream_fence();
    });
    return;
  }
  // One row: split by bytes, wherever the pieces end.
  parallel_for(0, row_bytes, kGrainBytes, [&](int64_t begin, int64_t end) {
    for (const Piece& piece : pieces) {
      const int64_t first = std::max(begin, piece.offset);
      const int64_t last = std::min(end, piece.offset + piece.bytes);
      if (first < last) {
        copy_part(out + first, piece.data + (first - piece.offset), last - first, streaming);
      }
    }
    if (streaming) stream_fence();
  });
}

}  // namespace

void cat(const at::ITensorListRef& tensors, int64_t dim, int64_t, bool all_contiguous,
         bool all_same_dtype, bool, at::MemoryFormat memory_format, const at::Tensor& out) {
  const auto materialized = tensors.materialize();
  check_devices(materialized);
  if (out.numel() == 0) {
    return;
  }
  const bool whole_pieces = all_contiguous && all_same_dtype && out.is_contiguous(memory_format) &&
                            out.scalar_type() == materialized[0].get().scalar_type() &&
                            !alt::cuda::on_gpu();
  if (!whole_pieces) {
    int64_t offset = 0;
    for (const at::Tensor& tensor : materialized) {
      if (is_skipped(tensor)) {
        continue;
      }
      const int64_t size = tensor.size(dim);
      out.narrow(dim, offset, size).copy_(tensor);
      offset += size;
    }
    return;
  }
  const int64_t inner_bytes =
      inner_size(out, dim, memory_format) * static_cast<int64_t>(out.element_size());
  std::vector<Piece> pieces;
  pieces.reserve(materialized.size());
  int64_t offset = 0;
  for (const at::Tensor& tensor : materialized) {
    if (is_skipped(tensor) || tensor.numel() == 0) {
      continue;
    }
    const int64_t bytes = tensor.size(dim) * inner_bytes;
    pieces.push_back({static_cast<const char*>(tensor.const_data_ptr()), bytes, offset});
    offset += bytes;
  }
  const int64_t rows = static_cast<int64_t>(out.nbytes()) / offset;
  copy_rows(static_cast<char*>(out.mutable_data_ptr()), pieces, offset, rows);
}

}  // namespace alt::kernels
