// What the _foreach_ operators do with an element of each list and the number that goes with a
// tensor. The CUDA engine has one kernel for all of them, which knows each by its number.
#pragma once

#include <type_traits>

#include "loops/function.h"
#include "loops/math.h"

namespace alt::ops::foreach {

struct PlusFactor {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] + factor;
  }
};
struct MinusFactor {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] - factor;
  }
};
struct TimesFactor {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] * factor;
  }
};
struct OverFactor {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] / factor;
  }
};
struct PlusScaled {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return fma(x[1], factor, x[0]);
  }
};
struct MinusScaled {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return fma(x[1], -factor, x[0]);
  }
};
struct TimesOther {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return x[0] * x[1];
  }
};
struct OverOther {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return x[0] / x[1];
  }
};
struct Addcdiv {
  template <class V>
  ALT_FN V operator()(const V* x, V value) const {
    return x[0] + value * x[1] / x[2];
  }
};
struct Addcmul {
  template <class V>
  ALT_FN V operator()(const V* x, V value) const {
    return x[0] + value * x[1] * x[2];
  }
};

// From whichever end is nearer, so that weight 1 gives the end exactly.
template <class V>
ALT_FN V between(V start, V end, V weight) {
  const V one(1), difference = end - start;
  return select(math::abs(weight) < V(0.5f), start + weight * difference,
                end - difference * (one - weight));
}
struct Lerp {
  template <class V>
  ALT_FN V operator()(const V* x, V weight) const {
    return between(x[0], x[1], weight);
  }
};
struct LerpEach {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return between(x[0], x[1], x[2]);
  }
};
struct Sqrt {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return math::sqrt(x[0]);
  }
};
struct Neg {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return -x[0];
  }
};
struct Abs {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return math::abs(x[0]);
  }
};
struct Reciprocal {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return V(1) / x[0];
  }
};
struct AtMostFactor {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return minimum(x[0], factor);
  }
};
struct AtLeastFactor {
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return maximum(x[0], factor);
  }
};
struct AtMostOther {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return minimum(x[0], x[1]);
  }
};
struct AtLeastOther {
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return maximum(x[0], x[1]);
  }
};

/// Operators by their numbers, which are their places in the list.
template <class... Ops>
struct List {
  template <class Op>
  static constexpr int number_of() {
    static_assert((std::is_same_v<Op, Ops> || ...));
    int number = 0;
    (void)((std::is_same_v<Op, Ops> || (++number, false)) || ...);
    return number;
  }

  template <class V>
  ALT_FN static V apply(int number, const V* x, V factor) {
    V result = x[0];
    int place = 0;
    (void)((number == place++ && (result = Ops{}(x, factor), true)) || ...);
    return result;
  }
};

using Operators = List<PlusFactor, MinusFactor, TimesFactor, OverFactor, PlusScaled, MinusScaled,
                       TimesOther, OverOther, Addcdiv, Addcmul, Lerp, LerpEach, Sqrt, Neg, Abs,
                       Reciprocal, AtMostFactor, AtLeastFactor, AtMostOther, AtLeastOther>;

}  // namespace alt::ops::foreach
