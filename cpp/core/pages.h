// Large results in huge pages: a fresh one of 100 MB is otherwise 25 000 page faults, which can take longer than what
// is computed.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pyseg {

// From this size on malloc always maps anew, and gives back whole: smaller blocks may come from pages that it has.
constexpr std::int64_t kAlwaysMapped = std::int64_t{32} << 20;

// Asks for huge pages within [data, data + bytes), memory that is about to be written for the first time, where there
// are `least` bytes. Refused: small pages will do.
inline void prefer_huge_pages([[maybe_unused]] void* data, [[maybe_unused]] std::int64_t bytes,
                              [[maybe_unused]] std::int64_t least = kAlwaysMapped) {
#if defined(__linux__)
  constexpr std::uintptr_t kHuge = std::uintptr_t{2} << 20;
  if (bytes < least) return;
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + kHuge - 1) / kHuge * kHuge;
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>(bytes)) / kHuge * kHuge;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

}  // namespace pyseg
