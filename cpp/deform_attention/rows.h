// Rows of a head, and sums of products of them in registers. For *.simd.cpp only.
#pragma once

#include "deform_attention/lanes.h"

namespace pyseg::deform_attention {
namespace {

// a += w * b. Not fused: all instruction sets agree, and additions have pipes of their own.
template <typename T>
[[gnu::always_inline]] inline void add_product(Vector<T>& a, T w, const Vector<T>& b) {
  a += w * b;
}

// Rows by where they begin, in units of 64 bytes. Packed: of type T, the zeros of the last row among them; else those
// of `value`.
template <typename T, typename From, bool Packed>
struct Rows {
  const std::byte* data;
  std::int64_t nowhere;
  const From* zeros;  // of at least one row

  [[gnu::always_inline]] const From* operator()(Index<T> i) const {
    const auto* row = reinterpret_cast<const From*>(
        data + static_cast<std::size_t>(static_cast<std::make_unsigned_t<Index<T>>>(i)) * kRowBytes);
    if constexpr (Packed) return row;
    else return i == nowhere ? zeros : row;
  }
};

// f.template operator()<Blocks>(first block): panels that fit the registers.
template <int Most, typename F>
inline void panels(std::int64_t first, std::int64_t last, F f) {
  if constexpr (Most >= 4)
    for (; last - first >= 4; first += 4) f.template operator()<4>(first);
  if constexpr (Most >= 2)
    for (; last - first >= 2; first += 2) f.template operator()<2>(first);
  for (; first < last; ++first) f.template operator()<1>(first);
}

// f(Rows) for where the head's rows are.
template <typename T, typename F>
inline void with_rows(const Head& head, F f) {
  if (head.packed) {
    f(Rows<T, T, true>{static_cast<const std::byte*>(head.rows), head.nowhere, nullptr});
    return;
  }
  with_type(head.rows_type, [&](auto type) {
    using From = decltype(type);
    if constexpr (kFits<T, From>) {
      static constexpr From zeros[4096 / sizeof(From)]{};
      f(Rows<T, From, false>{static_cast<const std::byte*>(head.rows), head.nowhere, zeros});
    }
  });
}

}  // namespace
}  // namespace pyseg::deform_attention
