// A call of a kernel that the CUDA engine lacks: the host engine's, on copies in host memory.
//
// While a HostCall lives, the storages of the call's tensors lie in host memory, views of them with
// them, and what this thread allocates lies there too; the tensors stay the device's, and no other
// thread may use them meanwhile. At its end the storages go back to the device, those of new
// results as well. Where the kernel raises, they get the memory back that they had. Counted as a
// fallback, by name, and forbidden where fallbacks are.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Storage.h>

#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dispatch/counters.h"
#include "runtime/cuda/engine.h"
#include "runtime/cuda/no_kernel.h"

namespace c10 {
template <class T>
class List;
}

namespace alt {

namespace detail {

template <class T>
concept OptionalLike = requires(const T& value) {
  value.has_value();
  *value;
};
template <class T>
concept RangeLike = requires(const T& value) {
  value.begin();
  value.end();
};

/// Calls `visit` for every tensor in an argument or a result, of whatever type; numbers have none.
template <class T, class Visit>
void for_each_tensor(const T& value, Visit&& visit) {
  if constexpr (std::is_base_of_v<at::TensorBase, T>) {
    if (value.defined()) visit(value);
  } else if constexpr (OptionalLike<T>) {
    if (value.has_value()) for_each_tensor(*value, visit);
  } else if constexpr (RangeLike<T>) {
    for (const auto& element : value) for_each_tensor(element, visit);
  }
}
template <class T, class Visit>
void for_each_tensor(const c10::List<T>& value, Visit&& visit) {
  for (size_t i = 0; i < value.size(); ++i) for_each_tensor(value.get(i), visit);
}
template <class... T, class Visit>
void for_each_tensor(const std::tuple<T...>& value, Visit&& visit) {
  std::apply([&](const auto&... part) { (for_each_tensor(part, visit), ...); }, value);
}

}  // namespace detail

class HostCall {
 public:
  /// `name` is what the counters show.
  explicit HostCall(std::string name) : HostCall(FallbackKind::kHost, std::move(name)) {}
  HostCall(FallbackKind kind, std::string name) : kind_(kind), name_(std::move(name)) {}
  ~HostCall();
  HostCall(const HostCall&) = delete;
  HostCall& operator=(const HostCall&) = delete;

  /// An argument that the kernel reads.
  template <class T>
  void read(const T& argument) {
    detail::for_each_tensor(argument, [&](const at::TensorBase& t) { take(t, false); });
  }
  /// One that it may write to.
  template <class T>
  void write(const T& argument) {
    detail::for_each_tensor(argument, [&](const at::TensorBase& t) { take(t, true); });
  }
  /// Operands of an iterator: its outputs are written. Its pointers follow them, until the end.
  void operands(at::TensorIteratorBase& iter);
  /// An argument of a stub, whose signature does not say what is written.
  template <class T>
  void argument(T& value) {
    if constexpr (std::is_base_of_v<at::TensorIteratorBase, std::remove_const_t<T>>) {
      operands(const_cast<std::remove_const_t<T>&>(value));
    } else {
      write(value);
    }
  }

  /// Calls the kernel in host memory.
  template <class Function>
  decltype(auto) run(Function&& function) {
    begin();
    if constexpr (std::is_void_v<std::invoke_result_t<Function>>) {
      function();
      finish();
    } else {
      decltype(auto) result = function();
      detail::for_each_tensor(result, [&](const at::TensorBase& t) { keep(t); });
      finish();
      return result;
    }
  }

  /// The parts of `run`, for who cannot call it. Beginning raises where fallbacks are forbidden.
  void begin();
  void keep(const at::TensorBase& result);
  void finish();

 private:
  /// A storage that lies in host memory for the call.
  struct Moved {
    c10::Storage storage;
    bool written;
    at::DataPtr device;  // its memory before and after
    size_t nbytes;
    void* host = nullptr;
    bool back = false;  // on the device again
  };
  struct Operand {
    at::TensorIteratorBase* iter;
    int index;
    void* data;  // before
    const c10::StorageImpl* storage;
  };

  void take(const at::TensorBase& tensor, bool written);
  Moved* find(const c10::StorageImpl* storage);
  void follow() const;
  void restore() noexcept;

  FallbackKind kind_;
  std::string name_;
  c10::SmallVector<Moved, 6> moved_;
  std::vector<Operand> operands_;
  std::vector<c10::Storage> results_;
  std::optional<cuda::OnHost> on_host_;
  bool running_ = false;
};

namespace detail {
template <size_t n>
struct Text {
  char text[n];
  constexpr Text(const char (&given)[n]) {  // NOLINT: a literal is to do
    for (size_t i = 0; i < n; ++i) text[i] = given[i];
  }
};
}  // namespace detail

/// A kernel of the host engine as a DispatchStub calls it, with either engine.
template <auto kernel, detail::Text name>
struct HostStub;
template <class R, class... Args, R (*kernel)(Args...), detail::Text name>
struct HostStub<kernel, name> {
  static R call(Args... args) {
    if (!cuda::on_gpu()) return kernel(std::forward<Args>(args)...);
    HostCall host_call(name.text);
    (host_call.argument(args), ...);
    return host_call.run([&]() -> R { return kernel(std::forward<Args>(args)...); });
  }
};

/// One that has a twin for the CUDA engine, which may lack a kernel for the call.
template <auto host, auto twin, detail::Text name>
struct TwinStub;
template <class R, class... Args, R (*host)(Args...), R (*twin)(Args...), detail::Text name>
struct TwinStub<host, twin, name> {
  static R call(Args... args) {
    if (!cuda::on_gpu()) return host(std::forward<Args>(args)...);
    try {
      return twin(args...);
    } catch (const cuda::NoKernel&) {
      return HostStub<host, name>::call(std::forward<Args>(args)...);
    }
  }
};

}  // namespace alt
