// Who runs the ranges: the library's own pool behind NumPy, torch's threads behind torch. A kernel only sees ranges.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace pyseg {

// A reference to a callable; lives no longer than the call it is passed to.
template <typename Signature>
class FunctionRef;

template <typename R, typename... Args>
class FunctionRef<R(Args...)> {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& f)  // NOLINT: implicit on purpose
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(static_cast<Args>(args)...);
        }) {}
  R operator()(Args... args) const { return call_(object_, static_cast<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

using Range = FunctionRef<void(std::int64_t begin, std::int64_t end)>;

// The first exception of a `body` reaches the caller, after all parts have ended. How [0, count) is cut is the
// executor's business: results must not depend on it.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual int threads() const = 0;
  virtual void run(std::int64_t count, std::int64_t grain, Range body) const = 0;

  // One call for each of `count` tasks of uneven size: who is done takes the next one.
  template <typename Task>
  void queue(std::int64_t count, Task task) const {
    std::atomic<std::int64_t> next{0};
    run(std::min<std::int64_t>(threads(), count), 1, [&](std::int64_t, std::int64_t) {
      for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(i);
    });
  }

  // One call for each of `count` tasks, as evenly as the threads allow.
  template <typename Task>
  void each(std::int64_t count, Task task) const {
    run(count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) task(i);
    });
  }
};

// The caller's thread alone.
const Executor& serial();

// The NumPy side's pool. Safe after fork, and from many Python threads: who finds it busy works alone.
const Executor& pool();
void set_pool_threads(int threads);  // >= 1
int pool_threads();

}  // namespace pyseg
