// The flow of TurboPixels: psi, its evolution, and the skeleton at which fronts stop.
//
// A step is three sweeps over the rows: `move` evolves the pixels that the front runs through, from psi into a second
// plane; `carry` reads the 3x3 pixels around each in that, and puts those off the front at their distance from it, into
// a third plane; and from there once more into psi, because the first time it saw some neighbours where they were
// before. (One round leaves fronts up to 6 % too slow, by their direction.) The
// owners of pixels that the front takes in are written in place: only pixels outside change theirs, and only owners
// inside are read. The sweeps follow each other a row apart, so that rows are in cache; each thread has a band of rows,
// and the few rows at the seams, which need both sides, are done at the end.
//
// Most fronts stand still most of the time. All planes keep what was computed before, and each sweep looks only at
// groups of 16 pixels of which a neighbour has changed: three bits a group, for a change anywhere in it, in its first
// and in its last pixel.
//
// Thinning runs 32 times over rows of bits (8 shells, 4 subfields). A run hands a difference on by one row, so chunks
// begin and end with 32 rows of their neighbours' and need no barriers.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/isa.h"
#include "core/parallel.h"
#include "turbopixels/plane.h"

namespace pyseg::turbopixels {

constexpr int kBand = 4;            // pixels: psi ends there
constexpr int kShells = 2 * kBand;  // of thinning

// Bits of pixels are kept as one uint16 a group.

// A row with the ones above and below it.
struct Lines {
  const float *above, *at, *below;
};

// What changed in a row, one bit a group: anywhere in it, in its first pixel, in its last.
struct Changes {
  std::uint64_t *any, *first, *last;
};

struct FrontKernels {
  // For the groups in `which`: psi with the front moved, where it differs from what is there; `still`: one bit a pixel.
  // `taken`: bits of the pixels that the front takes in.
  void (*move)(const Lines& psi, const Lines& phi, const std::uint16_t* still, const std::uint64_t* which,
               std::int64_t words, float alpha, float beta, float* moved, std::uint16_t* taken, const Changes& changes);
  // For the groups in `which`: pixels off the front of `psi` where their neighbours carry them. `settle`: front pixels
  // that the front left behind, too; else they are as in `moved`. Pixels from `width` on are left.
  void (*carry)(const Lines& moved, const float* psi, const std::uint64_t* which, std::int64_t words,
                std::int64_t width, bool settle, float* out, const Changes& changes);
  // unassigned: bits of psi >= 0; near, at i * stride: of psi < (i + 1) / 2. Returns how many are assigned.
  std::int64_t (*shells)(const float* psi, std::int64_t width, std::uint16_t* unassigned, std::uint16_t* near,
                         std::int64_t stride);
  // Simple points of a row that are in `near` and `columns` become 0. `count` groups, and four on either side.
  void (*thin)(const std::uint16_t* above, std::uint16_t* at, const std::uint16_t* below, const std::uint16_t* near,
               std::int64_t count, std::uint64_t columns);
};

PYSEG_DISPATCH(FrontKernels, front_kernels)

struct Seed {
  std::int64_t y, x;
};

class Flow {
 public:
  // Discs around the seeds.
  void start(std::int64_t height, std::int64_t width, const std::vector<Seed>& seeds, double radius);
  void run(const Plane& phi, double alpha, double beta, std::int64_t max_iter, const Executor& exec);

  // The region of a pixel, -1 without one; valid for row -1 .. height and column -1 .. width: -2 outside.
  std::int32_t* owners(std::int64_t y) const { return owners_.get() + (y + 1) * (width_ + 2) + 1; }

 private:
  // [height, words_] each.
  struct Marks {
    Scratch<std::uint64_t> any, first, last;
  };

  std::int64_t skeleton(const Executor& exec);
  std::int64_t thin(std::int64_t begin, std::int64_t end);
  void advance(const Plane& phi, float alpha, float beta, const Executor& exec);
  void move_row(std::int64_t y, const Plane& phi, float alpha, float beta);
  void carry_row(std::int64_t y, bool settle);
  void take(std::int64_t y, const std::uint16_t* taken);
  bool around(const Marks& marks, std::int64_t y, const std::uint64_t* more, std::uint64_t* which) const;
  Changes changes(const Marks& marks, std::int64_t y) const;
  bool changed() const;

  std::int64_t height_ = 0, width_ = 0, groups_ = 0, words_ = 0;
  Plane psi_, moved_, settled_;
  Scratch<std::int32_t> owners_;
  Scratch<std::uint16_t> still_, seeded_;  // [height, groups_]
  Marks psi_marks_, moved_marks_, settled_marks_;
};

}  // namespace pyseg::turbopixels
