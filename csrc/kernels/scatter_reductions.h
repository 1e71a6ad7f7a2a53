// What scatter_reduce and index_reduce do with two values that meet in one element.
#pragma once

#include <ATen/NumericUtils.h>

#include <type_traits>

namespace alt::kernels::reductions {

struct Assign {
  template <class T>
  void operator()(T& total, T value) const {
    total = value;
  }
};

/// Sum, and mean before its division.
struct Add {
  template <class T>
  void operator()(T& total, T value) const {
    if constexpr (std::is_same_v<T, bool>) {
      total = total || value;
    } else {
      total = static_cast<T>(total + value);
    }
  }
};

struct Multiply {
  template <class T>
  void operator()(T& total, T value) const {
    if constexpr (std::is_same_v<T, bool>) {
      total = total && value;
    } else {
      total = static_cast<T>(total * value);
    }
  }
};

struct Maximum {
  template <class T>
  void operator()(T& total, T value) const {
    total = at::_isnan(total) || total > value ? total : value;
  }
};

struct Minimum {
  template <class T>
  void operator()(T& total, T value) const {
    total = at::_isnan(total) || total < value ? total : value;
  }
};

}  // namespace alt::kernels::reductions
