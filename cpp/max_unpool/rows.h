// Rows of planes: windows along a row, taps at a stride. Included by kernels.simd.cpp.
#pragma once

#include "max_unpool/kernels.h"
#include "max_unpool/lanes.h"

namespace pyseg::max_unpool {
namespace {

// What is done with the taps of a vector of windows, in the window's raster order.
template <typename E>
struct PoolStep {
  typename E::T* y;
  std::uint8_t* codes;

  template <typename L>
  typename L::Best begin(L, std::int64_t) const {
    return {typename L::V{}, typename L::M{}};
  }
  template <typename L>
  void take(L, typename L::Best& best, typename L::V v, int tap, bool first) const {
    if (first) best = {v, L::all(tap)};
    else L::offer(best, v, tap);
  }
  template <typename L>
  void end(L, const typename L::Best& best, std::int64_t i) const {
    store(y + i, best.value);
    L::write_codes(codes + i, best.code);
  }
};

template <typename E>
struct GatherStep {
  const std::uint8_t* codes;
  typename E::T* y;

  template <typename L>
  typename L::Best begin(L, std::int64_t i) const {
    return {typename L::V{}, L::codes(codes + i)};
  }
  template <typename L>
  void take(L, typename L::Best& best, typename L::V v, int tap, bool) const {
    best.value = best.code == L::all(tap) ? v : best.value;
  }
  template <typename L>
  void end(L, const typename L::Best& best, std::int64_t i) const {
    store(y + i, best.value);
  }
};

// Windows that lie within the row; `kPairs`: two columns at stride 2, which share their loads.
template <typename E, bool kPairs, typename Step>
inline std::int64_t inner_windows(const Row& r, std::int64_t low, std::int64_t high, const Step& step) {
  using T = typename E::T;
  return cover<E>(low, high, [&](auto lanes, std::int64_t i) {
    using L = decltype(lanes);
    auto state = step.begin(lanes, i);
    for (int row = 0; row < r.count; ++row) {
      const T* p = static_cast<const T*>(r.rows[row]) + i * r.stride - r.padding;
      const int tap = r.first_tap[row];
      if constexpr (kPairs) {
        const typename L::V a = L::read(p), b = L::read(p + L::kCount);
        step.take(lanes, state, L::evens(a, b), tap, row == 0);
        step.take(lanes, state, L::odds(a, b), tap + 1, false);
      } else {
        for (std::int64_t k = 0; k < r.kernel; ++k)
          step.take(lanes, state, L::strided(p + k * r.dilation, r.stride), tap + static_cast<int>(k),
                    row == 0 && k == 0);
      }
    }
    step.end(lanes, state, i);
  });
}

template <typename E>
inline void pool_window(const Row& r, std::int64_t i, typename E::T* y, std::uint8_t* codes) {
  using T = typename E::T;
  bool first = true;
  T best{};
  int code = 0;
  for (int row = 0; row < r.count; ++row)
    for (std::int64_t k = 0; k < r.kernel; ++k) {
      const std::int64_t at = i * r.stride - r.padding + k * r.dilation;
      if (at < 0 || at >= r.width) continue;
      const T v = static_cast<const T*>(r.rows[row])[at];
      if (!first && !E::better(v, best)) continue;
      first = false;
      best = v;
      code = r.first_tap[row] + static_cast<int>(k);
    }
  y[i] = best;
  codes[i] = static_cast<std::uint8_t>(code);
}

template <typename E>
inline void gather_window(const Row& r, std::int64_t i, const std::uint8_t* codes, typename E::T* y) {
  for (int row = 0; row < r.count; ++row) {
    const std::int64_t k = codes[i] - r.first_tap[row];
    const std::int64_t at = i * r.stride - r.padding + k * r.dilation;
    if (k >= 0 && k < r.kernel && at >= 0 && at < r.width) y[i] = static_cast<const typename E::T*>(r.rows[row])[at];
  }
}

template <typename E, typename Step, typename One>
inline void all_windows(const Row& r, const Step& step, One one) {
  const std::int64_t reach = (r.kernel - 1) * r.dilation;
  std::int64_t low = (r.padding + r.stride - 1) / r.stride;
  std::int64_t high = r.width - 1 + r.padding - reach < 0 ? 0 : (r.width - 1 + r.padding - reach) / r.stride + 1;
  if (high > r.pooled) high = r.pooled;
  if (low > high) low = high;
  const std::int64_t done = r.kernel == 2 && r.stride == 2 && r.dilation == 1
                                ? inner_windows<E, true>(r, low, high, step)
                                : inner_windows<E, false>(r, low, high, step);
  for (std::int64_t i = 0; i < low; ++i) one(i);
  for (std::int64_t i = done; i < r.pooled; ++i) one(i);
}

template <typename E>
void pool_row(const Row& r, void* y, std::uint8_t* codes) {
  auto* to = static_cast<typename E::T*>(y);
  all_windows<E>(r, PoolStep<E>{to, codes}, [&](std::int64_t i) { pool_window<E>(r, i, to, codes); });
}

template <typename E>
void gather_row(const Row& r, const std::uint8_t* codes, void* y) {
  auto* to = static_cast<typename E::T*>(y);
  all_windows<E>(r, GatherStep<E>{codes, to}, [&](std::int64_t i) { gather_window<E>(r, i, codes, to); });
}

template <typename E>
void spread_pairs(const void* y, const std::uint8_t* codes, int tap, std::int64_t count, const void* rest, void* row,
                  bool past_cache) {
  using T = typename E::T;
  const T* from = static_cast<const T*>(y);
  T* to = static_cast<T*>(row);
  const T none = *static_cast<const T*>(rest);
  const auto pairs = [&](auto lanes, std::int64_t i, auto put) {
    using L = decltype(lanes);
    const typename L::V v = L::read(from + i), zero = L::splat(none);
    const typename L::M code = L::codes(codes + i);
    const typename L::V even = code == L::all(tap) ? v : zero, odd = code == L::all(tap + 1) ? v : zero;
    put(to + 2 * i, L::low_pairs(even, odd));
    put(to + 2 * i + L::kCount, L::high_pairs(even, odd));
  };
  const auto plain = [](T* p, auto v) { store(p, v); };
  using Wide = Lanes<E, kVectorBytes>;
  std::int64_t begin = 0;
  // To the first whole line, by one vector that may reach beyond it.
  const auto ahead = static_cast<std::int64_t>(-reinterpret_cast<std::uintptr_t>(to) % kVectorBytes);
  if (past_cache && ahead % static_cast<std::int64_t>(2 * sizeof(T)) == 0 && count >= 2 * Wide::kCount) {
    if (ahead != 0) pairs(Wide{}, 0, plain);
    std::int64_t i = ahead / static_cast<std::int64_t>(2 * sizeof(T));
    for (; i + Wide::kCount <= count; i += Wide::kCount)
      pairs(Wide{}, i, [](T* p, auto v) { stream<kVectorBytes>(p, v); });
    if (i < count) pairs(Wide{}, count - Wide::kCount, plain);
    return;
  }
  begin = cover<E>(0, count, [&](auto lanes, std::int64_t i) { pairs(lanes, i, plain); });
  for (std::int64_t i = begin; i < count; ++i) {
    to[2 * i] = codes[i] == tap ? from[i] : none;
    to[2 * i + 1] = codes[i] == tap + 1 ? from[i] : none;
  }
}

// Column stride * j + phase of x comes from windows j + (phase + padding - k * dilation) / stride, where that divides.
template <typename L, typename T>
inline typename L::V spread_phase(const Sources& s, const Row& r, std::int64_t j, std::int64_t phase, T rest,
                                  bool add) {
  typename L::V sum = L::splat(rest);
  for (int row = 0; row < s.count; ++row)
    for (std::int64_t k = r.kernel - 1; k >= 0; --k) {
      const std::int64_t offset = phase + r.padding - k * r.dilation;
      if ((offset & (r.stride - 1)) != 0) continue;
      const std::int64_t i = j + (offset >> (r.stride - 1));
      const typename L::M hit = L::codes(s.code[row] + i) == L::all(s.tap[row] + static_cast<int>(k));
      const typename L::V v = L::read(static_cast<const T*>(s.value[row]) + i);
      if (add) sum += hit ? v : typename L::V{};
      else sum = hit ? v : sum;
    }
  return sum;
}

template <typename E>
void spread_row(const Sources& s, const Row& r, const void* rest, void* x, bool add) {
  using T = typename E::T;
  using L = Lanes<E, kVectorBytes>;
  T* to = static_cast<T*>(x);
  const T none = *static_cast<const T*>(rest);
  const std::int64_t step = L::kCount * r.stride;
  for (std::int64_t w = 0; w < r.width; w += step) {
    T block[2 * L::kCount];
    const typename L::V first = spread_phase<L, T>(s, r, w / r.stride, 0, none, add);
    if (r.stride == 1) {
      store(block, first);
    } else {
      const typename L::V second = spread_phase<L, T>(s, r, w / r.stride, 1, none, add);
      store(block, L::low_pairs(first, second));
      store(block + L::kCount, L::high_pairs(first, second));
    }
    const std::int64_t n = r.width - w < step ? r.width - w : step;
    std::memcpy(to + w, block, static_cast<std::size_t>(n) * sizeof(T));
  }
}

}  // namespace
}  // namespace pyseg::max_unpool
