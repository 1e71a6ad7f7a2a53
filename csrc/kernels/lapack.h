// LAPACK as templates: one wrapper a routine, for float, double and their complex types.
//
// The routines are those that libtorch_cpu carries (MKL or OpenBLAS, 32-bit integers). Matrices are
// column-major: element (i, j) is a[i + j * lda]. A wrapper takes its arguments by value and
// returns LAPACK's info. Memory that a routine works in comes from a Workspace, which asks the
// routine for the size in the first call and is used again in the next: one Workspace serves calls
// of one routine with one set of sizes.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/complex.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace alt::lapack {

template <class T>
using real_t = typename c10::scalar_value_type<T>::type;

template <class T>
inline constexpr bool is_complex = c10::is_complex<T>::value;

// Only the preprocessor can paste a type's letter before a Fortran name, so these are macros: `p`
// is the letter. ALT_LAPACK_ROUTINES has the routines whose arguments are the same for real and
// complex numbers; `o` and `s` are how the orthogonal and symmetric ones begin (or and sy, or un
// and he).
#define ALT_LAPACK_ROUTINES(p, o, s, T)                                                          \
  extern "C" {                                                                                   \
  void p##getrf_(const int* m, const int* n, T* a, const int* lda, int* pivots, int* info);      \
  void p##getrs_(const char* trans, const int* n, const int* nrhs, const T* a, const int* lda,   \
                 const int* pivots, T* b, const int* ldb, int* info);                            \
  void p##potrf_(const char* uplo, const int* n, T* a, const int* lda, int* info);               \
  void p##potri_(const char* uplo, const int* n, T* a, const int* lda, int* info);               \
  void p##potrs_(const char* uplo, const int* n, const int* nrhs, const T* a, const int* lda,    \
                 T* b, const int* ldb, int* info);                                               \
  void p##sytrf_(const char* uplo, const int* n, T* a, const int* lda, int* pivots, T* work,     \
                 const int* lwork, int* info);                                                   \
  void p##sytrs_(const char* uplo, const int* n, const int* nrhs, const T* a, const int* lda,    \
                 const int* pivots, T* b, const int* ldb, int* info);                            \
  void p##geqrf_(const int* m, const int* n, T* a, const int* lda, T* tau, T* work,              \
                 const int* lwork, int* info);                                                   \
  void p##o##gqr_(const int* m, const int* n, const int* k, T* a, const int* lda, const T* tau,  \
                  T* work, const int* lwork, int* info);                                         \
  void p##o##mqr_(const char* side, const char* trans, const int* m, const int* n, const int* k, \
                  const T* a, const int* lda, const T* tau, T* c, const int* ldc, T* work,       \
                  const int* lwork, int* info);                                                  \
  void p##gels_(const char* trans, const int* m, const int* n, const int* nrhs, T* a,            \
                const int* lda, T* b, const int* ldb, T* work, const int* lwork, int* info);     \
  void p##trsm_(const char* side, const char* uplo, const char* trans, const char* diag,         \
                const int* m, const int* n, const T* alpha, const T* a, const int* lda, T* b,    \
                const int* ldb);                                                                 \
  }

#define ALT_LAPACK_REAL_ROUTINES(p, T)                                                            \
  extern "C" {                                                                                    \
  void p##syevd_(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, T* w,    \
                 T* work, const int* lwork, int* iwork, const int* liwork, int* info);            \
  void p##geev_(const char* jobvl, const char* jobvr, const int* n, T* a, const int* lda, T* wr,  \
                T* wi, T* vl, const int* ldvl, T* vr, const int* ldvr, T* work, const int* lwork, \
                int* info);                                                                       \
  void p##gesdd_(const char* jobz, const int* m, const int* n, T* a, const int* lda, T* s, T* u,  \
                 const int* ldu, T* vt, const int* ldvt, T* work, const int* lwork, int* iwork,   \
                 int* info);                                                                      \
  void p##gelsy_(const int* m, const int* n, const int* nrhs, T* a, const int* lda, T* b,         \
                 const int* ldb, int* jpvt, const T* rcond, int* rank, T* work, const int* lwork, \
                 int* info);                                                                      \
  void p##gelsd_(const int* m, const int* n, const int* nrhs, T* a, const int* lda, T* b,         \
                 const int* ldb, T* s, const T* rcond, int* rank, T* work, const int* lwork,      \
                 int* iwork, int* info);                                                          \
  void p##gelss_(const int* m, const int* n, const int* nrhs, T* a, const int* lda, T* b,         \
                 const int* ldb, T* s, const T* rcond, int* rank, T* work, const int* lwork,      \
                 int* info);                                                                      \
  }

// R is the real type beside the complex T.
#define ALT_LAPACK_COMPLEX_ROUTINES(p, T, R)                                                      \
  extern "C" {                                                                                    \
  void p##hetrf_(const char* uplo, const int* n, T* a, const int* lda, int* pivots, T* work,      \
                 const int* lwork, int* info);                                                    \
  void p##hetrs_(const char* uplo, const int* n, const int* nrhs, const T* a, const int* lda,     \
                 const int* pivots, T* b, const int* ldb, int* info);                             \
  void p##heevd_(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, R* w,    \
                 T* work, const int* lwork, R* rwork, const int* lrwork, int* iwork,              \
                 const int* liwork, int* info);                                                   \
  void p##geev_(const char* jobvl, const char* jobvr, const int* n, T* a, const int* lda, T* w,   \
                T* vl, const int* ldvl, T* vr, const int* ldvr, T* work, const int* lwork,        \
                R* rwork, int* info);                                                             \
  void p##gesdd_(const char* jobz, const int* m, const int* n, T* a, const int* lda, R* s, T* u,  \
                 const int* ldu, T* vt, const int* ldvt, T* work, const int* lwork, R* rwork,     \
                 int* iwork, int* info);                                                          \
  void p##gelsy_(const int* m, const int* n, const int* nrhs, T* a, const int* lda, T* b,         \
                 const int* ldb, int* jpvt, const R* rcond, int* rank, T* work, const int* lwork, \
                 R* rwork, int* info);                                                            \
  void p##gelsd_(const int* m, const int* n, const int* nrhs, T* a, const int* lda, T* b,         \
                 const int* ldb, R* s, const R* rcond, int* rank, T* work, const int* lwork,      \
                 R* rwork, int* iwork, int* info);                                                \
  void p##gelss_(const int* m, const int* n, const int* nrhs, T* a, const int* lda, T* b,         \
                 const int* ldb, R* s, const R* rcond, int* rank, T* work, const int* lwork,      \
                 R* rwork, int* info);                                                            \
  }

ALT_LAPACK_ROUTINES(s, or, sy, float)
ALT_LAPACK_ROUTINES(d, or, sy, double)
ALT_LAPACK_ROUTINES(c, un, he, c10::complex<float>)
ALT_LAPACK_ROUTINES(z, un, he, c10::complex<double>)
ALT_LAPACK_REAL_ROUTINES(s, float)
ALT_LAPACK_REAL_ROUTINES(d, double)
ALT_LAPACK_COMPLEX_ROUTINES(c, c10::complex<float>, float)
ALT_LAPACK_COMPLEX_ROUTINES(z, c10::complex<double>, double)

/// The routines by their names without the letter. A real symmetric matrix is a Hermitian one, so
/// the Hermitian routines are there for real types too.
template <class T>
struct Routines;

#define ALT_LAPACK_TABLE(p, o, s, T)          \
  template <>                                 \
  struct Routines<T> {                        \
    static constexpr auto getrf = p##getrf_;  \
    static constexpr auto getrs = p##getrs_;  \
    static constexpr auto potrf = p##potrf_;  \
    static constexpr auto potri = p##potri_;  \
    static constexpr auto potrs = p##potrs_;  \
    static constexpr auto sytrf = p##sytrf_;  \
    static constexpr auto sytrs = p##sytrs_;  \
    static constexpr auto hetrf = p##s##trf_; \
    static constexpr auto hetrs = p##s##trs_; \
    static constexpr auto geqrf = p##geqrf_;  \
    static constexpr auto orgqr = p##o##gqr_; \
    static constexpr auto ormqr = p##o##mqr_; \
    static constexpr auto trsm = p##trsm_;    \
    static constexpr auto syevd = p##s##evd_; \
    static constexpr auto geev = p##geev_;    \
    static constexpr auto gesdd = p##gesdd_;  \
    static constexpr auto gels = p##gels_;    \
    static constexpr auto gelsy = p##gelsy_;  \
    static constexpr auto gelsd = p##gelsd_;  \
    static constexpr auto gelss = p##gelss_;  \
  };

ALT_LAPACK_TABLE(s, or, sy, float)
ALT_LAPACK_TABLE(d, or, sy, double)
ALT_LAPACK_TABLE(c, un, he, c10::complex<float>)
ALT_LAPACK_TABLE(z, un, he, c10::complex<double>)

#undef ALT_LAPACK_ROUTINES
#undef ALT_LAPACK_REAL_ROUTINES
#undef ALT_LAPACK_COMPLEX_ROUTINES
#undef ALT_LAPACK_TABLE

/// Memory for one routine with one set of sizes.
template <class T>
struct Workspace {
  std::vector<T> work;
  std::vector<real_t<T>> rwork;
  std::vector<int> iwork;

  /// call(work, lwork, rwork, lrwork, iwork, liwork); with lwork -1 it must store the sizes that it
  /// wants in the first elements. Of rwork and iwork many routines do not tell: who calls those
  /// resizes them before. `least` is for routines that ask for less work than they check for.
  template <class Call>
  void operator()(Call call, int least = 1) {
    if (work.empty()) {
      T wanted{};
      real_t<T> rwanted{};
      int iwanted = 0;
      call(&wanted, -1, rwork.empty() ? &rwanted : rwork.data(), -1,
           iwork.empty() ? &iwanted : iwork.data(), -1);
      if constexpr (is_complex<T>) {
        work.resize(std::max(size(wanted.real()), least));
      } else {
        work.resize(std::max(size(wanted), least));
      }
      rwork.resize(std::max(static_cast<int>(rwork.size()), size(rwanted)));
      iwork.resize(std::max({static_cast<int>(iwork.size()), iwanted, 1}));
    }
    call(work.data(), static_cast<int>(work.size()), rwork.data(), static_cast<int>(rwork.size()),
         iwork.data(), static_cast<int>(iwork.size()));
  }

 private:
  // A size told as a floating number may have been rounded down: the next one is large enough.
  static int size(real_t<T> wanted) {
    const auto next = std::nextafter(wanted, std::numeric_limits<real_t<T>>::infinity());
    return std::max(1, static_cast<int>(std::ceil(next)));
  }
};

template <class T>
int getrf(int m, int n, T* a, int lda, int* pivots) {
  int info = 0;
  Routines<T>::getrf(&m, &n, a, &lda, pivots, &info);
  return info;
}

template <class T>
int getrs(char trans, int n, int nrhs, const T* a, int lda, const int* pivots, T* b, int ldb) {
  int info = 0;
  Routines<T>::getrs(&trans, &n, &nrhs, a, &lda, pivots, b, &ldb, &info);
  return info;
}

template <class T>
int potrf(char uplo, int n, T* a, int lda) {
  int info = 0;
  Routines<T>::potrf(&uplo, &n, a, &lda, &info);
  return info;
}

template <class T>
int potri(char uplo, int n, T* a, int lda) {
  int info = 0;
  Routines<T>::potri(&uplo, &n, a, &lda, &info);
  return info;
}

template <class T>
int potrs(char uplo, int n, int nrhs, const T* a, int lda, T* b, int ldb) {
  int info = 0;
  Routines<T>::potrs(&uplo, &n, &nrhs, a, &lda, b, &ldb, &info);
  return info;
}

/// Factors a symmetric matrix, or a Hermitian one.
template <class T>
int ldl_factor(bool hermitian, char uplo, int n, T* a, int lda, int* pivots, Workspace<T>& space) {
  int info = 0;
  const auto routine = hermitian ? Routines<T>::hetrf : Routines<T>::sytrf;
  space([&](T* work, int lwork, auto...) {
    routine(&uplo, &n, a, &lda, pivots, work, &lwork, &info);
  });
  return info;
}

template <class T>
int ldl_solve(bool hermitian, char uplo, int n, int nrhs, const T* a, int lda, const int* pivots,
              T* b, int ldb) {
  int info = 0;
  const auto routine = hermitian ? Routines<T>::hetrs : Routines<T>::sytrs;
  routine(&uplo, &n, &nrhs, a, &lda, pivots, b, &ldb, &info);
  return info;
}

template <class T>
int geqrf(int m, int n, T* a, int lda, T* tau, Workspace<T>& space) {
  int info = 0;
  space([&](T* work, int lwork,
            auto...) { Routines<T>::geqrf(&m, &n, a, &lda, tau, work, &lwork, &info); },
        n);
  return info;
}

template <class T>
int orgqr(int m, int n, int k, T* a, int lda, const T* tau, Workspace<T>& space) {
  int info = 0;
  space([&](T* work, int lwork, auto...) {
    Routines<T>::orgqr(&m, &n, &k, a, &lda, tau, work, &lwork, &info);
  });
  return info;
}

template <class T>
int ormqr(char side, char trans, int m, int n, int k, const T* a, int lda, const T* tau, T* c,
          int ldc, Workspace<T>& space) {
  int info = 0;
  space([&](T* work, int lwork, auto...) {
    Routines<T>::ormqr(&side, &trans, &m, &n, &k, a, &lda, tau, c, &ldc, work, &lwork, &info);
  });
  return info;
}

/// B = op(A)^-1 B, or B op(A)^-1 from the right, for a triangular A.
template <class T>
void trsm(char side, char uplo, char trans, char diag, int m, int n, const T* a, int lda, T* b,
          int ldb) {
  const T one(1);
  Routines<T>::trsm(&side, &uplo, &trans, &diag, &m, &n, &one, a, &lda, b, &ldb);
}

template <class T>
int syevd(char jobz, char uplo, int n, T* a, int lda, real_t<T>* w, Workspace<T>& space) {
  int info = 0;
  space([&](T* work, int lwork, [[maybe_unused]] real_t<T>* rwork, [[maybe_unused]] int lrwork,
            int* iwork, int liwork) {
    if constexpr (is_complex<T>) {
      Routines<T>::syevd(&jobz, &uplo, &n, a, &lda, w, work, &lwork, rwork, &lrwork, iwork, &liwork,
                         &info);
    } else {
      Routines<T>::syevd(&jobz, &uplo, &n, a, &lda, w, work, &lwork, iwork, &liwork, &info);
    }
  });
  return info;
}

/// Right eigenvectors only. For a real T `w` holds n real parts, then n imaginary parts.
template <class T>
int geev(char jobvr, int n, T* a, int lda, T* w, T* vr, int ldvr, Workspace<T>& space) {
  int info = 0;
  const char jobvl = 'N';
  const int one = 1;
  T* const vl = nullptr;
  space.rwork.resize(is_complex<T> ? 2 * n : 0);
  space([&](T* work, int lwork, [[maybe_unused]] real_t<T>* rwork, auto...) {
    if constexpr (is_complex<T>) {
      Routines<T>::geev(&jobvl, &jobvr, &n, a, &lda, w, vl, &one, vr, &ldvr, work, &lwork, rwork,
                        &info);
    } else {
      Routines<T>::geev(&jobvl, &jobvr, &n, a, &lda, w, w + n, vl, &one, vr, &ldvr, work, &lwork,
                        &info);
    }
  });
  return info;
}

/// The caller sizes the space's rwork (complex only) and iwork (8 min(m, n)).
template <class T>
int gesdd(char jobz, int m, int n, T* a, int lda, real_t<T>* s, T* u, int ldu, T* vt, int ldvt,
          Workspace<T>& space) {
  int info = 0;
  space([&](T* work, int lwork, [[maybe_unused]] real_t<T>* rwork, int, int* iwork, int) {
    if constexpr (is_complex<T>) {
      Routines<T>::gesdd(&jobz, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, &lwork, rwork, iwork,
                         &info);
    } else {
      Routines<T>::gesdd(&jobz, &m, &n, a, &lda, s, u, &ldu, vt, &ldvt, work, &lwork, iwork, &info);
    }
  });
  return info;
}

template <class T>
int gels(int m, int n, int nrhs, T* a, int lda, T* b, int ldb, Workspace<T>& space) {
  int info = 0;
  const char trans = 'N';
  space([&](T* work, int lwork, auto...) {
    Routines<T>::gels(&trans, &m, &n, &nrhs, a, &lda, b, &ldb, work, &lwork, &info);
  });
  return info;
}

/// By QR with column pivoting; `jpvt` has n elements, 0 for a column free to move.
template <class T>
int gelsy(int m, int n, int nrhs, T* a, int lda, T* b, int ldb, int* jpvt, real_t<T> rcond,
          int* rank, Workspace<T>& space) {
  int info = 0;
  space.rwork.resize(is_complex<T> ? std::max(1, 2 * n) : 0);
  space([&](T* work, int lwork, [[maybe_unused]] real_t<T>* rwork, auto...) {
    if constexpr (is_complex<T>) {
      Routines<T>::gelsy(&m, &n, &nrhs, a, &lda, b, &ldb, jpvt, &rcond, rank, work, &lwork, rwork,
                         &info);
    } else {
      Routines<T>::gelsy(&m, &n, &nrhs, a, &lda, b, &ldb, jpvt, &rcond, rank, work, &lwork, &info);
    }
  });
  return info;
}

/// By SVD, divide and conquer.
template <class T>
int gelsd(int m, int n, int nrhs, T* a, int lda, T* b, int ldb, real_t<T>* s, real_t<T> rcond,
          int* rank, Workspace<T>& space) {
  int info = 0;
  space([&](T* work, int lwork, [[maybe_unused]] real_t<T>* rwork, int, int* iwork, int) {
    if constexpr (is_complex<T>) {
      Routines<T>::gelsd(&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, rwork,
                         iwork, &info);
    } else {
      Routines<T>::gelsd(&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, iwork,
                         &info);
    }
  });
  return info;
}

/// By SVD.
template <class T>
int gelss(int m, int n, int nrhs, T* a, int lda, T* b, int ldb, real_t<T>* s, real_t<T> rcond,
          int* rank, Workspace<T>& space) {
  int info = 0;
  space.rwork.resize(is_complex<T> ? std::max(1, 5 * std::min(m, n)) : 0);
  space([&](T* work, int lwork, [[maybe_unused]] real_t<T>* rwork, auto...) {
    if constexpr (is_complex<T>) {
      Routines<T>::gelss(&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, rwork,
                         &info);
    } else {
      Routines<T>::gelss(&m, &n, &nrhs, a, &lda, b, &ldb, s, &rcond, rank, work, &lwork, &info);
    }
  });
  return info;
}

}  // namespace alt::lapack
