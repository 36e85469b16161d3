// Quick shift's search for parents, compiled once per instruction set; see field.h.
//
// The offsets of the window are taken from the nearest on, and a vector of pixels is done when its worst has a parent
// that is no farther than the next offset is in space alone: colour can only add to that. At scikit-image's
// defaults a pixel of a photograph needs 19 of the 316 offsets on average and a vector of 16 pixels 68, because a mode
// looks at all of them; that takes two fifths of the time of all offsets.
#include "quickshift/lanes.h"

namespace pyseg::quickshift::PYSEG_ISA {
namespace {

constexpr std::int32_t kNone = INT32_MAX;

template <typename T, int Channels>
void row(const Field<T>& field, const Search<T>& search, std::int64_t y, std::int32_t* parent, T* squared) {
  for (std::int64_t x = 0; x < field.width; x += kLanes<T>) {
    const std::int64_t from = y * field.stride + x;
    const Pixels<T, Channels> pixels(field, field.planes + from);
    const Ints<T> mine = load<Ints<T>>(search.density + from);
    Ints<T> lane{};
    for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
    Reals<T> best = lane < static_cast<Key<T>>(field.width - x) ? Reals<T>{} + search.limit : Reals<T>{} - T{1};
    Ints<T> offset = Ints<T>{} + kNone;
    for (std::int64_t r = 0; r < search.rings_count; ++r) {
      const Ring<T>& ring = search.rings[r];
      if (!any(best >= ring.squared)) break;
      for (const Offset<T>* o = search.offsets + ring.begin; o != search.offsets + ring.end; ++o) {
        if (y + o->y < 0 || y + o->y >= field.height) continue;
        const Ints<T> its = load<Ints<T>>(search.density + from + o->at);
        const Ints<T> higher = search.ties && o->index < 0 ? its >= mine : its > mine;
        const Reals<T> distance = pixels.distance(field.planes + from + o->at) + o->square_y + o->square_x;
        if (!any(higher & (distance <= best))) continue;
        const Ints<T> nearer = higher & ((distance < best) | ((distance == best) & (o->index < offset)));
        best = nearer ? distance : best;
        offset = nearer ? Ints<T>{} + o->index : offset;
      }
    }
    const std::int64_t count = field.width - x < kLanes<T> ? field.width - x : kLanes<T>;
    for (std::int64_t i = 0; i < count; ++i) {
      parent[x + i] = static_cast<std::int32_t>(y * field.width + x + i + (offset[i] == kNone ? 0 : offset[i]));
      if (squared != nullptr) squared[x + i] = best[i];
    }
  }
}

template <typename T>
void any_channels(const Field<T>& field, const Search<T>& search, std::int64_t y, std::int32_t* parent, T* squared) {
  switch (field.channels) {
    case 1:
      return row<T, 1>(field, search, y, parent, squared);
    case 3:
      return row<T, 3>(field, search, y, parent, squared);
    default:
      return row<T, kAny>(field, search, y, parent, squared);
  }
}

}  // namespace

const SearchKernels* search_kernels() {
  static constexpr SearchKernels kernels{any_channels<float>, any_channels<double>};
  return &kernels;
}

}  // namespace pyseg::quickshift::PYSEG_ISA
