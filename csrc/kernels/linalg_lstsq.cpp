// Least squares: gels, gelsy, gelsd, gelss.
//
// The front-end is ours as well, because PyTorch's offers every device but the CPU only gels.
// LAPACK wants the right-hand sides max(m, n) high; the first n rows of the result are the
// solution, and for a matrix of full rank the squares of the others sum to the residual.

#include <ATen/core/Tensor.h>
#include <ATen/ops/_linalg_check_errors.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/lapack.h"
#include "kernels/linalg.h"
#include "kernels/operands.h"

namespace alt::kernels {
namespace {

using at::Tensor;

enum class Driver { kGels, kGelsy, kGelsd, kGelss };

Driver parse_driver(std::optional<std::string_view> name) {
  std::string lower(name.value_or("gelsy"));
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const std::array<std::string_view, 4> names{"gels", "gelsy", "gelsd", "gelss"};
  const auto found = std::find(names.begin(), names.end(), lower);
  TORCH_CHECK(
      found != names.end(),
      "torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)");
  return static_cast<Driver>(found - names.begin());
}

bool finds_rank(Driver driver) {
  return driver != Driver::kGels;
}

bool finds_singular_values(Driver driver) {
  return driver == Driver::kGelsd || driver == Driver::kGelss;
}

void check_inputs(const Tensor& input, const Tensor& other) {
  TORCH_CHECK(input.dim() >= 2, "torch.linalg.lstsq: input must have at least 2 dimensions.");
  TORCH_CHECK(other.dim() >= 1, "torch.linalg.lstsq: other must have at least 1 dimension.");
  TORCH_CHECK(input.scalar_type() == other.scalar_type(),
              "torch.linalg.lstsq: Expected input and other to have the same dtype, but got "
              "input's dtype ",
              input.scalar_type(), " and other's dtype ", other.scalar_type());
  const int64_t difference = input.dim() - other.dim();
  TORCH_CHECK(difference == 0 || difference == 1,
              "torch.linalg.lstsq: input.dim() must be greater or equal to other.dim() and "
              "(input.dim() - other.dim()) <= 1");
  const bool is_vector = at::native::linalg_solve_is_vector_rhs(input, other);
  TORCH_CHECK(input.size(-2) == other.size(is_vector ? -1 : -2),
              "torch.linalg.lstsq: input.size(-2) should match ",
              is_vector ? "other.size(-1)" : "other.size(-2)");
  at::native::checkSameDevice("torch.linalg.lstsq", other, input, "other");
}

void check_out(const Tensor& input, const Tensor& out, at::ScalarType dtype, const char* argument,
               const char* told = nullptr) {
  at::native::checkSameDevice("torch.linalg.lstsq", out, input, argument);
  at::native::checkLinalgCompatibleDtype("torch.linalg.lstsq", out.scalar_type(), dtype,
                                         told != nullptr ? told : argument);
}

/// Solves one system. `a` is destroyed and `b` becomes the result; returns LAPACK's info.
template <class T>
struct Solver {
  int operator()(T* a, T* b, int64_t* rank, lapack::real_t<T>* singular_values) {
    const int lda = std::max(1, m);
    const int ldb = std::max({1, m, n});
    int found_rank = 0;
    const int info = [&] {
      switch (driver) {
        case Driver::kGels:
          return lapack::gels(m, n, nrhs, a, lda, b, ldb, space);
        case Driver::kGelsy:
          free_columns.assign(std::max(1, n), 0);
          return lapack::gelsy(m, n, nrhs, a, lda, b, ldb, free_columns.data(), rcond, &found_rank,
                               space);
        case Driver::kGelsd:
          return lapack::gelsd(m, n, nrhs, a, lda, b, ldb, singular_values, rcond, &found_rank,
                               space);
        default:
          return lapack::gelss(m, n, nrhs, a, lda, b, ldb, singular_values, rcond, &found_rank,
                               space);
      }
    }();
    if (rank != nullptr) {
      *rank = found_rank;
    }
    return info;
  }

  Driver driver;
  int m;
  int n;
  int nrhs;
  lapack::real_t<T> rcond;
  lapack::Workspace<T> space{};
  std::vector<int> free_columns{};
};

/// `b` (the broadcast batch, max(m, n) high) is solved in place. Rank, singular values and info
/// have the batch of `input`: systems that share a matrix find the same.
template <class T>
void solve(Driver driver, double rcond, const Tensor& input, const Tensor& b, const Tensor& rank,
           const Tensor& singular_values, const Tensor& info) {
  const Matrices<T> sides(b);
  const int m = static_cast<int>(input.size(-2));
  const int n = static_cast<int>(input.size(-1));
  const Tensor columns = at::native::cloneBatchedColumnMajor(input);
  const at::IntArrayRef batch(b.sizes().data(), b.dim() - 2);
  const std::vector<int64_t> offsets = broadcast_offsets(columns, 2, batch);
  const int64_t matrix_size = int64_t{m} * n;
  T* matrices = columns.mutable_data_ptr<T>();
  auto* ranks = finds_rank(driver) ? rank.mutable_data_ptr<int64_t>() : nullptr;
  auto* values = finds_singular_values(driver)
                     ? singular_values.mutable_data_ptr<lapack::real_t<T>>()
                     : nullptr;
  int* infos = info.mutable_data_ptr<int>();
  const bool shared = at::native::batchCount(input) < sides.count;
  const auto solve_one = [&](int64_t i, Solver<T>& solver, std::vector<T>& copy) {
    T* a = matrices + offsets[i];
    if (shared) {  // LAPACK destroys the matrix, which another system needs
      copy.assign(a, a + matrix_size);
      a = copy.data();
    }
    const int64_t which = offsets[i] / std::max<int64_t>(1, matrix_size);
    infos[which] = solver(a, sides[i], ranks != nullptr ? ranks + which : nullptr,
                          values != nullptr ? values + which * std::min(m, n) : nullptr);
  };
  const auto body =
      [&, solver = Solver<T>{driver, m, n, sides.columns, static_cast<lapack::real_t<T>>(rcond)},
       copy = std::vector<T>()](int64_t i) mutable { solve_one(i, solver, copy); };
  if (shared) {  // they write the same rank
    auto serial = body;
    for (int64_t i = 0; i < sides.count; ++i) {
      serial(i);
    }
  } else {
    for_each_matrix(sides.count, 4 * factor_cost(m, n), body);
  }
}

/// The right-hand sides in a column-major tensor of the broadcast batch, padded to max(m, n) rows.
Tensor padded_sides(const Tensor& input, const Tensor& other) {
  const at::IntArrayRef input_batch(input.sizes().data(), input.dim() - 2);
  const at::IntArrayRef other_batch(other.sizes().data(), other.dim() - 2);
  const int64_t rows = std::max(input.size(-2), input.size(-1));
  const auto batch = at::infer_size_dimvector(input_batch, other_batch);
  return at::native::copyBatchedColumnMajor(other, rows, at::IntArrayRef(batch));
}

/// The sum of squares of the rows below the solution, if it means something.
bool has_residuals(const Tensor& input, const Tensor& rank, Driver driver) {
  const int64_t n = input.size(-1);
  if (input.size(-2) <= n || driver == Driver::kGelsy) {
    return false;
  }
  return !finds_singular_values(driver) || rank.eq(n).all().item<bool>();
}

struct Solution {
  Tensor solution;
  Tensor residuals;
  Tensor rank;
  Tensor singular_values;
};

Solution least_squares(const Tensor& input, const Tensor& given, std::optional<double> rcond,
                       Driver driver) {
  const bool is_vector = at::native::linalg_solve_is_vector_rhs(input, given);
  const Tensor other = is_vector ? given.unsqueeze(-1) : given;
  const at::IntArrayRef batch(input.sizes().data(), input.dim() - 2);
  const int64_t m = input.size(-2);
  const int64_t n = input.size(-1);
  const at::ScalarType real = c10::toRealValueType(input.scalar_type());
  const double tolerance =
      rcond.value_or(at::native::_get_epsilon(real) * static_cast<double>(std::max(m, n)));
  at::DimVector values_shape(batch.begin(), batch.end());
  values_shape.push_back(std::min(m, n));
  const auto options = input.options();
  const auto real_options = options.dtype(real);
  const at::DimVector none{0};
  const Tensor rank =
      at::zeros(finds_rank(driver) ? batch : at::IntArrayRef(none), options.dtype(at::kLong));
  const Tensor values =
      at::empty(finds_singular_values(driver) ? values_shape : none, real_options);
  const Tensor info = at::zeros(batch, options.dtype(at::kInt));
  const Tensor sides = padded_sides(input, other);
  if (m == 0 || (n == 0 && driver == Driver::kGels)) {  // gels alone clears what nothing explains
    sides.zero_();
  }
  visit<FloatingAndComplexTypes>(input.scalar_type(), "linalg_lstsq_cpu", [&]<class T>() {
    if (input.numel() > 0 && sides.numel() > 0) {
      solve<T>(driver, tolerance, input, sides, rank, values, info);
    }
  });
  at::_linalg_check_errors(info, "torch.linalg.lstsq", info.numel() <= 1);
  const Tensor residuals = has_residuals(input, rank, driver)
                               ? sides.narrow(-2, n, m - n).abs().square().sum(-2)
                               : at::empty({0}, real_options);
  const Tensor solution = sides.narrow(-2, 0, n);
  return {is_vector ? solution.squeeze(-1) : solution, residuals, rank, values};
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor> linalg_lstsq(const Tensor& self, const Tensor& b,
                                                        std::optional<double> rcond,
                                                        std::optional<std::string_view> driver) {
  check_inputs(self, b);
  Solution found = least_squares(self, b, rcond, parse_driver(driver));
  return {found.solution, found.residuals, found.rank, found.singular_values};
}

std::tuple<Tensor&, Tensor&, Tensor&, Tensor&> linalg_lstsq_out(
    const Tensor& self, const Tensor& b, std::optional<double> rcond,
    std::optional<std::string_view> driver, Tensor& solution, Tensor& residuals, Tensor& rank,
    Tensor& singular_values) {
  check_inputs(self, b);
  const at::ScalarType real = c10::toRealValueType(self.scalar_type());
  check_out(self, solution, self.scalar_type(), "solution");
  check_out(self, residuals, real, "residuals", /*told=*/"solution");  // stock's slip
  check_out(self, rank, at::kLong, "rank");
  check_out(self, singular_values, real, "singular_values");
  const Solution found = least_squares(self, b, rcond, parse_driver(driver));
  copy_to_output(found.solution, solution);
  copy_to_output(found.residuals, residuals);
  copy_to_output(found.rank, rank);
  copy_to_output(found.singular_values, singular_values);
  return {solution, residuals, rank, singular_values};
}

}  // namespace alt::kernels
