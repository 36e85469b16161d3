// Runs CUDA SIMT kernels on the CPU, one block at a time and one fiber a thread, so that a kernel's logic is tested
// where there is no GPU: indexing, barriers, shared memory, shuffles, ballots, atomics; under AddressSanitizer too.
//
// cuda/core/launch.cuh includes this with -DCUDA_HOST (g++ -std=c++20 -x c++); the same .cu compiles with nvcc. What
// the environment's CUDA_HOST_SEED does: blocks and threads are taken in an order drawn from it, and every atomic
// operation may hand over to other threads. A result that changes with the seed depends on the schedule, which on a
// device is a race. Barriers abort with their places where not every thread reaches them; AddressSanitizer sees what is
// read or written outside.
//
// Not covered: speed, the memory model, blocks that run at the same time, mma/wgmma/TMA, cooperative groups, device
// libraries.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include <driver_types.h>  // cudaError_t, cudaStream_t
#include <vector_functions.h>
#include <vector_types.h>  // dim3, float4, uint3

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#undef __grid_constant__
#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static  // one block runs at a time, so a static is what its fibers share
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace cuda_host {

constexpr int kWarp = 32;
constexpr std::size_t kStack = 64 << 10;

struct Fiber {
  enum State { kReady, kBlock, kWarpWait, kDone } state = kReady;
  ucontext_t context{};
  std::unique_ptr<unsigned char[]> stack{new unsigned char[kStack]};
  uint3 thread{};
  unsigned mask = 0;           // lanes that this thread waits for
  const char* place = "";      // the barrier it waits at
  std::uint64_t slot = 0;      // what it offers to the other lanes of its warp
  void* fake_stack = nullptr;  // AddressSanitizer's
};

struct Block {
  dim3 grid, block;
  uint3 index{};
  std::vector<std::unique_ptr<Fiber>>* pool = nullptr;  // of all launches: stacks are costly to make anew
  std::size_t threads = 0;
  std::vector<unsigned char> shared;
  std::function<void()> body;
  ucontext_t scheduler{};
  Fiber* current = nullptr;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_size = 0;
  int votes = 0, last_votes = 0;
  bool seeded = false;
  std::mt19937 random;

  Fiber& fiber(std::size_t i) { return *(*pool)[i]; }
};

inline thread_local Block* active = nullptr;

inline std::size_t linear(const Fiber& f) {
  const dim3& b = active->block;
  return f.thread.x + std::size_t{b.x} * (f.thread.y + std::size_t{b.y} * f.thread.z);
}
inline int lane_id() { return static_cast<int>(linear(*active->current) % kWarp); }

// --- fibers --------------------------------------------------------------------------------------
inline void to_scheduler() {
  Fiber* f = active->current;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(f->state == Fiber::kDone ? nullptr : &f->fake_stack, active->scheduler_stack,
                                 active->scheduler_size);
#endif
  swapcontext(&f->context, &active->scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(f->fake_stack, nullptr, nullptr);
#endif
}

inline void entry() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &active->scheduler_stack, &active->scheduler_size);
#endif
  active->body();
  active->current->state = Fiber::kDone;
  to_scheduler();
}

inline void start(Fiber& f, std::size_t i, const dim3& block) {
  f.state = Fiber::kReady;
  f.fake_stack = nullptr;
  f.thread = {static_cast<unsigned>(i % block.x), static_cast<unsigned>(i / block.x % block.y),
              static_cast<unsigned>(i / block.x / block.y)};
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(f.stack.get(), kStack);  // what the last kernel's frames left
#endif
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.get();
  f.context.uc_stack.ss_size = kStack;
  f.context.uc_link = nullptr;
  makecontext(&f.context, entry, 0);
}

inline void resume(Fiber& f) {
  active->current = &f;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, f.stack.get(), kStack);
#endif
  swapcontext(&active->scheduler, &f.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

// At an atomic operation: perhaps other threads come first.
inline void preempt() {
  if (active != nullptr && active->seeded && active->random() % 4 == 0) to_scheduler();
}

// --- barriers ------------------------------------------------------------------------------------
[[noreturn]] inline void stuck(Block& block) {
  std::fprintf(stderr, "cuda_host: block (%u, %u, %u) cannot go on; its threads wait at different barriers:\n",
               block.index.x, block.index.y, block.index.z);
  for (std::size_t i = 0; i < block.threads; ++i) {
    const Fiber& f = block.fiber(i);
    if (f.state == Fiber::kBlock || f.state == Fiber::kWarpWait)
      std::fprintf(stderr, "  thread (%u, %u, %u) at %s, mask %08x\n", f.thread.x, f.thread.y, f.thread.z, f.place,
                   f.mask);
  }
  std::abort();
}

// __syncthreads: all that live have arrived, at one place.
inline bool release_block(Block& block) {
  const char* place = nullptr;
  for (std::size_t i = 0; i < block.threads; ++i) {
    const Fiber& f = block.fiber(i);
    if (f.state == Fiber::kDone) continue;
    if (f.state != Fiber::kBlock || (place != nullptr && std::strcmp(place, f.place) != 0)) return false;
    place = f.place;
  }
  if (place == nullptr) return false;
  block.last_votes = block.votes;
  block.votes = 0;
  for (std::size_t i = 0; i < block.threads; ++i)
    if (block.fiber(i).state == Fiber::kBlock) block.fiber(i).state = Fiber::kReady;
  return true;
}

// Warps: a thread goes on when all lanes of its mask that live wait at its place, with its mask.
inline bool release_warps(Block& block) {
  bool any = false;
  for (std::size_t base = 0; base < block.threads; base += kWarp) {
    const int lanes = static_cast<int>(std::min<std::size_t>(kWarp, block.threads - base));
    for (int lane = 0; lane < lanes; ++lane) {
      const Fiber& f = block.fiber(base + lane);
      if (f.state != Fiber::kWarpWait) continue;
      const unsigned mask = f.mask;
      bool complete = true;
      for (int other = 0; other < lanes; ++other) {
        const Fiber& o = block.fiber(base + other);
        if (!(mask >> other & 1) || o.state == Fiber::kDone) continue;
        complete &= o.state == Fiber::kWarpWait && o.mask == mask && std::strcmp(o.place, f.place) == 0;
      }
      if (!complete) continue;
      for (int other = 0; other < lanes; ++other)
        if (mask >> other & 1 && block.fiber(base + other).state == Fiber::kWarpWait)
          block.fiber(base + other).state = Fiber::kReady;
      any = true;
    }
  }
  return any;
}

inline void wait(Fiber::State state, unsigned mask, const char* place) {
  Fiber& f = *active->current;
  f.state = state;
  f.mask = mask;
  f.place = place;
  to_scheduler();
}

inline int sync_count(bool predicate, const char* place) {
  active->votes += predicate;
  wait(Fiber::kBlock, ~0u, place);
  return active->last_votes;
}

// --- launches ------------------------------------------------------------------------------------
// Seeded, some warps sleep for some turns: they fall behind the others as far as barriers allow.
inline void run_block(Block& block, std::vector<std::size_t>& order) {
  for (std::size_t i = 0; i < block.threads; ++i) start(block.fiber(i), i, block.block);
  unsigned asleep = 0, nap = 0;  // a bit for each of up to 32 warps; turns left
  for (;;) {
    if (block.seeded) {
      if (nap == 0) asleep = block.random() & block.random(), nap = 1 + block.random() % 32;
      --nap;
      std::shuffle(order.begin(), order.end(), block.random);
    }
    bool ran = false, done = true, ready = false;
    for (const std::size_t i : order) {
      if (block.fiber(i).state != Fiber::kReady || (asleep >> i / kWarp & 1)) continue;
      resume(block.fiber(i));
      ran = true;
    }
    for (std::size_t i = 0; i < block.threads; ++i) {
      done &= block.fiber(i).state == Fiber::kDone;
      ready |= block.fiber(i).state == Fiber::kReady;
    }
    if (done) return;
    const bool released = release_block(block) || release_warps(block);
    if (!ready && !released) stuck(block);
    if (!ran && !released) asleep = 0;
  }
}

inline void run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body) {
  static thread_local std::vector<std::unique_ptr<Fiber>> pool;
  static thread_local unsigned launches = 0;
  const char* seed = std::getenv("CUDA_HOST_SEED");
  Block state;
  state.grid = grid;
  state.block = block;
  state.body = body;
  state.pool = &pool;
  state.threads = std::size_t{block.x} * block.y * block.z;
  state.seeded = seed != nullptr;
  if (seed != nullptr) state.random.seed(static_cast<unsigned>(std::atoi(seed)) + 7919u * launches++);
  const std::size_t count = std::size_t{grid.x} * grid.y * grid.z;
  if (state.threads == 0 || state.threads > 1024 || count == 0 || grid.y > 65535 || grid.z > 65535) {
    std::fprintf(stderr, "cuda_host: a launch of %zu blocks of %zu threads\n", count, state.threads);
    std::abort();
  }
  while (pool.size() < state.threads) pool.push_back(std::make_unique<Fiber>());
  std::vector<std::size_t> blocks(count), order(state.threads);
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (state.seeded) std::shuffle(blocks.begin(), blocks.end(), state.random);
  active = &state;
  for (const std::size_t b : blocks) {
    state.index = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                   static_cast<unsigned>(b / grid.x / grid.y)};
    state.shared.assign(shared_bytes, 0xCB);
    run_block(state, order);
  }
  active = nullptr;
}

// --- exchange within a warp ----------------------------------------------------------------------
inline std::uint64_t lane_slot(int lane) {
  return active->fiber(linear(*active->current) / kWarp * kWarp + static_cast<std::size_t>(lane)).slot;
}
inline bool lane_lives(int lane) {
  const std::size_t at = linear(*active->current) / kWarp * kWarp + static_cast<std::size_t>(lane);
  return at < active->threads && active->fiber(at).state != Fiber::kDone;
}

// Offers `value` to the lanes of `mask`, takes what `pick` makes of theirs, and waits until all have taken theirs.
template <typename T, typename Pick>
auto collective(unsigned mask, T value, const char* place, Pick pick) {
  static_assert(sizeof(T) <= 8, "lanes exchange at most 8 bytes");
  if (!(mask >> lane_id() & 1))
    std::fprintf(stderr, "cuda_host: a lane outside its mask %08x at %s\n", mask, place), std::abort();
  active->current->slot = 0;
  std::memcpy(&active->current->slot, &value, sizeof(T));
  wait(Fiber::kWarpWait, mask, place);
  const auto got = pick([](int lane) {
    const std::uint64_t bits = lane_slot(lane);
    T other;
    std::memcpy(&other, &bits, sizeof(T));
    return other;
  });
  wait(Fiber::kWarpWait, mask, place);
  return got;
}

template <typename T>
T exchange(unsigned mask, T value, int source, const char* place) {
  return collective(mask, value, place,
                    [&](auto of) { return source >= 0 && source < kWarp && lane_lives(source) ? of(source) : value; });
}

template <typename Value, typename Join>
Value reduce(unsigned mask, Value value, const char* place, Join join) {
  return collective(mask, value, place, [&](auto of) {
    Value all = value;
    for (int lane = 0; lane < kWarp; ++lane)
      if (mask >> lane & 1 && lane != lane_id() && lane_lives(lane)) all = join(all, of(lane));
    return all;
  });
}

// The lanes of `mask` whose value passes `test`.
template <typename T, typename Test>
unsigned lanes_where(unsigned mask, T value, const char* place, Test test) {
  return collective(mask, value, place, [&](auto of) {
    unsigned bits = 0;
    for (int lane = 0; lane < kWarp; ++lane)
      if (mask >> lane & 1 && lane_lives(lane) && test(of(lane))) bits |= 1u << lane;
    return bits;
  });
}
inline unsigned ballot(unsigned mask, bool predicate, const char* place) {
  return lanes_where(mask, predicate, place, [](bool p) { return p; });
}
template <typename T>
unsigned match(unsigned mask, T value, const char* place) {
  return lanes_where(mask, value, place, [&](T other) { return std::memcmp(&other, &value, sizeof(T)) == 0; });
}
inline unsigned full(unsigned mask = ~0u) { return mask; }

// Nobody may touch these bytes.
inline void guard(void* at, std::size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(at, bytes);
#endif
  (void)at, (void)bytes;
}

}  // namespace cuda_host

#include "cuda_host_builtins.h"
