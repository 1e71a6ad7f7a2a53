// Reductions. V is Vec<T> or T; loops/reduce.h says what each member means. `name` is what the
// error for a dtype without a kernel says.
#pragma once

#include "loops/math.h"

namespace alt {

namespace ops {

template <class T>
struct Sum {
  static constexpr const char* name = "sum_cpu";
  using Input = T;
  using Acc = T;
  static constexpr bool lanes = true;
  ALT_FN T identity() const { return T(0); }
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return acc + x;
  }
  template <class V>
  ALT_FN V combine(V a, V b) const {
    return a + b;
  }
  ALT_FN T project(T acc, int64_t) const { return acc; }
};

template <class T>
struct NanSum : Sum<T> {
  static constexpr const char* name = "nansum_cpu";
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return acc + select(x == x, x, V(T(0)));
  }
};

template <class T>
struct Mean : Sum<T> {
  static constexpr const char* name = "mean_cpu";
  ALT_FN T project(T acc, int64_t count) const { return acc / T(count); }
};

template <class T>
struct Product : Sum<T> {
  static constexpr const char* name = "prod_out_cpu";
  ALT_FN T identity() const { return T(1); }
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return acc * x;
  }
  template <class V>
  ALT_FN V combine(V a, V b) const {
    return a * b;
  }
};

// NaN wins over every number.
template <class T>
struct Maximum : Sum<T> {
  static constexpr const char* name = "max_values_cpu";
  ALT_FN T identity() const {
    using Limits = std::numeric_limits<T>;
    return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
  }
  template <class V>
  ALT_FN auto beats(V a, V b) const {
    return (a > b) | is_nan(a);
  }
  template <class V>
  ALT_FN V combine(V a, V b) const {
    return alt::maximum(a, b);
  }
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return combine(acc, x);
  }
};

template <class T>
struct Minimum : Sum<T> {
  static constexpr const char* name = "min_values_cpu";
  ALT_FN T identity() const {
    using Limits = std::numeric_limits<T>;
    return Limits::has_infinity ? Limits::infinity() : Limits::max();
  }
  template <class V>
  ALT_FN auto beats(V a, V b) const {
    return (a < b) | is_nan(a);
  }
  template <class V>
  ALT_FN V combine(V a, V b) const {
    return alt::minimum(a, b);
  }
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return combine(acc, x);
  }
};

template <class T>
struct All {
  static constexpr const char* name = "and_cpu";
  using Input = T;
  using Acc = uint8_t;
  ALT_FN uint8_t identity() const { return 1; }
  ALT_FN uint8_t step(uint8_t acc, bool x, int64_t) const {
    return static_cast<uint8_t>(acc & static_cast<uint8_t>(x));
  }
  ALT_FN uint8_t combine(uint8_t a, uint8_t b) const { return a & b; }
  ALT_FN bool project(uint8_t acc, int64_t) const { return acc != 0; }
};

template <class T>
struct Any {
  static constexpr const char* name = "or_cpu";
  using Input = T;
  using Acc = uint8_t;
  ALT_FN uint8_t identity() const { return 0; }
  ALT_FN uint8_t step(uint8_t acc, bool x, int64_t) const {
    return static_cast<uint8_t>(acc | static_cast<uint8_t>(x));
  }
  ALT_FN uint8_t combine(uint8_t a, uint8_t b) const { return a | b; }
  ALT_FN bool project(uint8_t acc, int64_t) const { return acc != 0; }
};

struct CountNonzero {
  using Input = bool;
  using Acc = int64_t;
  ALT_FN int64_t identity() const { return 0; }
  ALT_FN int64_t step(int64_t acc, bool x, int64_t) const { return acc + x; }
  ALT_FN int64_t combine(int64_t a, int64_t b) const { return a + b; }
  ALT_FN int64_t project(int64_t acc, int64_t) const { return acc; }
};

// Norms see real numbers: magnitudes, where the input is complex.

template <class T>
struct NormZero : Sum<T> {
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return acc + select(x == V(T(0)), V(T(0)), V(T(1)));
  }
};

template <class T>
struct NormOne : Sum<T> {
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return acc + math::abs(x);
  }
};

template <class T>
struct NormTwo : Sum<T> {
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return fma(x, x, acc);
  }
  ALT_FN T project(T acc, int64_t) const { return math::sqrt(acc); }
};

template <class T>
struct NormInfinity : Maximum<T> {
  ALT_FN T identity() const { return T(0); }
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return Maximum<T>::combine(acc, math::abs(x));
  }
};

template <class T>
struct NormMinusInfinity : Minimum<T> {
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return Minimum<T>::combine(acc, math::abs(x));
  }
};

template <class T>
struct Norm : Sum<T> {
  T p;
  explicit Norm(T exponent) : p(exponent) {}
  template <class V>
  ALT_FN V step(V acc, V x, int64_t) const {
    return acc + math::pow(math::abs(x), V(p));
  }
  ALT_FN T project(T acc, int64_t) const { return math::pow(acc, T(1) / p); }
};

/// Mean and sum of squared deviations, and of how many.
struct Moments {
  double mean, squares;
  int64_t count;
};

/// 1 / n for n from 1 on: a division would take as long as all else that a row costs.
template <int64_t count>
struct Reciprocals {
  double of[count + 1] = {};
  constexpr Reciprocals() {
    for (int64_t n = 1; n <= count; ++n) of[n] = 1.0 / static_cast<double>(n);
  }
};
template <int64_t count>
inline constexpr Reciprocals<count> kReciprocals{};

// Blocks by two passes, groups of rows by Welford's recurrence; both joined by Chan's rule. In
// double for every dtype, as stock has it.
struct Variance {
  using Input = double;
  using Acc = Moments;
  double correction;
  bool take_sqrt;

  ALT_FN Moments identity() const { return {0, 0, 0}; }
  ALT_FN Moments step(Moments acc, double x, int64_t) const {
    const int64_t count = acc.count + 1;
    const double delta = x - acc.mean;
    const double mean = acc.mean + delta / static_cast<double>(count);
    return {mean, acc.squares + delta * (x - mean), count};
  }
  ALT_FN Moments combine(Moments a, Moments b) const {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const int64_t count = a.count + b.count;
    const double delta = b.mean - a.mean;
    const double share = static_cast<double>(b.count) / static_cast<double>(count);
    return {a.mean + delta * share,
            a.squares + b.squares + delta * delta * static_cast<double>(a.count) * share, count};
  }
  // Templates of V for CUDA's sake, which has no lanes and never asks for them.
  template <class T, class V = Vec<double>>
  inline Moments block(const T* x, int64_t n, int64_t) const {
    auto total = [&](auto&& term) {
      constexpr int64_t kChains = 4;
      V chain[kChains] = {V(0.0), V(0.0), V(0.0), V(0.0)};
      int64_t i = 0;
      for (; i + kChains * V::size <= n; i += kChains * V::size) {
#pragma GCC unroll 4
        for (int64_t k = 0; k < kChains; ++k) {
          chain[k] += term(read_doubles(x + i + k * V::size));
        }
      }
      for (; i + V::size <= n; i += V::size) chain[0] += term(read_doubles(x + i));
      double sum = reduce_add((chain[0] + chain[1]) + (chain[2] + chain[3]));
      for (; i < n; ++i) sum += term(static_cast<double>(x[i]));
      return sum;
    };
    const double mean = total([](auto v) { return v; }) / static_cast<double>(n);
    const double squares = total([&](auto v) {
      auto delta = v - decltype(v)(mean);
      return delta * delta;
    });
    return {mean, squares, n};
  }
  static constexpr int64_t group = 256;
  template <class V>
  struct Columns {
    V mean, squares;
  };
  template <class V>
  Columns<V> columns() const {
    return {V(0.0), V(0.0)};
  }
  template <class V>
  inline void step(Columns<V>& held, V x, int64_t row) const {
    const V delta = x - held.mean;
    held.mean = fma(delta, V(kReciprocals<group>.of[row + 1]), held.mean);
    held.squares = fma(delta, x - held.mean, held.squares);
  }
  template <class V>
  inline void merge(Moments* acc, const Columns<V>& held, int64_t count, int64_t) const {
    for (int k = 0; k < V::size; ++k) {
      acc[k] = combine(acc[k], {held.mean[k], held.squares[k], count});
    }
  }
  ALT_FN Two<double, double> project(Moments acc, int64_t) const {
    const double count = static_cast<double>(acc.count);
    const double divisor = count > correction ? count - correction : 0.0;
    const double variance = acc.squares / divisor;
    return {take_sqrt ? math::sqrt(variance) : variance, acc.mean};
  }
};

template <class T>
struct Indexed {
  T value;
  int64_t index;
};

// The first of the best, NaN being best of all. `Best` is Maximum or Minimum.
template <class Best>
struct Arg {
  using Input = typename Best::Input;
  using Acc = Indexed<Input>;
  static constexpr bool ordered = true;
  ALT_FN Acc identity() const { return {Best().identity(), -1}; }
  // Of two NaNs the first stays.
  template <class V>
  ALT_FN auto beats(V challenger, V holder) const {
    return Best().beats(challenger, holder) & !is_nan(holder);
  }
  // The first element takes the place even where it equals the identity.
  ALT_FN Acc step(Acc acc, Input x, int64_t index) const {
    return acc.index < 0 || beats(x, acc.value) ? Acc{x, index} : acc;
  }
  ALT_FN Acc combine(Acc a, Acc b) const {
    if (b.index < 0) return a;
    return a.index < 0 || beats(b.value, a.value) ? b : a;
  }
  // The best value by lanes, then where it first is.
  inline Acc block(const Input* x, int64_t n, int64_t index) const {
    const Input value = best_of(x, n);
    int64_t first = 0;
    if constexpr (has_vec_v<Input>) {
      using V = Vec<Input>;
      for (; first + V::size <= n; first += V::size) {
        const auto found = is(V::load(x + first), V(value));
        if (!any(found)) continue;
        first += first_lane(found);
        return {x[first], index + first};
      }
    }
    while (!is(x[first], value)) ++first;
    return {x[first], index + first};
  }
  // The best of a group's rows, and the number of its row as a lane, too.
  static constexpr int64_t group = 256;
  template <class V>
  struct Columns {
    V best, row;
  };
  template <class V>
  Columns<V> columns() const {
    return {V(Best().identity()), V(Input(0))};
  }
  template <class V>
  inline void step(Columns<V>& held, V x, int64_t row) const {
    const auto beaten = beats(x, held.best);
    held = {select(beaten, x, held.best), select(beaten, V(static_cast<Input>(row)), held.row)};
  }
  template <class V>
  inline void merge(Acc* acc, const Columns<V>& held, int64_t, int64_t index) const {
    for (int k = 0; k < V::size; ++k) {
      const auto row = static_cast<int64_t>(Input(held.row[k]));
      acc[k] = combine(acc[k], {Input(held.best[k]), index + row});
    }
  }
  ALT_FN Two<Input, int64_t> project(Acc acc, int64_t) const { return {acc.value, acc.index}; }

 private:
  // Whether x is the best there is, of elements none of which beats it: NaN is every NaN.
  template <class V>
  ALT_FN static auto is(V x, V best) {
    return (x == best) | is_nan(x);
  }
  static Input best_of(const Input* x, int64_t n) {
    const Best best;
    Input value = x[0];
    int64_t i = 0;
    if constexpr (has_vec_v<Input>) {
      using V = Vec<Input>;
      constexpr int64_t kChains = 4;
      if (n >= kChains * V::size) {
        V chain[kChains];
        for (int64_t k = 0; k < kChains; ++k) chain[k] = V::load(x + k * V::size);
        for (i = kChains * V::size; i + kChains * V::size <= n; i += kChains * V::size) {
          for (int64_t k = 0; k < kChains; ++k) {
            chain[k] = best.combine(chain[k], V::load(x + i + k * V::size));
          }
        }
        const V lanes =
            best.combine(best.combine(chain[0], chain[1]), best.combine(chain[2], chain[3]));
        value = fold_lanes(lanes, [&](V a, V b) { return best.combine(a, b); });
      }
    }
    for (; i < n; ++i) value = best.combine(value, x[i]);
    return value;
  }
};

// hash_tensor: bits of floating point numbers as doubles, integers widened, all xored.
template <class T>
struct XorSum {
  static constexpr const char* name = "xor_sum_cpu";
  using Input = T;
  using Acc = uint64_t;
  ALT_FN uint64_t identity() const { return 0; }
  ALT_FN uint64_t step(uint64_t acc, T x, int64_t) const { return acc ^ bits(x); }
  ALT_FN uint64_t combine(uint64_t a, uint64_t b) const { return a ^ b; }
  ALT_FN uint64_t project(uint64_t acc, int64_t) const { return acc; }

 private:
  ALT_FN static uint64_t bits(int64_t x) { return static_cast<uint64_t>(x); }
  ALT_FN static uint64_t bits(double x) { return __builtin_bit_cast(uint64_t, x); }
};

template <class T>
struct ArgMax : Arg<Maximum<T>> {
  static constexpr const char* name = "argmax_cpu";
  ALT_FN int64_t project(Indexed<T> acc, int64_t) const { return acc.index; }
};

template <class T>
struct ArgMin : Arg<Minimum<T>> {
  static constexpr const char* name = "argmin_cpu";
  ALT_FN int64_t project(Indexed<T> acc, int64_t) const { return acc.index; }
};

template <class T>
struct Extremes {
  T minimum, maximum;
};

template <class T>
struct MinimumAndMaximum {
  using Input = T;
  using Acc = Extremes<T>;
  ALT_FN Acc identity() const { return {Minimum<T>().identity(), Maximum<T>().identity()}; }
  ALT_FN Acc step(Acc acc, T x, int64_t) const { return combine(acc, {x, x}); }
  ALT_FN Acc combine(Acc a, Acc b) const {
    return {Minimum<T>().combine(a.minimum, b.minimum), Maximum<T>().combine(a.maximum, b.maximum)};
  }
  inline Acc block(const T* x, int64_t n, int64_t) const {
    Acc acc = identity();
    for (int64_t i = 0; i < n; ++i) acc = step(acc, x[i], i);
    return acc;
  }
  ALT_FN Two<T, T> project(Acc acc, int64_t) const { return {acc.minimum, acc.maximum}; }
};

/// What torch.renorm multiplies a slice of this norm by.
template <class T, class P>
ALT_FN T renorm_scale_factor(T norm, P maxnorm) {
  return select(norm > T(maxnorm), T(maxnorm) / (norm + T(1e-7)), T(1));
}

}  // namespace ops
}  // namespace alt
