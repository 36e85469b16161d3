// The inner loops (kernels.h): rows of planes in rows.h, the channels of a pixel here.
//
// A vector holds neighbouring windows, or neighbouring channels of one window. Nothing is looked up: each tap of the
// window is compared with what is best so far, or with the stored code, in all lanes; so the work is taps times values,
// 4 to 9 comparisons for what memory takes as long to bring.
#include "max_unpool/kernels.h"

#include "max_unpool/lanes.h"
#include "max_unpool/rows.h"

namespace pyseg::max_unpool {
namespace {

template <typename E>
void pool_pixel(const Pixel& p, void* y, std::uint8_t* codes) {
  using T = typename E::T;
  T* to = static_cast<T*>(y);
  const auto at = [&](int k) { return static_cast<const T*>(p.at[k]); };
  const std::int64_t done = cover<E>(0, p.channels, [&](auto lanes, std::int64_t c) {
    using L = decltype(lanes);
    typename L::Best best{L::read(at(0) + c), L::all(p.tap[0])};
    for (int k = 1; k < p.count; ++k) L::offer(best, L::read(at(k) + c), p.tap[k]);
    store(to + c, best.value);
    L::write_codes(codes + c, best.code);
  });
  for (std::int64_t c = done; c < p.channels; ++c) {
    int best = 0;
    for (int k = 1; k < p.count; ++k)
      if (E::better(at(k)[c], at(best)[c])) best = k;
    to[c] = at(best)[c];
    codes[c] = static_cast<std::uint8_t>(p.tap[best]);
  }
}

template <typename E>
void gather_pixel(const Pixel& p, const std::uint8_t* codes, void* y) {
  using T = typename E::T;
  T* to = static_cast<T*>(y);
  const auto at = [&](int k) { return static_cast<const T*>(p.at[k]); };
  const std::int64_t done = cover<E>(0, p.channels, [&](auto lanes, std::int64_t c) {
    using L = decltype(lanes);
    const typename L::M code = L::codes(codes + c);
    typename L::V v{};
    for (int k = 0; k < p.count; ++k) v = code == L::all(p.tap[k]) ? L::read(at(k) + c) : v;
    store(to + c, v);
  });
  for (std::int64_t c = done; c < p.channels; ++c)
    for (int k = 0; k < p.count; ++k)
      if (codes[c] == p.tap[k]) to[c] = at(k)[c];
}

template <typename E>
void spread_pixel(const Sources& s, const void* rest, void* x, bool add, bool past_cache) {
  using T = typename E::T;
  T* to = static_cast<T*>(x);
  const T* none = static_cast<const T*>(rest);
  const auto at = [&](int k) { return static_cast<const T*>(s.value[k]); };
  const std::int64_t done = cover<E>(0, s.channels, [&](auto lanes, std::int64_t c) {
    using L = decltype(lanes);
    typename L::V v{};
    if (none != nullptr) v = L::read(none + c);
    for (int k = 0; k < s.count; ++k) {
      const typename L::M hit = L::codes(s.code[k] + c) == L::all(s.tap[k]);
      const typename L::V source = L::read(at(k) + c);
      if (add) v += hit ? source : typename L::V{};
      else v = hit ? source : v;
    }
    if (past_cache && reinterpret_cast<std::uintptr_t>(to + c) % L::kBytes == 0) stream<L::kBytes>(to + c, v);
    else store(to + c, v);
  });
  for (std::int64_t c = done; c < s.channels; ++c) {
    T v = none != nullptr ? none[c] : T{};
    for (int k = 0; k < s.count; ++k)
      if (s.code[k][c] == s.tap[k]) v = static_cast<T>(add ? v + at(k)[c] : at(k)[c]);
    to[c] = v;
  }
}

bool codes_below(const std::uint8_t* codes, std::int64_t count, int taps) {
  std::uint8_t most = 0;
  for (std::int64_t i = 0; i < count; ++i) most = most > codes[i] ? most : codes[i];
  return most < taps;
}

void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <typename E>
constexpr Kernels kernels_of() {
  return {pool_row<E>, pool_pixel<E>, gather_row<E>, gather_pixel<E>, spread_pairs<E>, spread_pixel<E>, spread_row<E>};
}

const KernelTable kTable = {
    {kernels_of<F16>(), kernels_of<BF16>(), kernels_of<F32>(), kernels_of<F64>()}, codes_below, fence};

}  // namespace

namespace PYSEG_ISA {
const KernelTable* kernel_table() { return &kTable; }
}  // namespace PYSEG_ISA

}  // namespace pyseg::max_unpool
