// The dtypes that memory holds and copies convert: those of dtype.h, and the 8-bit floating-point
// ones, which no kernel computes with.
#pragma once

#include <c10/util/Float8_e4m3fn.h>
#include <c10/util/Float8_e4m3fnuz.h>
#include <c10/util/Float8_e5m2.h>
#include <c10/util/Float8_e5m2fnuz.h>
#include <c10/util/Float8_e8m0fnu.h>

#include "loops/dtype.h"

namespace alt {

using Float8Types = TypeList<at::Float8_e4m3fn, at::Float8_e4m3fnuz, at::Float8_e5m2,
                             at::Float8_e5m2fnuz, at::Float8_e8m0fnu>;
using StorableTypes = concat_t<EveryType, Float8Types>;

}  // namespace alt
