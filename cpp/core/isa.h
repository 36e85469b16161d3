// Run-time choice of the instruction set. PYSEG_ISA=baseline|avx2|avx512|avx512_bf16 forces one.
#pragma once

#include <string>

namespace pyseg {

// avx512 is x86-64-v4 (F, BW, DQ, VL, CD); avx512_bf16 adds VNNI and BF16.
enum class Isa : int { baseline = 0, avx2 = 1, avx512 = 2, avx512_bf16 = 3 };

Isa widest_isa();  // what this processor has
Isa isa();         // what is in force
const char* name_of(Isa isa);
void set_isa(const std::string& name);  // throws std::invalid_argument where unknown or not supported here

// The table for the level in force, or for the nearest one below that the op has.
template <typename Table>
const Table& pick_isa(const Table* baseline, const Table* avx2, const Table* avx512,
                      const Table* avx512_bf16 = nullptr) {
  const Table* tables[] = {baseline, avx2, avx512, avx512_bf16};
  int level = static_cast<int>(isa());
  while (tables[level] == nullptr) --level;
  return *tables[level];
}

}  // namespace pyseg

// In a *.simd.cpp, once: declares what the dispatcher finds as <isa>::<function>().
#if defined(PYSEG_X86_DISPATCH)
#define PYSEG_DISPATCH(Table, function)                                                   \
  namespace baseline {                                                                    \
  const Table* function();                                                                \
  }                                                                                       \
  namespace avx2 {                                                                        \
  const Table* function();                                                                \
  }                                                                                       \
  namespace avx512 {                                                                      \
  const Table* function();                                                                \
  }                                                                                       \
  [[maybe_unused]] static const Table& function() {                                       \
    return ::pyseg::pick_isa(baseline::function(), avx2::function(), avx512::function()); \
  }
#else
#define PYSEG_DISPATCH(Table, function) \
  namespace baseline {                  \
  const Table* function();              \
  }                                     \
  [[maybe_unused]] static const Table& function() { return *baseline::function(); }
#endif
