// The untyped part of the pointwise loop.
//
// Order: threads claim ranges of elements; TensorIterator gives each range as 2-d strided pieces;
// a piece is worked off in blocks of at most kBlockBytes per operand, rows of a short inner
// dimension joined into one block. 4 KiB a buffer keeps five operands (16 KiB of buffers and the
// lines they come from) inside a 32 KiB L1.
#include "loops/pointwise.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "loops/convert.h"
#include "loops/transpose.h"
#include "runtime/thread_pool.h"

namespace alt {
namespace {

constexpr int64_t kBlockBytes = 4096;
constexpr int64_t kGrain = 32768;  // additions worth waking a thread for: about 10 microseconds
constexpr int64_t kAtOnce = 512;   // elements that no thread is woken for, whatever they cost
constexpr int64_t kLongRow = 128;  // elements that are a block by themselves
constexpr int64_t kSpread = 256;   // elements of a row that a number is spread over
constexpr int kMaxOperands = 6;
// A block of an iteration with a transposed operand: 16 elements are a line of it, 64 x 16 as many
// elements of four bytes as a buffer has.
constexpr int64_t kTransposedRows = 16;
constexpr int64_t kTransposedColumns = 64;

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
  char bytes[kBlockBytes];
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
  }

  void run(char** data, const int64_t* strides, int64_t inner, int64_t outer) const {
    std::array<Piece, kMaxOperands> pieces;
    for (int i = 0; i < count_; ++i) pieces[i] = {data[i], strides[i], strides[count_ + i]};
    if (run_direct(pieces, inner, outer)) return;

    std::array<Buffer, kMaxOperands> buffers;
    std::array<void*, kMaxOperands> pointers;
    load_broadcast(pieces, inner * outer, buffers, pointers);
    if (inner >= kTransposedColumns && outer >= kTransposedRows &&
        block_ >= kTransposedColumns * kTransposedRows && any_transposed(pieces)) {
      for (int64_t o = 0; o < outer; o += kTransposedRows) {
        for (int64_t i = 0; i < inner; i += kTransposedColumns) {
          run_block(pieces, i, std::min(kTransposedColumns, inner - i), o,
                    std::min(kTransposedRows, outer - o), buffers, pointers);
        }
      }
    } else if (inner >= kLongRow || outer == 1) {
      if (run_rows(pieces, inner, outer, buffers, pointers)) return;
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; i += block_) {
          run_block(pieces, i, std::min(block_, inner - i), o, 1, buffers, pointers);
        }
      }
    } else {
      const int64_t rows = std::max<int64_t>(1, block_ / inner);
      for (int64_t o = 0; o < outer; o += rows) {
        run_block(pieces, 0, inner, o, std::min(rows, outer - o), buffers, pointers);
      }
    }
  }

 private:
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

  /// All operands contiguous in the loop's dtypes: one call of the inner loop.
  bool run_direct(const std::array<Piece, kMaxOperands>& pieces, int64_t inner,
                  int64_t outer) const {
    std::array<void*, kMaxOperands> pointers;
    for (int i = 0; i < count_; ++i) {
      if (!contiguous(operands_[i], pieces[i], inner, outer)) return false;
      pointers[i] = pieces[i].data;
    }
    plan_.loop(plan_.parameters, inner * outer, pointers.data(), pointers.data() + outputs_);
    return true;
  }

  /// Inputs that are one value throughout are spread over their buffer once.
  void load_broadcast(const std::array<Piece, kMaxOperands>& pieces, int64_t total,
                      std::array<Buffer, kMaxOperands>& buffers,
                      std::array<void*, kMaxOperands>& pointers) const {
    for (int i = outputs_; i < count_; ++i) {
      if (!pieces[i].broadcast()) continue;
      operands_[i].convert(buffers[i].bytes, operands_[i].loop_element_size, pieces[i].data, 0,
                           std::min(block_, total));
      pointers[i] = buffers[i].bytes;
    }
  }

  /// A row at a time, of operands that the loop can take as they are and of inputs that are one
  /// number throughout a row: those are spread once a row, over a buffer that is short enough for
  /// the row to make use of it several times. False, with nothing done, where one is otherwise.
  bool run_rows(const std::array<Piece, kMaxOperands>& pieces, int64_t inner, int64_t outer,
                std::array<Buffer, kMaxOperands>& buffers,
                std::array<void*, kMaxOperands>& pointers) const {
    std::array<int64_t, kMaxOperands> advance{};  // bytes from a step to the next
    int64_t step = inner;
    for (int i = 0; i < count_; ++i) {
      if (contiguous(operands_[i], pieces[i], inner, 1)) {
        advance[i] = operands_[i].element_size;
      } else if (i >= outputs_ && pieces[i].inner_stride == 0) {
        step = std::min({step, block_, pieces[i].broadcast() ? block_ : kSpread});
      } else {
        return false;
      }
    }
    for (int64_t o = 0; o < outer; ++o) {
      for (int i = 0; i < count_; ++i) {
        if (advance[i] != 0) {
          pointers[i] = pieces[i].at(0, o);
        } else if (!pieces[i].broadcast()) {
          pointers[i] = buffers[i].bytes;
          operands_[i].convert(buffers[i].bytes, operands_[i].loop_element_size, pieces[i].at(0, o),
                               0, step);
        }
      }
      for (int64_t start = 0; start < inner; start += step) {
        const int64_t n = std::min(step, inner - start);
        plan_.loop(plan_.parameters, n, pointers.data(), pointers.data() + outputs_);
        for (int i = 0; i < count_; ++i) {
          pointers[i] = static_cast<char*>(pointers[i]) + n * advance[i];
        }
      }
    }
    return true;
  }

  /// `rows` rows of `n` elements, as one run of rows * n elements of the inner loop.
  void run_block(const std::array<Piece, kMaxOperands>& pieces, int64_t start, int64_t n,
                 int64_t row, int64_t rows, std::array<Buffer, kMaxOperands>& buffers,
                 std::array<void*, kMaxOperands>& pointers) const {
    for (int i = 0; i < count_; ++i) {
      if (i >= outputs_ && pieces[i].broadcast()) continue;
      if (contiguous(operands_[i], pieces[i], n, rows)) {
        pointers[i] = pieces[i].at(start, row);
      } else {
        pointers[i] = buffers[i].bytes;
        if (i >= outputs_) transfer(operands_[i], pieces[i], start, n, row, rows, buffers[i], true);
      }
    }
    plan_.loop(plan_.parameters, n * rows, pointers.data(), pointers.data() + outputs_);
    for (int i = 0; i < outputs_; ++i) {
      if (pointers[i] == buffers[i].bytes) {
        transfer(operands_[i], pieces[i], start, n, row, rows, buffers[i], false);
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
  std::array<Operand, kMaxOperands> operands_;
};

/// Few elements, each operand as the loop wants it or one number: one call of the inner loop and
/// nothing else, since that is all that there is to do where a call counts.
bool run_at_once(const at::TensorIteratorBase& iter, const PointwisePlan& plan, int64_t total) {
  if (iter.ndim() > 1 || total > kAtOnce) return false;
  alignas(64) char numbers[kAtOnce * sizeof(c10::complex<double>)];
  bool numbers_taken = false;
  std::array<void*, kMaxOperands> pointers;
  const int outputs = iter.noutputs();
  const int count = iter.ntensors();
  for (int i = 0; i < count; ++i) {
    const at::OperandInfo& operand = iter.operand(i);
    const at::ScalarType dtype = i < outputs ? plan.output_dtype : plan.input_dtype;
    const auto size = static_cast<int64_t>(c10::elementSize(dtype));
    const int64_t stride = total == 1 ? size : operand.stride_bytes[0];
    if (stride == size && operand.current_dtype == dtype) {
      pointers[i] = operand.data;
    } else if (stride == 0 && i >= outputs && !numbers_taken) {
      convert_function(dtype, operand.current_dtype)(numbers, size, operand.data, 0, total);
      pointers[i] = numbers;
      numbers_taken = true;
    } else {
      return false;
    }
  }
  plan.loop(plan.parameters, total, pointers.data(), pointers.data() + outputs);
  return true;
}

}  // namespace

void run_pointwise(at::TensorIteratorBase& iter, const PointwisePlan& plan) {
  const int64_t total = iter.numel();
  if (total == 0 || run_at_once(iter, plan, total)) return;
  const BlockRunner runner(iter, plan);
  const auto loop = [&](char** data, const int64_t* strides, int64_t inner, int64_t outer) {
    runner.run(data, strides, inner, outer);
  };
  parallel_for(0, total, std::max<int64_t>(1, kGrain / plan.cost),
               [&](int64_t begin, int64_t end) { iter.serial_for_each(loop, {begin, end}); });
}

}  // namespace alt
