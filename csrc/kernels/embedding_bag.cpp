// Sums, means and maxima over bags of embedding rows, and their gradients.
//
// A bag is a run of places in `indices`. Forward, one task is some bags; lanes run along the row, a
// group of lanes stays in registers while its bag is walked. Backward, places are sorted by row as
// for embedding: each row of the gradient is summed and written once.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "kernels/cuda/embedding_bag.h"
#include "kernels/embedding.h"
#include "kernels/norm_lanes.h"
#include "kernels/operands.h"
#include "runtime/cuda/engine.h"
#include "runtime/thread_pool.h"

namespace alt::kernels {
namespace {

using at::Tensor;
using OptionalTensor = std::optional<Tensor>;

enum Mode : int64_t { kSum = 0, kMean = 1, kMax = 2 };

bool defined(const OptionalTensor& t) {
  return t.has_value() && t->defined();
}

void check_bag_indices(const Tensor& t, int number, const char* name) {
  TORCH_CHECK(t.scalar_type() == at::kLong || t.scalar_type() == at::kInt,
              "Expected tensor for argument #", number, " '", name,
              "' to have one of the following scalar types: Long, Int; but got ", t.toString(),
              " instead (while checking arguments for embedding_bag)");
  TORCH_CHECK(t.dim() == 1, "Expected 1-dimensional tensor, but got ", t.dim(),
              "-dimensional tensor for argument #", number, " '", name,
              "' (while checking arguments for embedding_bag)");
}

void check_last_offset(const Tensor& offsets, bool include_last_offset) {
  TORCH_CHECK(!include_last_offset || offsets.numel() >= 1,
              "include_last_offset: number of offset should be at least 1");
}

int64_t rows_per_task(int64_t width) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, width));
}

// Bags as int64: bag b is places [start[b], start[b + 1]) of `index`.
struct Bags {
  Tensor indices, offsets;
  const int64_t* index;
  std::vector<int64_t> start;
  int64_t count;

  Bags(const Tensor& indices_, const Tensor& offsets_, bool include_last_offset) {
    indices = indices_.to(at::kLong).contiguous();
    offsets = offsets_.to(at::kLong).contiguous();
    index = indices.const_data_ptr<int64_t>();
    const int64_t places = indices.numel(), given = offsets.numel();
    check_last_offset(offsets, include_last_offset);
    const int64_t* offset = offsets.const_data_ptr<int64_t>();
    TORCH_CHECK(given == 0 || offset[0] == 0,
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has ",
                "to start from position 0. However, got ", given ? offset[0] : 0);
    TORCH_CHECK(given == 0 || offset[given - 1] <= places,
                "offsets[-1] can not be greater than input's length ", places,
                " but got offsets[-1] of ", given ? offset[given - 1] : 0);
    for (int64_t b = 1; b < given; ++b) {
      TORCH_CHECK(offset[b - 1] <= offset[b], "offsets must not decrease, but offsets[", b, "] is ",
                  offset[b], " after ", offset[b - 1]);
    }
    count = include_last_offset ? given - 1 : given;
    start.assign(offset, offset + count);
    start.push_back(include_last_offset && given > 0 ? offset[given - 1] : places);
  }
};

// Stock leaves the bag of each place out where its fast kernels serve; the gradient then finds it
// from the offsets.
bool leaves_places_out(const Tensor& weight, const OptionalTensor& per_sample_weights, int64_t mode,
                       int64_t padding_idx) {
  return mode == kSum && weight.scalar_type() != at::kDouble && weight.stride(1) == 1 &&
         padding_idx < 0 && (!defined(per_sample_weights) || per_sample_weights->stride(0) == 1);
}

using FourTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;

FourTensors embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets,
                          int64_t mode, const OptionalTensor& per_sample_weights,
                          bool include_last_offset, int64_t padding_idx, bool forward_only) {
  TORCH_CHECK(
      weight.dim() == 2, "Expected 2-dimensional tensor, but got ", weight.dim(),
      "-dimensional tensor for argument #1 'weight' (while checking arguments for embedding_bag)");
  check_bag_indices(indices, 2, "indices");
  check_bag_indices(offsets, 3, "offsets");
  TORCH_CHECK(mode == kSum || mode == kMean || mode == kMax,
              "embedding_bag: mode must be 0, 1 or 2, got ", mode);
  const auto type = weight.scalar_type();
  TORCH_CHECK(
      type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16,
      "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, "
      "BFloat16, "
      "Float, Double; but got ",
      weight.toString(), " instead (while checking arguments for embedding_bag)");
  if (defined(per_sample_weights)) {
    TORCH_CHECK(mode == kSum, "embedding_bag: per_sample_weights only supported with mode='sum'");
    TORCH_CHECK(per_sample_weights->scalar_type() == type,
                "Expected tensor for argument #1 'weight' to have the ",
                "same type as tensor for argument #1 'per_sample_weights'; but type ",
                weight.toString(), " does not equal ", per_sample_weights->toString(),
                " (while checking arguments for embedding_bag)");
    TORCH_CHECK(per_sample_weights->dim() == 1 && per_sample_weights->numel() == indices.numel(),
                "embedding_bag: expected ", indices.numel(), " per_sample_weights, got ",
                per_sample_weights->sizes());
  }
  const auto index_options = indices.options().dtype(
      indices.scalar_type() == offsets.scalar_type() ? indices.scalar_type() : at::kLong);
  const auto results = [&](const Tensor& output, const Tensor& bag_of, const Tensor& sizes,
                           const Tensor& largest) -> FourTensors {
    const bool counts_bags =
        mode != kSum ||
        (!forward_only && (weight.requires_grad() ||
                           (defined(per_sample_weights) && per_sample_weights->requires_grad())));
    if (!counts_bags) sizes.zero_();
    const Tensor bag_size = sizes.to(index_options);
    const Tensor offset2bag = leaves_places_out(weight, per_sample_weights, mode, padding_idx)
                                  ? at::empty({0}, index_options)
                                  : bag_of.to(index_options);
    return {output, offset2bag, bag_size,
            mode == kMax ? largest.to(index_options) : bag_size.clone()};
  };
  if (alt::cuda::on_gpu()) {
    check_last_offset(offsets, include_last_offset);
    const Tensor factors = per_sample_weights.value_or(Tensor());
    const int64_t count = offsets.numel() - (include_last_offset ? 1 : 0);
    const auto found =
        cuda::embedding_bag(weight, indices, offsets, mode, factors, count, padding_idx);
    return results(found.output, found.bag_of, found.sizes, found.largest);
  }
  const Bags bags(indices, offsets, include_last_offset);
  const int64_t rows = weight.size(0), width = weight.size(1), places = indices.numel();
  for (int64_t i = 0; i < places; ++i) {
    TORCH_CHECK(bags.index[i] >= 0 && bags.index[i] < rows,
                "embedding_bag: Expected idx >= 0 && idx < num_embeddings ", "but found idx to be ",
                bags.index[i]);
  }

  const auto long_options = indices.options().dtype(at::kLong);
  const Tensor output = at::empty({bags.count, width}, weight.options());
  const Tensor bag_of = at::empty({places}, long_options),
               sizes = at::empty({bags.count}, long_options);
  const Tensor largest =
      at::zeros(mode == kMax ? std::vector<int64_t>{bags.count, width} : std::vector<int64_t>{0},
                long_options);
  int64_t *bag_of_data = bag_of.mutable_data_ptr<int64_t>(),
          *sizes_data = sizes.mutable_data_ptr<int64_t>(),
          *largest_data = largest.mutable_data_ptr<int64_t>();
  for (int64_t b = 0; b < bags.count; ++b) {
    sizes_data[b] = 0;
    for (int64_t i = bags.start[b]; i < bags.start[b + 1]; ++i) {
      bag_of_data[i] = b;
      sizes_data[b] += bags.index[i] != padding_idx;
    }
  }
  for (int64_t i = bags.start.back(); i < places; ++i) bag_of_data[i] = bags.count;

  visit<FloatingAndHalfTypes>(type, "embedding_bag", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const Tensor table = weight.contiguous();
    const Tensor scales = defined(per_sample_weights) ? per_sample_weights->contiguous() : Tensor();
    const T *from = table.const_data_ptr<T>(), *scale = data_or_null<T>(scales);
    T* to = output.mutable_data_ptr<T>();
    parallel_for(0, bags.count, rows_per_task(width), [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        const int64_t first = bags.start[b], last = bags.start[b + 1];
        if (mode == kMax) {
          for (int64_t d = 0; d < width; ++d) {
            A best = 0;
            bool empty = true;
            for (int64_t i = first; i < last; ++i) {
              if (bags.index[i] == padding_idx) continue;
              const A value = static_cast<A>(from[bags.index[i] * width + d]);
              if (!empty && !(value > best)) continue;
              best = value;
              empty = false;
              largest_data[b * width + d] = bags.index[i];
            }
            to[b * width + d] = static_cast<T>(best);
          }
          continue;
        }
        const V factor(mode == kMean && sizes_data[b] > 0 ? A(1) / static_cast<A>(sizes_data[b])
                                                          : A(1));
        for_lanes<A>(0, width, [&](int64_t d, auto lanes) {
          V sum(A(0));
          for (int64_t i = first; i < last; ++i) {
            if (bags.index[i] == padding_idx) continue;
            const V row = load_lanes(from + bags.index[i] * width + d, lanes);
            sum = scale ? fma(row, V(static_cast<A>(scale[i])), sum) : sum + row;
          }
          store_lanes<T>(sum * factor, to + b * width + d, lanes);
        });
      }
    });
  });

  return results(output, bag_of, sizes, largest);
}

}  // namespace

FourTensors embedding_bag(const Tensor& weight, const Tensor& indices, const Tensor& offsets,
                          bool /*scale_grad_by_freq*/, int64_t mode, bool /*sparse*/,
                          const OptionalTensor& per_sample_weights, bool include_last_offset,
                          int64_t padding_idx) {
  return embedding_bag(weight, indices, offsets, mode, per_sample_weights, include_last_offset,
                       padding_idx,
                       /*forward_only=*/false);
}

FourTensors embedding_bag_forward_only(const Tensor& weight, const Tensor& indices,
                                       const Tensor& offsets, bool /*scale_grad_by_freq*/,
                                       int64_t mode, bool /*sparse*/,
                                       const OptionalTensor& per_sample_weights,
                                       bool include_last_offset, int64_t padding_idx) {
  return embedding_bag(weight, indices, offsets, mode, per_sample_weights, include_last_offset,
                       padding_idx,
                       /*forward_only=*/true);
}

Tensor embedding_bag_dense_backward(const Tensor& grad_, const Tensor& indices,
                                    const Tensor& offset2bag, const Tensor& bag_size,
                                    const Tensor& maximum_indices, int64_t num_weights,
                                    bool scale_grad_by_freq, int64_t mode,
                                    const OptionalTensor& per_sample_weights, int64_t padding_idx) {
  const Tensor grad = grad_.contiguous(), index = indices.to(at::kLong).contiguous();
  const Tensor bag_of = offset2bag.to(at::kLong).contiguous(),
               sizes = bag_size.to(at::kLong).contiguous();
  const int64_t bags = grad.size(0), width = grad.size(1), places = index.numel();
  TORCH_CHECK(mode == kMax || bag_of.numel() >= places,
              "embedding_bag: expected the bag of each of ", places, " indices, got ",
              bag_of.numel());
  if (alt::cuda::on_gpu()) {
    check_type<FloatingAndHalfTypes>(grad.scalar_type(), "embedding_bag_backward");
    return cuda::embedding_bag_dense_backward(
        grad, index, bag_of, sizes, maximum_indices.to(at::kLong), num_weights, scale_grad_by_freq,
        mode, per_sample_weights.value_or(Tensor()), padding_idx);
  }
  const int64_t* bag = bag_of.const_data_ptr<int64_t>();
  const int64_t* size = sizes.const_data_ptr<int64_t>();
  const Tensor grad_weight = at::empty({num_weights, width}, grad.options());

  visit<FloatingAndHalfTypes>(grad.scalar_type(), "embedding_bag_backward", [&]<class T>() {
    using A = opmath_t<T>;
    using V = Vec<A>;
    const T* from = grad.const_data_ptr<T>();
    T* to = grad_weight.mutable_data_ptr<T>();
    if (mode == kMax) {
      const Tensor largest = maximum_indices.to(at::kLong).contiguous();
      const int64_t* row_of = largest.const_data_ptr<int64_t>();
      for (int64_t i = 0; i < bags * width; ++i) {
        TORCH_CHECK_INDEX(row_of[i] >= 0 && row_of[i] < num_weights, "index out of range in self");
      }
      std::vector<A> sums(num_weights * width, A(0));
      for (int64_t b = 0; b < bags; ++b) {
        if (size[b] == 0) continue;
        for (int64_t d = 0; d < width; ++d) {
          sums[row_of[b * width + d] * width + d] += static_cast<A>(from[b * width + d]);
        }
      }
      for (size_t i = 0; i < sums.size(); ++i) to[i] = static_cast<T>(sums[i]);
      return;
    }
    const Tensor scales = defined(per_sample_weights) ? per_sample_weights->contiguous() : Tensor();
    const T* scale = data_or_null<T>(scales);
    const PlacesByRow by_row(index.const_data_ptr<int64_t>(), places, num_weights, padding_idx);
    parallel_for(0, num_weights, rows_per_task(width), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t first = by_row.start[row], last = by_row.start[row + 1];
        const A frequency =
            scale_grad_by_freq && last > first ? A(1) / static_cast<A>(last - first) : A(1);
        for_lanes<A>(0, width, [&](int64_t d, auto lanes) {
          V sum(A(0));
          for (int64_t k = first; k < last; ++k) {
            const int64_t place = by_row.order[k], b = bag[place];
            if (b >= bags) continue;  // after the last offset
            A factor = frequency;
            if (scale) factor *= static_cast<A>(scale[place]);
            if (mode == kMean) factor /= static_cast<A>(size[b]);
            sum = sum + load_lanes(from + b * width + d, lanes) * V(factor);
          }
          store_lanes<T>(sum, to + row * width + d, lanes);
        });
      }
    });
  });
  return grad_weight;
}

Tensor embedding_bag_per_sample_weights_backward(const Tensor& grad_, const Tensor& weight,
                                                 const Tensor& indices, const Tensor& offsets,
                                                 const Tensor& offset2bag, int64_t mode,
                                                 int64_t padding_idx) {
  TORCH_CHECK(mode == kSum,
              "embedding_bag_backward: per_sample_weights only supported for mode='sum'");
  TORCH_CHECK(grad_.dim() == 2 && weight.dim() == 2 && grad_.size(1) == weight.size(1),
              "embedding_bag_backward: expected grad and weight of one width, got ", grad_.sizes(),
              " and ", weight.sizes());
  const Tensor grad = grad_.contiguous(), table = weight.contiguous();
  const Tensor index = indices.to(at::kLong).contiguous();
  const int64_t places = index.numel(), width = grad.size(1), bags = grad.size(0),
                rows = table.size(0);
  if (alt::cuda::on_gpu()) {
    const Tensor starts = offsets.to(at::kLong).contiguous();
    const Tensor given = offset2bag.numel() >= places ? offset2bag.to(at::kLong)
                                                      : cuda::bag_of_places(starts, places);
    return cuda::embedding_bag_factors_backward(grad, table, index, given, padding_idx);
  }
  const int64_t* row_of = index.const_data_ptr<int64_t>();
  std::vector<int64_t> bag_of(places, bags);
  if (offset2bag.numel() >= places) {
    const Tensor given = offset2bag.to(at::kLong).contiguous();
    const int64_t* data = given.const_data_ptr<int64_t>();
    std::copy(data, data + places, bag_of.begin());
  } else {
    const Bags found(indices, offsets, offsets.numel() > bags);
    for (int64_t b = 0; b < found.count; ++b) {
      for (int64_t i = found.start[b]; i < found.start[b + 1]; ++i) bag_of[i] = b;
    }
  }
  for (int64_t i = 0; i < places; ++i) {
    TORCH_CHECK_INDEX(row_of[i] >= 0 && row_of[i] < rows, "index out of range in self");
  }
  const Tensor result = at::empty({places}, grad.options());
  visit<FloatingAndHalfTypes>(
      grad.scalar_type(), "_embedding_bag_per_sample_weights_backward_cpu", [&]<class T>() {
        using A = opmath_t<T>;
        const T *g = grad.const_data_ptr<T>(), *w = table.const_data_ptr<T>();
        T* to = result.mutable_data_ptr<T>();
        parallel_for(0, places, rows_per_task(width), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            if (row_of[i] == padding_idx || bag_of[i] >= bags) {
              to[i] = T(0);
              continue;
            }
            const T *a = g + bag_of[i] * width, *b = w + row_of[i] * width;
            to[i] = static_cast<T>(sum_lanes<A, 1>(width, [&](int64_t d, auto lanes) {
              return std::array<Vec<A>, 1>{load_lanes(a + d, lanes) * load_lanes(b + d, lanes)};
            })[0]);
          }
        });
      });
  return result;
}

}  // namespace alt::kernels
