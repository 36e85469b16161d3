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

// Windows [low, high) of pooled row j, which lie within the row. kPairs: two columns at stride 2, which share their
// loads.
template <typename E, bool kPairs, int kRows, typename Step>
inline std::int64_t inner_windows(const Rows& r, std::int64_t j, std::int64_t low, std::int64_t high, bool loose,
                                  const Step& step) {
  using T = typename E::T;
  return cover<E>(low, high, loose, [&](auto lanes, std::int64_t i) {
    using L = decltype(lanes);
    auto state = step.begin(lanes, i);
    const std::int64_t start = j * r.row_step + i * r.stride - r.padding;
    const int count = kRows > 0 ? kRows : r.count;
    for (int row = 0; row < count; ++row) {
      const T* p = static_cast<const T*>(r.rows[row]) + start;
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
inline void pool_window(const Rows& r, std::int64_t j, std::int64_t i, typename E::T* y, std::uint8_t* codes) {
  using T = typename E::T;
  bool first = true;
  T best{};
  int code = 0;
  for (int row = 0; row < r.count; ++row)
    for (std::int64_t k = 0; k < r.kernel; ++k) {
      const std::int64_t at = i * r.stride - r.padding + k * r.dilation;
      if (at < 0 || at >= r.width) continue;
      const T v = static_cast<const T*>(r.rows[row])[j * r.row_step + at];
      if (!first && !E::better(v, best)) continue;
      first = false;
      best = v;
      code = r.first_tap[row] + static_cast<int>(k);
    }
  y[i] = best;
  codes[i] = static_cast<std::uint8_t>(code);
}

template <typename E>
inline void gather_window(const Rows& r, std::int64_t j, std::int64_t i, const std::uint8_t* codes, typename E::T* y) {
  for (int row = 0; row < r.count; ++row) {
    const std::int64_t k = codes[i] - r.first_tap[row];
    const std::int64_t at = i * r.stride - r.padding + k * r.dilation;
    if (k >= 0 && k < r.kernel && at >= 0 && at < r.width)
      y[i] = static_cast<const typename E::T*>(r.rows[row])[j * r.row_step + at];
  }
}

// step(j): what is done in pooled row j; one(j, i): the same for a window that reaches beyond the row.
template <typename E, typename Step, typename One>
inline void all_windows(const Rows& r, Step step, One one) {
  constexpr std::int64_t lanes = Lanes<E, kVectorBytes>::kCount;
  const std::int64_t reach = (r.kernel - 1) * r.dilation;
  std::int64_t low = (r.padding + r.stride - 1) / r.stride;
  std::int64_t high = r.width - 1 + r.padding - reach < 0 ? 0 : (r.width - 1 + r.padding - reach) / r.stride + 1;
  if (high > r.pooled) high = r.pooled;
  if (low > high) low = high;
  const bool pairs = r.kernel == 2 && r.stride == 2 && r.dilation == 1;
  for (std::int64_t j = 0; j < r.n; ++j) {
    const std::int64_t after = r.n - 1 - j;
    const bool loose = after * r.pooled >= lanes && after * r.row_step >= lanes * r.stride + reach;
    std::int64_t done;
    if (pairs && r.count == 2) done = inner_windows<E, true, 2>(r, j, low, high, loose, step(j));
    else if (pairs) done = inner_windows<E, true, 0>(r, j, low, high, loose, step(j));
    else done = inner_windows<E, false, 0>(r, j, low, high, loose, step(j));
    for (std::int64_t i = 0; i < low; ++i) one(j, i);
    for (std::int64_t i = done; i < r.pooled; ++i) one(j, i);
  }
}

template <typename E>
void pool_rows(const Rows& r, void* y, std::uint8_t* codes) {
  auto* to = static_cast<typename E::T*>(y);
  all_windows<E>(
      r, [&](std::int64_t j) { return PoolStep<E>{to + j * r.pooled, codes + j * r.pooled}; },
      [&](std::int64_t j, std::int64_t i) { pool_window<E>(r, j, i, to + j * r.pooled, codes + j * r.pooled); });
}

template <typename E>
void gather_rows(const Rows& r, const std::uint8_t* codes, void* y) {
  auto* to = static_cast<typename E::T*>(y);
  all_windows<E>(
      r, [&](std::int64_t j) { return GatherStep<E>{codes + j * r.pooled, to + j * r.pooled}; },
      [&](std::int64_t j, std::int64_t i) { gather_window<E>(r, j, i, codes + j * r.pooled, to + j * r.pooled); });
}

template <typename E>
void spread_pairs(const Pairs& p, const void* rest, void* x) {
  using T = typename E::T;
  const T none = *static_cast<const T*>(rest);
  const std::int64_t pairs = p.pooled < p.width / 2 ? p.pooled : p.width / 2;
  const std::int64_t lanes = Lanes<E, kVectorBytes>::kCount;
  T* to = static_cast<T*>(x);
  for (std::int64_t j = 0; j < p.n; ++j) {
    const T* from = static_cast<const T*>(p.y) + j * p.pooled;
    const std::uint8_t* codes = p.codes + j * p.pooled;
    for (std::int64_t k = 0; k < p.stride; ++k, to += p.width) {
      if (k >= p.kernel) {
        for (std::int64_t w = 0; w < p.width; ++w) to[w] = none;
        continue;
      }
      const int tap = p.tap + 2 * static_cast<int>(k);
      const std::int64_t after = p.n - 1 - j;
      const bool loose = after * p.pooled >= lanes && after * p.stride * p.width >= 2 * lanes;
      const std::int64_t done = cover<E>(0, pairs, loose, [&](auto l, std::int64_t i) {
        using L = decltype(l);
        const typename L::V v = L::read(from + i), zero = L::splat(none);
        const typename L::M code = L::codes(codes + i);
        const typename L::V even = code == L::all(tap) ? v : zero, odd = code == L::all(tap + 1) ? v : zero;
        store(to + 2 * i, L::low_pairs(even, odd));
        store(to + 2 * i + L::kCount, L::high_pairs(even, odd));
      });
      for (std::int64_t i = done; i < pairs; ++i) {
        to[2 * i] = codes[i] == tap ? from[i] : none;
        to[2 * i + 1] = codes[i] == tap + 1 ? from[i] : none;
      }
      std::int64_t w = 2 * pairs;
      if (pairs < p.pooled && w < p.width) {  // its second column is beside the image
        to[w] = codes[pairs] == tap ? from[pairs] : none;
        ++w;
      }
      for (; w < p.width; ++w) to[w] = none;
    }
  }
}

// Column stride * j + phase of x comes from windows j + (phase + padding - k * dilation) / stride, where that divides.
template <typename L, typename T>
inline typename L::V spread_phase(const Sources& s, const Rows& r, std::int64_t j, std::int64_t phase, T rest,
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
void spread_row(const Sources& s, const Rows& r, const void* rest, void* x, bool add) {
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
