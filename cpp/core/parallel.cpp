#include "core/parallel.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
static void relax() { _mm_pause(); }
#else
static void relax() {}
#endif

namespace pyseg {
namespace {

class Serial final : public Executor {
 public:
  int threads() const override { return 1; }
  void run(std::int64_t count, std::int64_t, Range body) const override {
    if (count > 0) body(0, count);
  }
};

// A SLIC call is a chain of passes of 50 µs and more: a worker that slept between two of them would cost as much as the
// pass, so it spins this long before it sleeps.
constexpr int kSpins = 4000;
constexpr int kMaxThreads = 1024;

class Workers {
 public:
  // As many of `count` as the system grants; `wanted` is what was asked for.
  Workers(int count, int wanted) : wanted_(wanted) {
    threads_.reserve(static_cast<std::size_t>(count));
    try {
      for (int i = 0; i < count; ++i) threads_.emplace_back([this, i] { work(i + 1); });
    } catch (const std::system_error&) {
    }
  }
  ~Workers() {
    {
      const std::lock_guard lock(mutex_);
      stop_.store(true);
    }
    wake_.notify_all();
    for (auto& t : threads_) t.join();
  }
  int wanted() const { return wanted_; }
  int count() const { return static_cast<int>(threads_.size()); }

  // Worker i of `parts` gets the i-th part of [0, count); the caller is worker 0.
  void run(std::int64_t count, int parts, Range body) {
    body_ = &body;
    count_ = count;
    parts_ = std::min(parts, static_cast<int>(threads_.size()) + 1);
    left_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      turn_.fetch_add(1, std::memory_order_release);
    }
    if (sleepers_.load() > 0) wake_.notify_all();
    part(0);
    for (int spin = 0; left_.load(std::memory_order_acquire) > 0; ++spin) {
      if (spin < kSpins) relax();
      else std::this_thread::yield();
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  void part(int i) {
    if (i >= parts_) return;
    const auto begin = count_ * i / parts_, end = count_ * (i + 1) / parts_;
    if (begin >= end) return;
    try {
      (*body_)(begin, end);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void work(int i) {
    for (std::uint64_t seen = 0;;) {
      for (int spin = 0; turn_.load(std::memory_order_acquire) == seen && !stop_.load(std::memory_order_relaxed);
           ++spin) {
        if (spin < kSpins) {
          relax();
          continue;
        }
        std::unique_lock lock(mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return turn_.load() != seen || stop_.load(); });
        sleepers_.fetch_sub(1);
      }
      if (stop_.load()) return;
      ++seen;
      part(i);
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  const int wanted_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> turn_{0};
  std::atomic<int> left_{0}, sleepers_{0};
  std::atomic<bool> stop_{false};
  std::exception_ptr error_;
  const Range* body_ = nullptr;
  std::int64_t count_ = 0;
  int parts_ = 1;
};

int default_threads() {
  if (const char* text = std::getenv("PYSEG_NUM_THREADS")) {
    const std::string_view all(text);
    int n = 0;
    const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), n);
    check(error == std::errc() && end == all.data() + all.size() && n >= 1 && n <= kMaxThreads,
          "PYSEG_NUM_THREADS must be 1 .. ", kMaxThreads, ", got '", all, "'");
    return n;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// Never destroyed: at exit a worker may still be spinning, and in a forked child the threads are gone.
struct State {
  std::mutex busy;
  std::atomic<int> threads{default_threads()};
  Workers* workers = nullptr;
};

State* state = nullptr;
std::once_flag made;

State& pool_state() {
  std::call_once(made, [] {
    state = new State;
    // The child of a fork has none of our threads and perhaps a held lock: it starts anew (the old ones are leaked).
    pthread_atfork(nullptr, nullptr, [] {
      const int n = state->threads.load();
      state = new State;
      state->threads = n;
    });
  });
  return *state;
}

class Pool final : public Executor {
 public:
  int threads() const override { return pool_state().threads.load(); }
  void run(std::int64_t count, std::int64_t grain, Range body) const override {
    if (count <= 0) return;
    State& s = pool_state();
    const auto most = std::max<std::int64_t>(1, count / std::max<std::int64_t>(1, grain));
    const int parts = static_cast<int>(std::min<std::int64_t>(s.threads.load(), most));
    std::unique_lock lock(s.busy, std::try_to_lock);
    if (parts <= 1 || !lock.owns_lock()) {
      body(0, count);
      return;
    }
    const int wanted = s.threads.load() - 1;
    if (s.workers == nullptr || s.workers->wanted() != wanted) {
      delete std::exchange(s.workers, nullptr);
      s.workers = new Workers(wanted, wanted);
      if (const int got = s.workers->count(); got < wanted) {  // leave the work some of the memory
        delete std::exchange(s.workers, nullptr);
        s.workers = new Workers(std::min(got / 2, static_cast<int>(std::thread::hardware_concurrency()) - 1), wanted);
      }
    }
    s.workers->run(count, parts, body);
  }
};

}  // namespace

const Executor& serial() {
  static const Serial executor;
  return executor;
}

const Executor& pool() {
  static const Pool executor;
  return executor;
}

void set_pool_threads(int threads) { pool_state().threads = threads; }
int pool_threads() { return pool_state().threads.load(); }

}  // namespace pyseg
