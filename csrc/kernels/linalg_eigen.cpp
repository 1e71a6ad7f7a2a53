// Eigenvalues and eigenvectors: geev for general matrices, syevd for Hermitian ones.
//
// The front-end of linalg.eig is ours as well: PyTorch's hands matrices of any device to its CPU
// kernel. LAPACK tells the complex eigenvectors of a real matrix as pairs of real columns, which
// each thread spells out as it goes. geev of MKL crashes on NaN, so all four operators refuse it
// (of stock's, eigvals does crash).

#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_linalg_check_errors.h>
#include <ATen/ops/all.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/zeros.h>

#include <complex>
#include <tuple>
#include <vector>

#include "kernels/lapack.h"
#include "kernels/linalg.h"
#include "kernels/operands.h"

namespace alt::kernels {
namespace {

using at::Tensor;

/// geev's eigenvectors of a real matrix as complex ones. Conjugate pairs are neighbours, of which
/// the first column is the real part and the second the imaginary part of the first vector.
template <class T>
void spell_out(int64_t n, const c10::complex<T>* values, const T* packed,
               c10::complex<T>* vectors) {
  for (int64_t j = 0; j < n; ++j) {
    const T* real = packed + j * n;
    c10::complex<T>* vector = vectors + j * n;
    if (values[j].imag() == T(0)) {
      std::copy(real, real + n, vector);
      continue;
    }
    for (int64_t i = 0; i < n; ++i) {
      const c10::complex<T> element(real[i], real[n + i]);
      vector[i] = element;
      vector[n + i] = std::conj(element);
    }
    ++j;
  }
}

/// The eigenvalues and right eigenvectors (where not null) of one matrix, which is destroyed.
template <class T>
struct General {
  using Complex = c10::complex<lapack::real_t<T>>;

  int operator()(int n, T* a, Complex* values, Complex* vectors) {
    const char job = vectors != nullptr ? 'V' : 'N';
    if constexpr (lapack::is_complex<T>) {
      return lapack::geev(job, n, a, n, values, vectors, n, space);
    } else {
      parts.resize(2 * n);
      packed.resize(vectors != nullptr ? static_cast<size_t>(n) * n : 0);
      const int info = lapack::geev(job, n, a, n, parts.data(), packed.data(), n, space);
      for (int i = 0; i < n; ++i) {
        values[i] = {parts[i], parts[n + i]};
      }
      if (vectors != nullptr && info == 0) {
        spell_out(n, values, packed.data(), vectors);
      }
      return info;
    }
  }

  lapack::Workspace<T> space;
  std::vector<T> parts;
  std::vector<T> packed;
};

/// A column-major tensor without values.
Tensor empty_matrices(at::IntArrayRef sizes, const at::TensorOptions& options) {
  at::DimVector transposed(sizes.begin(), sizes.end());
  std::swap(transposed.end()[-1], transposed.end()[-2]);
  return at::empty(transposed, options).mT();
}

void check_input(const Tensor& input, const char* name) {
  TORCH_CHECK(at::all(at::isfinite(input)).item<bool>(), "torch.", name,
              ": input tensor should not contain infs or NaNs.");
}

/// Values, and vectors where asked for (else undefined), both complex.
std::tuple<Tensor, Tensor> eigen(const Tensor& input, bool compute_vectors, const char* name) {
  const auto options = input.options().dtype(c10::toComplexType(input.scalar_type()));
  const Tensor values = at::empty(input.sizes().slice(0, input.dim() - 1), options);
  const Tensor vectors = compute_vectors ? empty_matrices(input.sizes(), options) : Tensor();
  visit<FloatingAndComplexTypes>(input.scalar_type(), "linalg_eig_out_cpu", [&]<class T>() {
    if (input.numel() == 0) {
      return;
    }
    check_input(input, name);
    using Complex = typename General<T>::Complex;
    const Tensor copy = at::native::cloneBatchedColumnMajor(input);
    const Tensor info =
        at::zeros(input.sizes().slice(0, input.dim() - 2), input.options().dtype(at::kInt));
    const Matrices<T> a(copy);
    const Vectors<Complex> w(values);
    Complex* v = compute_vectors ? vectors.mutable_data_ptr<Complex>() : nullptr;
    int* infos = info.mutable_data_ptr<int>();
    const int64_t step = int64_t{a.rows} * a.rows;
    for_each_matrix(a.count, 20 * factor_cost(a.rows, a.rows),
                    [=, solve = General<T>()](int64_t i) mutable {
                      infos[i] = solve(a.rows, a[i], w[i], v != nullptr ? v + i * step : nullptr);
                    });
    at::_linalg_check_errors(info, std::string("torch.") + name, input.dim() == 2);
  });
  return {values, vectors};
}

void check_out(const Tensor& input, const Tensor& out, const char* name, const char* argument) {
  const std::string full = std::string("torch.") + name;
  at::native::checkLinalgCompatibleDtype(full, out.scalar_type(),
                                         c10::toComplexType(input.scalar_type()), argument);
  at::native::checkSameDevice(full, out, input, argument);
}

/// An out= without elements, of the result's dtype, takes its layout too.
void store(const Tensor& out, const Tensor& result) {
  if (out.numel() == 0 && out.scalar_type() == result.scalar_type()) {
    out.resize_(result.mT().sizes());
    out.transpose_(-2, -1);
  } else {
    at::native::resize_output(out, result.sizes());
  }
  out.copy_(result);
}

}  // namespace

std::tuple<Tensor, Tensor> linalg_eig(const Tensor& self) {
  c10::toComplexType(self.scalar_type());  // refuses integers in its own words, before all else
  at::native::squareCheckInputs(self, "linalg.eig");
  return eigen(self, /*compute_vectors=*/true, "linalg.eig");
}

std::tuple<Tensor&, Tensor&> linalg_eig_out(const Tensor& self, Tensor& eigenvalues,
                                            Tensor& eigenvectors) {
  at::native::squareCheckInputs(self, "linalg.eig");
  check_out(self, eigenvalues, "linalg.eig", "eigenvalues");
  check_out(self, eigenvectors, "linalg.eig", "eigenvectors");
  const auto [values, vectors] = eigen(self, /*compute_vectors=*/true, "linalg.eig");
  copy_to_output(values, eigenvalues);
  store(eigenvectors, vectors);
  return {eigenvalues, eigenvectors};
}

Tensor linalg_eigvals(const Tensor& self) {
  c10::toComplexType(self.scalar_type());
  at::native::squareCheckInputs(self, "linalg.eigvals");
  return std::get<0>(eigen(self, /*compute_vectors=*/false, "linalg.eigvals"));
}

Tensor& linalg_eigvals_out(const Tensor& self, Tensor& out) {
  at::native::squareCheckInputs(self, "linalg.eigvals");
  check_out(self, out, "linalg.eigvals", "eigenvalues");
  const auto [values, vectors] = eigen(self, /*compute_vectors=*/false, "linalg.eigvals");
  copy_to_output(values, out);
  return out;
}

/// `eigenvectors` holds the matrices, and afterwards their eigenvectors if those are asked for.
void linalg_eigh(const Tensor& eigenvalues, const Tensor& eigenvectors, const Tensor& info,
                 bool upper, bool compute_eigenvectors) {
  const char uplo = upper ? 'U' : 'L';
  const char job = compute_eigenvectors ? 'V' : 'N';
  visit<FloatingAndComplexTypes>(eigenvectors.scalar_type(), "linalg_eigh_cpu", [&]<class T>() {
    const Matrices<T> a(eigenvectors);
    const Vectors<lapack::real_t<T>> w(eigenvalues);
    int* infos = info.mutable_data_ptr<int>();
    for_each_matrix(a.count, 8 * factor_cost(a.rows, a.rows),
                    [=, space = lapack::Workspace<T>()](int64_t i) mutable {
                      infos[i] = lapack::syevd(job, uplo, a.rows, a[i], a.leading, w[i], space);
                    });
  });
}

}  // namespace alt::kernels
