// What the _foreach_ operators do with an element of each list and the number that goes with a
// tensor. Each has a number, by which the CUDA engine's one kernel for all of them knows it.
#pragma once

#include "loops/function.h"
#include "loops/math.h"

namespace alt::ops::foreach {

struct PlusFactor {
  static constexpr int kNumber = 0;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] + factor;
  }
};
struct MinusFactor {
  static constexpr int kNumber = 1;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] - factor;
  }
};
struct TimesFactor {
  static constexpr int kNumber = 2;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] * factor;
  }
};
struct OverFactor {
  static constexpr int kNumber = 3;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return x[0] / factor;
  }
};
struct PlusScaled {
  static constexpr int kNumber = 4;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return fma(x[1], factor, x[0]);
  }
};
struct MinusScaled {
  static constexpr int kNumber = 5;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return fma(x[1], -factor, x[0]);
  }
};
struct TimesOther {
  static constexpr int kNumber = 6;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return x[0] * x[1];
  }
};
struct OverOther {
  static constexpr int kNumber = 7;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return x[0] / x[1];
  }
};
struct Addcdiv {
  static constexpr int kNumber = 8;
  template <class V>
  ALT_FN V operator()(const V* x, V value) const {
    return x[0] + value * x[1] / x[2];
  }
};
struct Addcmul {
  static constexpr int kNumber = 9;
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
  static constexpr int kNumber = 10;
  template <class V>
  ALT_FN V operator()(const V* x, V weight) const {
    return between(x[0], x[1], weight);
  }
};
struct LerpEach {
  static constexpr int kNumber = 11;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return between(x[0], x[1], x[2]);
  }
};
struct Sqrt {
  static constexpr int kNumber = 12;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return math::sqrt(x[0]);
  }
};
struct Neg {
  static constexpr int kNumber = 13;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return -x[0];
  }
};
struct Abs {
  static constexpr int kNumber = 14;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return math::abs(x[0]);
  }
};
struct Reciprocal {
  static constexpr int kNumber = 15;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return V(1) / x[0];
  }
};
struct AtMostFactor {
  static constexpr int kNumber = 16;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return minimum(x[0], factor);
  }
};
struct AtLeastFactor {
  static constexpr int kNumber = 17;
  template <class V>
  ALT_FN V operator()(const V* x, V factor) const {
    return maximum(x[0], factor);
  }
};
struct AtMostOther {
  static constexpr int kNumber = 18;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return minimum(x[0], x[1]);
  }
};
struct AtLeastOther {
  static constexpr int kNumber = 19;
  template <class V>
  ALT_FN V operator()(const V* x, V) const {
    return maximum(x[0], x[1]);
  }
};

/// The operator of a number.
template <class V>
ALT_FN V apply(int number, const V* x, V factor) {
#define ALT_FOREACH(Op) \
  case Op::kNumber:     \
    return Op{}(x, factor);
  switch (number) {
    ALT_FOREACH(PlusFactor)
    ALT_FOREACH(MinusFactor)
    ALT_FOREACH(TimesFactor)
    ALT_FOREACH(OverFactor)
    ALT_FOREACH(PlusScaled)
    ALT_FOREACH(MinusScaled)
    ALT_FOREACH(TimesOther)
    ALT_FOREACH(OverOther)
    ALT_FOREACH(Addcdiv)
    ALT_FOREACH(Addcmul)
    ALT_FOREACH(Lerp)
    ALT_FOREACH(LerpEach)
    ALT_FOREACH(Sqrt)
    ALT_FOREACH(Neg)
    ALT_FOREACH(Abs)
    ALT_FOREACH(Reciprocal)
    ALT_FOREACH(AtMostFactor)
    ALT_FOREACH(AtLeastFactor)
    ALT_FOREACH(AtMostOther)
    ALT_FOREACH(AtLeastOther)
  }
#undef ALT_FOREACH
  return x[0];
}

}  // namespace alt::ops::foreach
