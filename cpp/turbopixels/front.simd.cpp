// The inner loops of the flow, compiled once per instruction set; see flow.h.
#include "turbopixels/floats.h"
#include "turbopixels/flow.h"

namespace pyseg::turbopixels::PYSEG_ISA {
namespace {

constexpr float kOnFront = 0.5f;        // |psi| of the pixels that the front runs through
constexpr float kOffFront = 1 / 64.0f;  // carried pixels come no nearer: only velocity takes a pixel over the front
constexpr float kSlowest = 1 / 128.0f;  // velocities below are none
constexpr float kStep = 0.5f;           // of time
constexpr int kVectors = kGroup / kLanes;

// S_I.
inline Floats velocity(const Rows& psi, const Rows& phi, std::int64_t x, float alpha, float beta) {
  const Slopes s = slopes(psi, x);
  const Floats steepness = 1.0f / (root(s.x * s.x + s.y * s.y) + 1e-6f);
  const Floats curvature = clip(bend(psi, x, s) * ((steepness * steepness) * steepness), -1.0f, 1.0f);
  const Slopes f = slopes(phi, x);
  const Floats ahead = (s.x * f.x + s.y * f.y) * steepness;
  const Floats speed = clip(load<Floats>(phi.at + x) * (1.0f - alpha * curvature) - beta * ahead, -1.0f, 1.0f);
  return select(less(magnitude(speed), splat(kSlowest)), Floats{}, speed);
}

// |grad psi| from the side that the front comes from: with the signs turned, the one for fronts that advance.
inline Floats upwind(const Rows& psi, std::int64_t x, Floats here, Floats speed) {
  const Ints turn = signs(no_more(speed, Floats{}));
  const auto rise = [&](const float* beside) {
    const Floats v = most(turned(here - load<Floats>(beside), turn), Floats{});
    return v * v;
  };
  return root((rise(psi.at + x - 1) + rise(psi.at + x + 1)) + (rise(psi.above + x) + rise(psi.below + x)));
}

// One vector of a row with the front moved, where S_B = 1; `over`: what it takes in. It takes in no pixel without an
// assigned neighbour.
inline Floats moved_at(const Rows& psi, const Rows& phi, std::int64_t x, Floats here, Mask front, float alpha,
                       float beta, unsigned& over) {
  const Floats speed = velocity(psi, phi, x, alpha, beta);
  const Floats there = here - (kStep * speed) * upwind(psi, x, here, speed);
  const Floats beside = least(least(load<Floats>(psi.above + x), load<Floats>(psi.below + x)),
                              least(load<Floats>(psi.at + x - 1), load<Floats>(psi.at + x + 1)));
  const Mask crosses = both(both(front, no_more(Floats{}, here)), less(there, Floats{}));
  const Mask accompanied = less(beside, Floats{});
  over = lanes(both(crosses, accompanied));
  return select(front, select(both(crosses, inverse(accompanied)), splat(kOffFront), there), here);
}

// Where |grad psi| = 1 puts a pixel beside its neighbours, on its own side of the front. Front pixels keep their place,
// unless (`settle`) the front left them behind: then they go no farther away than this either, but where a neighbour
// across the front waits to be carried. Else those beside a front that stands still would go to and fro for ever.
template <bool settle>
inline Floats carried_at(const Rows& moved, std::int64_t x, Floats psi) {
  const Ints side = signs(less(psi, Floats{}));
  const auto at = [&](const float* p) { return turned(load<Floats>(p), side); };  // positive on the pixel's own side
  const Floats across = least(at(moved.at + x - 1), at(moved.at + x + 1));
  const Floats down = least(at(moved.above + x), at(moved.below + x));
  const Floats nearest = least(across, down), apart = least(magnitude(across - down), splat(1.0f));
  const Floats distance = clip(nearest + 0.5f * (apart + root(2.0f - apart * apart)), kOffFront, kBand);
  const Floats here = magnitude(psi);
  Floats front = at(moved.at + x);
  if (settle) front = select(less(nearest, splat(-kOnFront)), front, least(front, most(here, distance)));
  return turned(select(no_more(here, splat(kOnFront)), front, distance), side);
}

// Calls visit(group) for every bit.
template <typename Visit>
inline void each_group(const std::uint64_t* which, std::int64_t words, Visit visit) {
  for (std::int64_t w = 0; w < words; ++w)
    for (std::uint64_t m = which[w]; m != 0; m &= m - 1) visit(w * 64 + __builtin_ctzll(m));
}

inline void mark(const Changes& changes, std::int64_t g, unsigned different) {
  const auto set = [g](std::uint64_t* words, bool on) { words[g / 64] |= std::uint64_t{on} << (g % 64); };
  set(changes.any, different != 0);
  set(changes.first, (different & 1) != 0);
  set(changes.last, different >> (kGroup - 1) != 0);
}

void move(const Lines& psi_lines, const Lines& phi_lines, const std::uint16_t* still, const std::uint64_t* which,
          std::int64_t words, float alpha, float beta, float* moved, std::uint16_t* taken, const Changes& changes) {
  const Rows psi{psi_lines.above, psi_lines.at, psi_lines.below}, phi{phi_lines.above, phi_lines.at, phi_lines.below};
  each_group(which, words, [&](std::int64_t g) {
    unsigned different = 0, over = 0;
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t x = g * kGroup + v * kLanes;
      const Floats here = load<Floats>(psi.at + x);
      const Mask held = of_lanes(still[g] >> (v * kLanes));
      const Mask front = both(no_more(magnitude(here), splat(kOnFront)), inverse(held));
      Floats there = here;
      unsigned bits_over = 0;
      if (lanes(front) != 0) there = moved_at(psi, phi, x, here, front, alpha, beta, bits_over);
      different |= lanes(differ(there, load<Floats>(moved + x))) << (v * kLanes);
      over |= bits_over << (v * kLanes);
      store(moved + x, there);
    }
    taken[g] = static_cast<std::uint16_t>(over);
    mark(changes, g, different);
  });
}

template <bool settle>
void carry_groups(const Rows& moved, const float* psi, const std::uint64_t* which, std::int64_t words,
                  std::int64_t width, float* out, const Changes& changes) {
  each_group(which, words, [&](std::int64_t g) {
    unsigned different = 0;
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t x = g * kGroup + v * kLanes;
      const Floats before = load<Floats>(out + x);
      Floats after = carried_at<settle>(moved, x, load<Floats>(psi + x));
      if (x + kLanes > width) {
        const std::int64_t inside = width > x ? width - x : 0;
        after = select(of_lanes((1u << inside) - 1), after, before);
      }
      different |= lanes(differ(after, before)) << (v * kLanes);
      store(out + x, after);
    }
    mark(changes, g, different);
  });
}

void carry(const Lines& lines, const float* psi, const std::uint64_t* which, std::int64_t words, std::int64_t width,
           bool settle, float* out, const Changes& changes) {
  const Rows moved{lines.above, lines.at, lines.below};
  settle ? carry_groups<true>(moved, psi, which, words, width, out, changes)
         : carry_groups<false>(moved, psi, which, words, width, out, changes);
}

std::int64_t shells(const float* psi, std::int64_t width, std::uint16_t* unassigned, std::uint16_t* near,
                    std::int64_t stride) {
  std::int64_t assigned = 0;
  for (std::int64_t g = 0; g * kGroup < width; ++g) {
    const std::int64_t inside = width - g * kGroup;
    const unsigned all = inside >= kGroup ? 0xFFFFu : (1u << inside) - 1;
    unsigned out = 0, shell[kShells] = {};
    for (int v = 0; v < kVectors; ++v) {
      const Floats here = load<Floats>(psi + g * kGroup + v * kLanes);
      out |= lanes(no_more(Floats{}, here)) << (v * kLanes);
      for (int i = 0; i < kShells; ++i)
        shell[i] |= lanes(less(here, splat(0.5f * static_cast<float>(i + 1)))) << (v * kLanes);
    }
    unassigned[g] = static_cast<std::uint16_t>(out | ~all);
    assigned += kGroup - __builtin_popcount(unassigned[g]);
    for (int i = 0; i < kShells; ++i) near[i * stride + g] = static_cast<std::uint16_t>(shell[i] & all);
  }
  return assigned;
}

#if defined(__AVX512F__)
constexpr std::int64_t kWords = 8;
#elif defined(__AVX2__)
constexpr std::int64_t kWords = 4;
#else
constexpr std::int64_t kWords = 2;
#endif
using Words = std::uint64_t __attribute__((vector_size(8 * kWords)));

inline Words words_at(const std::uint16_t* p) {
  Words v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline Words left_of(const std::uint16_t* p) { return words_at(p) << 1 | words_at(p - 4) >> 63; }
inline Words right_of(const std::uint16_t* p) { return words_at(p) >> 1 | words_at(p + 4) << 63; }

// Yokoi's number is 1: the unassigned neighbours (8-connected) are one run around the pixel, and it has an assigned
// 4-neighbour. The row changes while it is read, but only in columns that are no neighbours of those still to come.
void thin(const std::uint16_t* above, std::uint16_t* at, const std::uint16_t* below, const std::uint16_t* near,
          std::int64_t count, std::uint64_t columns) {
  for (std::int64_t i = 0; i < count; i += 4 * kWords) {
    const Words n = words_at(above + i), s = words_at(below + i), w = left_of(at + i), e = right_of(at + i);
    const Words a = ~e & (right_of(above + i) | n), b = ~n & (left_of(above + i) | w);
    const Words c = ~w & (left_of(below + i) | s), d = ~s & (right_of(below + i) | e);
    const Words one = (a ^ b ^ c ^ d) & ~((a & b) | (c & d));
    const Words left = words_at(at + i) & ~(one & words_at(near + i) & columns);
    std::memcpy(at + i, &left, sizeof left);
  }
}

}  // namespace

const FrontKernels* front_kernels() {
  static constexpr FrontKernels kernels{move, carry, shells, thin};
  return &kernels;
}

}  // namespace pyseg::turbopixels::PYSEG_ISA
