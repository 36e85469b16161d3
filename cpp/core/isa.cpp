#include "core/isa.h"

#include <atomic>
#include <cstdlib>

#include "core/check.h"

namespace pyseg {

static constexpr const char* kNames[] = {"baseline", "avx2", "avx512", "avx512_bf16"};

const char* name_of(Isa isa) { return kNames[static_cast<int>(isa)]; }

Isa widest_isa() {
#if defined(PYSEG_X86_DISPATCH)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("popcnt");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  const bool bf16 = avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  return bf16 ? Isa::avx512_bf16 : avx512 ? Isa::avx512 : avx2 ? Isa::avx2 : Isa::baseline;
#else
  return Isa::baseline;
#endif
}

static Isa parse(const std::string& name) {
  for (int level = 0; level < 4; ++level) {
    if (name != kNames[level]) continue;
    check(level <= static_cast<int>(widest_isa()), "PYSEG_ISA: this processor has no ", name, ", only up to ",
          name_of(widest_isa()));
    return static_cast<Isa>(level);
  }
  check(false, "PYSEG_ISA must be baseline, avx2, avx512 or avx512_bf16, got '", name, "'");
  return Isa::baseline;
}

static std::atomic<int>& forced() {
  static std::atomic<int> level{-1};
  return level;
}

Isa isa() {
  int level = forced().load(std::memory_order_relaxed);
  if (level < 0) {
    const char* name = std::getenv("PYSEG_ISA");
    level = static_cast<int>(name != nullptr && *name != '\0' ? parse(name) : widest_isa());
    forced().store(level, std::memory_order_relaxed);
  }
  return static_cast<Isa>(level);
}

void set_isa(const std::string& name) {
  forced().store(static_cast<int>(name.empty() ? widest_isa() : parse(name)), std::memory_order_relaxed);
}

}  // namespace pyseg
