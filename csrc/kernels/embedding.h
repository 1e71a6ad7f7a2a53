// What the gradients of embedding and embedding_bag share: the places that looked a row up, row by
// row.
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <vector>

namespace alt::kernels {

// The places 0..n of each row, by row: those of row r are order[start[r]] to order[start[r + 1] -
// 1].
struct PlacesByRow {
  std::vector<int64_t> start, order;

  PlacesByRow(const int64_t* row_of, int64_t n, int64_t rows, int64_t skipped)
      : start(rows + 1, 0) {
    for (int64_t i = 0; i < n; ++i) {
      TORCH_CHECK_INDEX(row_of[i] == skipped || (row_of[i] >= 0 && row_of[i] < rows),
                        "index out of range in self");
      if (row_of[i] != skipped) ++start[row_of[i] + 1];
    }
    for (int64_t r = 0; r < rows; ++r) start[r + 1] += start[r];
    order.resize(start[rows]);
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t i = 0; i < n; ++i) {
      if (row_of[i] != skipped) order[next[row_of[i]]++] = i;
    }
  }
};

}  // namespace alt::kernels
