// The untyped part of the pointwise loop.
//
// Order: threads claim ranges of elements; TensorIterator gives each range as 2-d strided pieces.
// Where every operand is contiguous in a row, or one number in it, the inner loop takes the piece
// as it is. Otherwise it is worked off in blocks of at most kBlockBytes per operand, rows of a
// short inner dimension joined into one block. 4 KiB a buffer keeps five operands (16 KiB of
// buffers and the lines they come from) inside a 32 KiB L1. A large result is computed a KiB at a
// time and written past the caches (loops/stream.h).
#include "loops/pointwise.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "loops/convert.h"
#include "loops/stream.h"
#include "loops/transpose.h"
#include "runtime/thread_pool.h"

namespace alt {
namespace {

constexpr int64_t kBlockBytes = 4096;
constexpr int64_t kGrain = 32768;    // additions worth waking a thread for: about 10 microseconds
constexpr int64_t kAtOnce = 512;     // elements that no thread is woken for, whatever they cost
constexpr int64_t kLongBlock = 128;  // elements of a row that are a block by themselves
constexpr int64_t kLongRow = 32;     // elements that are a row, or a block, by themselves
constexpr int64_t kShortRow = 8;     // the same, where they cost little and need no buffer
constexpr int kMaxOperands = 6;
// A block of an iteration with a transposed operand, of elements of four bytes: two lines of each
// of its columns, four where they come from memory, as each is in a page of its own.
constexpr int64_t kTransposedRows = 32, kTransposedRowsFromMemory = 64;
constexpr int64_t kTransposedColumns = 64;
constexpr int64_t kFewestTransposedRows = 16;

/// A 2-d strided piece of one operand, as TensorIterator hands it over.
struct Piece {
  char* data;
  int64_t inner_stride;
  int64_t outer_stride;

  bool broadcast() const { return inner_stride == 0 && outer_stride == 0; }
  char* at(int64_t inner, int64_t outer) const {
    return data + inner * inner_stride + outer * outer_stride;
  }
};

/// How one operand passes between memory and the inner loop.
struct Operand {
  at::ScalarType dtype;       // in memory
  int64_t element_size;       // in memory
  int64_t loop_element_size;  // in the loop
  ConvertFunction convert;    // load (inputs) or store (outputs)
  bool same_dtype;
};

struct alignas(64) Buffer {
  char bytes[kTransposedRowsFromMemory * kTransposedColumns * kTransposedSize];
};

/// Elements that are better computed as a row than joined with those of other rows, a copy that
/// fills the lanes of vectors.
int64_t least_row(const PointwisePlan& plan) {
  return plan.cost < kCostOfBuffers ? kShortRow : kLongRow;
}

/// Which inputs are one number, and room for what those are cast to.
class Numbers {
 public:
  void mark(int input) { marked_ |= uint32_t{1} << input; }
  bool is(int input) const { return marked_ >> input & 1; }
  uint32_t marked() const { return marked_; }
  void* at(int operand) { return cast_[operand]; }

 private:
  uint32_t marked_ = 0;
  alignas(16) char cast_[kMaxOperands][sizeof(c10::complex<double>)];
};

class BlockRunner {
 public:
  BlockRunner(const at::TensorIteratorBase& iter, const PointwisePlan& plan)
      : plan_(plan), outputs_(iter.noutputs()), count_(iter.ntensors()) {
    TORCH_INTERNAL_ASSERT(count_ <= kMaxOperands);
    int64_t widest = 1;
    for (int i = 0; i < count_; ++i) {
      const at::ScalarType loop_dtype = i < outputs_ ? plan.output_dtype : plan.input_dtype;
      Operand& operand = operands_[i];
      operand.dtype = iter.dtype(i);
      operand.element_size = iter.element_size(i);
      operand.loop_element_size = static_cast<int64_t>(c10::elementSize(loop_dtype));
      operand.same_dtype = operand.dtype == loop_dtype;
      operand.convert = i < outputs_ ? convert_function(operand.dtype, loop_dtype)
                                     : convert_function(loop_dtype, operand.dtype);
      widest = std::max(widest, operand.loop_element_size);
    }
    block_ = kBlockBytes / widest;
    streaming_ = writes_past_caches(iter);
  }
  bool streaming() const { return streaming_; }

  void run(char** data, const int64_t* strides, int64_t inner, int64_t outer) const {
    std::array<Piece, kMaxOperands> pieces;
    for (int i = 0; i < count_; ++i) pieces[i] = {data[i], strides[i], strides[count_ + i]};
    Numbers numbers;
    load_numbers(pieces, numbers);
    if (run_rows(pieces, numbers, inner, outer)) return;

    std::array<Buffer, kMaxOperands> buffers;
    if (inner >= kTransposedColumns && outer >= kFewestTransposedRows &&
        block_ >= kBlockBytes / kTransposedSize && any_transposed(pieces)) {
      const int64_t height = streaming_ ? kTransposedRowsFromMemory : kTransposedRows;
      for (int64_t o = 0; o < outer; o += height) {
        const int64_t rows = std::min(height, outer - o);
        for (int64_t i = 0; i < inner; i += kTransposedColumns) {
          prefetch_columns(pieces, i + kTransposedColumns, inner, o, rows);
          run_block(pieces, numbers, i, std::min(kTransposedColumns, inner - i), o, rows, buffers);
        }
      }
    } else if (inner >= kLongBlock || outer == 1) {
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; i += block_) {
          if (streaming_) prefetch_rows(pieces, numbers, i + block_, inner, o);
          run_block(pieces, numbers, i, std::min(block_, inner - i), o, 1, buffers);
        }
      }
    } else {
      const int64_t rows = std::max<int64_t>(1, block_ / inner);
      for (int64_t o = 0; o < outer; o += rows) {
        run_block(pieces, numbers, 0, inner, o, std::min(rows, outer - o), buffers);
      }
    }
  }

 private:
  /// One contiguous result that is large, and that is no operand besides.
  static bool writes_past_caches(const at::TensorIteratorBase& iter) {
    if (iter.noutputs() != 1 || !worth_streaming(iter.numel() * iter.element_size(0))) return false;
    if (iter.ndim() > 0 && iter.strides(0)[0] != iter.element_size(0)) return false;
    for (int i = 1; i < iter.ntensors(); ++i) {
      if (iter.data_ptr(i) == iter.data_ptr(0)) return false;
    }
    return true;
  }

  bool contiguous(const Operand& operand, const Piece& piece, int64_t inner, int64_t rows) const {
    return operand.same_dtype && (inner == 1 || piece.inner_stride == operand.element_size) &&
           (rows == 1 || piece.outer_stride == inner * operand.element_size);
  }

  /// Whether an input's rows are what the iteration's columns are, in elements that can be turned.
  static bool transposed(const Operand& operand, const Piece& piece) {
    return operand.same_dtype && operand.element_size == kTransposedSize &&
           piece.outer_stride == kTransposedSize && piece.inner_stride > kTransposedSize &&
           piece.inner_stride % kTransposedSize == 0;
  }
  bool any_transposed(const std::array<Piece, kMaxOperands>& pieces) const {
    for (int i = outputs_; i < count_; ++i) {
      if (transposed(operands_[i], pieces[i])) return true;
    }
    return false;
  }

  /// The lines of transposed inputs that the next block turns: they lie so far apart that the
  /// processor does not foresee them.
  void prefetch_columns(const std::array<Piece, kMaxOperands>& pieces, int64_t start, int64_t inner,
                        int64_t row, int64_t rows) const {
    const int64_t end = std::min(inner, start + kTransposedColumns);
    for (int i = outputs_; i < count_; ++i) {
      if (!transposed(operands_[i], pieces[i])) continue;
      for (int64_t column = start; column < end; ++column) {
        for (int64_t r = 0; r < rows; r += kLine / kTransposedSize) {
          __builtin_prefetch(pieces[i].at(column, row + r), 0, 2);
        }
      }
    }
  }

  /// What the next block reads: while this one is cast, the memory would have nothing to do.
  void prefetch_rows(const std::array<Piece, kMaxOperands>& pieces, const Numbers& numbers,
                     int64_t start, int64_t inner, int64_t row) const {
    const int64_t end = std::min(inner, start + block_);
    for (int i = outputs_; i < count_; ++i) {
      const int64_t size = operands_[i].element_size;
      if (numbers.is(i - outputs_) || pieces[i].inner_stride != size) continue;
      for (int64_t k = start; k < end; k += kLine / size) {
        __builtin_prefetch(pieces[i].at(k, row));
      }
    }
  }

  /// Inputs that are one number throughout, cast once.
  void load_numbers(std::array<Piece, kMaxOperands>& pieces, Numbers& numbers) const {
    for (int i = outputs_; i < count_; ++i) {
      if (!pieces[i].broadcast()) continue;
      const Operand& operand = operands_[i];
      numbers.mark(i - outputs_);
      if (operand.same_dtype) continue;
      operand.convert(numbers.at(i), operand.loop_element_size, pieces[i].data, 0, 1);
      pieces[i].data = static_cast<char*>(numbers.at(i));
    }
  }

  /// Rows that the loop can take as they are: one call of it. False, with nothing done, where an
  /// operand is otherwise, or where rows are so short that they are better joined.
  bool run_rows(const std::array<Piece, kMaxOperands>& pieces, const Numbers& numbers,
                int64_t inner, int64_t outer) const {
    std::array<void*, kMaxOperands> pointers;
    std::array<int64_t, kMaxOperands> row_strides;
    uint32_t constant = numbers.marked();
    bool joined = true;  // every operand runs on from a row to the next
    for (int i = 0; i < count_; ++i) {
      const Piece& piece = pieces[i];
      pointers[i] = piece.data;
      row_strides[i] = piece.outer_stride;
      if (i >= outputs_ && numbers.is(i - outputs_)) continue;
      if (contiguous(operands_[i], piece, inner, 1)) {
        joined = joined && contiguous(operands_[i], piece, inner, outer);
      } else if (i >= outputs_ && operands_[i].same_dtype && piece.inner_stride == 0) {
        constant |= uint32_t{1} << (i - outputs_);
        joined = false;
      } else {
        return false;
      }
    }
    if (!joined && inner < least_row(plan_)) return false;
    if (joined) {
      inner *= outer;
      outer = 1;
    }
    if (streaming_) {
      stream_rows(pointers, row_strides, constant, inner, outer);
      return true;
    }
    plan_.loop(plan_.parameters, {inner, outer, pointers.data(), pointers.data() + outputs_,
                                  row_strides.data(), constant});
    return true;
  }

  /// Rows by way of a block in the first cache, from where the result is streamed. Blocks end where
  /// lines do.
  void stream_rows(std::array<void*, kMaxOperands> pointers,
                   const std::array<int64_t, kMaxOperands>& row_strides, uint32_t constant,
                   int64_t inner, int64_t outer) const {
    const int64_t size = operands_[0].element_size;
    const auto step = [&](int operand, int64_t n) {
      const bool stays = operand >= outputs_ && (constant >> (operand - outputs_) & 1) != 0;
      return stays ? 0 : n * operands_[operand].element_size;
    };
    alignas(64) char buffer[kStreamBlock];
    for (int64_t row = 0; row < outer; ++row) {
      std::array<void*, kMaxOperands> at = pointers;
      for (int64_t done = 0; done < inner;) {
        const int64_t head = bytes_before_line(at[0], kLine) / size;
        const int64_t n = std::min(inner - done, head > 0 ? head : kStreamBlock / size);
        void* to = buffer;
        plan_.loop(plan_.parameters, {n, 1, &to, at.data() + 1, nullptr, constant});
        stream_copy(at[0], to, n * size);
        for (int i = 0; i < count_; ++i) at[i] = static_cast<char*>(at[i]) + step(i, n);
        done += n;
      }
      for (int i = 0; i < count_; ++i) {
        pointers[i] = static_cast<char*>(pointers[i]) + row_strides[i];
      }
    }
  }

  /// `rows` rows of `n` elements. Long ones are rows of the inner loop, which takes what it can as
  /// it lies; short ones are joined to one run of rows * n elements.
  void run_block(const std::array<Piece, kMaxOperands>& pieces, const Numbers& numbers,
                 int64_t start, int64_t n, int64_t row, int64_t rows,
                 std::array<Buffer, kMaxOperands>& buffers) const {
    const bool joined = rows == 1 || n < kLongRow;
    std::array<void*, kMaxOperands> pointers;
    std::array<int64_t, kMaxOperands> row_strides;
    for (int i = 0; i < count_; ++i) {
      row_strides[i] = pieces[i].outer_stride;
      if (i >= outputs_ && numbers.is(i - outputs_)) {
        pointers[i] = pieces[i].data;
      } else if (contiguous(operands_[i], pieces[i], n, joined ? rows : 1) &&
                 !(streaming_ && i < outputs_)) {
        pointers[i] = pieces[i].at(start, row);
      } else {
        pointers[i] = buffers[i].bytes;
        row_strides[i] = n * operands_[i].loop_element_size;
        if (i >= outputs_) transfer(operands_[i], pieces[i], start, n, row, rows, buffers[i], true);
      }
    }
    plan_.loop(plan_.parameters,
               {joined ? n * rows : n, joined ? 1 : rows, pointers.data(),
                pointers.data() + outputs_, row_strides.data(), numbers.marked()});
    for (int i = 0; i < outputs_; ++i) {
      if (pointers[i] != buffers[i].bytes) continue;
      store_block(i, pieces[i], start, n, row, rows, buffers[i]);
    }
  }

  /// A block of results to memory.
  void store_block(int i, const Piece& piece, int64_t start, int64_t n, int64_t row, int64_t rows,
                   Buffer& buffer) const {
    const Operand& operand = operands_[i];
    if (!streaming_ || piece.inner_stride != operand.element_size ||
        n * operand.element_size < kStreamedRow) {
      transfer(operand, piece, start, n, row, rows, buffer, false);
      return;
    }
    for (int64_t r = 0; r < rows; ++r) {
      const char* from = buffer.bytes + r * n * operand.loop_element_size;
      if (operand.same_dtype) {
        stream_copy(piece.at(start, row + r), from, n * operand.element_size);
      } else {
        stream_cast(operand.convert, piece.at(start, row + r), operand.element_size, from,
                    operand.loop_element_size, n);
      }
    }
  }

  static void transfer(const Operand& operand, const Piece& piece, int64_t start, int64_t n,
                       int64_t row, int64_t rows, Buffer& buffer, bool load) {
    const int64_t size = operand.loop_element_size;
    if (load && rows > 1 && transposed(operand, piece)) {
      transpose(reinterpret_cast<float*>(buffer.bytes), n,
                reinterpret_cast<const float*>(piece.at(start, row)), piece.inner_stride / size,
                rows, n);
      return;
    }
    // Walk the longer way in the inner call: a column of many short rows is one strided call.
    const bool by_column = rows > n;
    const int64_t calls = by_column ? n : rows;
    const int64_t length = by_column ? rows : n;
    const int64_t memory_stride = by_column ? piece.outer_stride : piece.inner_stride;
    const int64_t buffer_stride = by_column ? n * size : size;
    for (int64_t call = 0; call < calls; ++call) {
      char* memory = by_column ? piece.at(start + call, row) : piece.at(start, row + call);
      char* block = buffer.bytes + call * (by_column ? size : n * size);
      if (load) {
        operand.convert(block, buffer_stride, memory, memory_stride, length);
      } else {
        operand.convert(memory, memory_stride, block, buffer_stride, length);
      }
    }
  }

  const PointwisePlan& plan_;
  int outputs_;
  int count_;
  int64_t block_;
  bool streaming_;
  std::array<Operand, kMaxOperands> operands_;
};

/// What one thread does, in rows in which each operand is as the loop wants it or one number: one
/// call of the inner loop and nothing else, since that is all that there is to do where a call
/// counts.
bool run_at_once(const at::TensorIteratorBase& iter, const PointwisePlan& plan) {
  const int dimensions = iter.ndim();
  if (dimensions > 2) return false;
  const int64_t n = dimensions > 0 ? iter.shape()[0] : 1;
  const int64_t rows = dimensions > 1 ? iter.shape()[1] : 1;
  if (rows > 1 && n < least_row(plan)) return false;
  Numbers numbers;
  std::array<void*, kMaxOperands> pointers;
  std::array<int64_t, kMaxOperands> row_strides;
  const int outputs = iter.noutputs();
  const int count = iter.ntensors();
  for (int i = 0; i < count; ++i) {
    const at::OperandInfo& operand = iter.operand(i);
    const at::ScalarType dtype = i < outputs ? plan.output_dtype : plan.input_dtype;
    const auto size = static_cast<int64_t>(c10::elementSize(dtype));
    const int64_t stride = n == 1 ? size : operand.stride_bytes[0];
    row_strides[i] = rows > 1 ? operand.stride_bytes[1] : 0;
    pointers[i] = operand.data;
    if (stride == size && operand.current_dtype == dtype) continue;
    if (i < outputs || (stride != 0 && n != 1)) return false;
    numbers.mark(i - outputs);
    if (operand.current_dtype == dtype) continue;
    if (row_strides[i] != 0) return false;
    convert_function(dtype, operand.current_dtype)(numbers.at(i), size, operand.data, 0, 1);
    pointers[i] = numbers.at(i);
  }
  plan.loop(plan.parameters, {n, rows, pointers.data(), pointers.data() + outputs,
                              row_strides.data(), numbers.marked()});
  return true;
}

}  // namespace

at::ScalarType half_of_inputs(const at::TensorIteratorBase& iter) {
  const int outputs = iter.noutputs(), count = iter.ntensors();
  const at::ScalarType half = count > outputs ? iter.dtype(outputs) : at::ScalarType::Undefined;
  if (half != at::kHalf && half != at::kBFloat16) return at::ScalarType::Undefined;
  for (int i = outputs + 1; i < count; ++i) {
    if (iter.dtype(i) != half) return at::ScalarType::Undefined;
  }
  return half;
}

void run_pointwise(at::TensorIteratorBase& iter, const PointwisePlan& plan) {
  const int64_t total = iter.numel();
  const int64_t grain = std::max<int64_t>(1, kGrain / plan.cost);
  if (total == 0 || (total <= std::max(kAtOnce, grain) && run_at_once(iter, plan))) return;
  const BlockRunner runner(iter, plan);
  const auto loop = [&](char** data, const int64_t* strides, int64_t inner, int64_t outer) {
    runner.run(data, strides, inner, outer);
  };
  parallel_for(0, total, grain, [&](int64_t begin, int64_t end) {
    iter.serial_for_each(loop, {begin, end});
    if (runner.streaming()) stream_fence();
  });
}

}  // namespace alt
