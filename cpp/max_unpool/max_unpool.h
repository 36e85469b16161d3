// Max-pooling that remembers where each maximum stood, and the way back: SegNet (Badrinarayanan, Kendall, Cipolla,
// "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation", TPAMI 2017), DeconvNet (Noh,
// Hong, Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015). Values are torch's: of equal
// values the first in the window's raster order stands, a NaN beats every number and a later NaN an earlier one.
//
// Three functions, closed under differentiation:
//     pool    y[o] = max of window o, i[o] = where it stood        derivative: spread (add)
//     spread  x = 0; x[i[o]] = y[o] (unpooling: the last window wins) or += y[o], in raster order of o
//     gather  y[o] = x[i[o]]                                       derivative of spread; its own: spread (add)
//
// Indices are the tap of the window in one byte (at most 256 taps), or the place in the plane, d * H * W + h * W + w,
// in four or eight, as torch has them. A tap takes an eighth of the memory, and says which row and column of the window
// to read or write without a division.
//
// Layout: dense [batch, channels, depth, height, width], or [batch, depth, height, width, channels] for channels_last.
// In the first a vector runs along a row, in the second along the channels. All sizes are int64.
//
// What bounds it: memory. pool reads x once and writes a quarter and a sixteenth of it for 2x2 windows in float32;
// unpooling is the reverse, written once, row by row, whatever is not hit included, past the cache where it is large.
// Fresh pages of the output cost more than either; huge_pages() asks the system for few large ones.
//
// An index that is out of range is never followed: std::out_of_range, IndexError in Python.
#pragma once

#include <array>
#include <cstdint>

#include "core/parallel.h"

namespace pyseg::max_unpool {

enum class Value { f16, bf16, f32, f64 };
enum class Index { tap, i32, i64 };  // one byte in the window, or a place in the plane

inline std::int64_t size_of(Value v) { return v == Value::f64 ? 8 : v == Value::f32 ? 4 : 2; }
inline std::int64_t size_of(Index i) { return i == Index::tap ? 1 : i == Index::i32 ? 4 : 8; }

using Sizes = std::array<std::int64_t, 3>;  // depth, height, width

struct Problem {
  Sizes kernel{1, 1, 1}, stride{1, 1, 1}, padding{}, dilation{1, 1, 1};
  std::int64_t batch = 0, channels = 0;
  Sizes large{}, small{};  // of x and of y
  bool channels_last = false;
  Value value = Value::f32;
  Index index = Index::tap;

  std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  std::int64_t large_plane() const { return large[0] * large[1] * large[2]; }
  std::int64_t small_plane() const { return small[0] * small[1] * small[2]; }
  // No two windows overlap.
  bool apart() const {
    for (std::size_t a = 0; a < 3; ++a)
      if (small[a] > 1 && stride[a] <= (kernel[a] - 1) * dilation[a]) return false;
    return true;
  }
};

// What unpooled values become, by channel, and with them the zeros between: v * scale[c] + shift[c], then
// max(v, 0). Computed in float32, for float64 in float64. Null: 1 and 0.
struct Affine {
  const double* scale = nullptr;
  const double* shift = nullptr;
  bool relu = false;
  bool any() const { return scale != nullptr || shift != nullptr || relu; }
};

// torch's size of y along an axis. Throws std::invalid_argument, also where a window would hold no pixel.
std::int64_t pooled_size(const char* op, std::int64_t size, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding, std::int64_t dilation, bool ceil_mode);

// Throws std::invalid_argument unless windows and sizes make sense; `pooling`, or indices of taps: every window holds a
// pixel. The functions below assume it.
void verify(const char* op, const Problem& p, bool pooling);

void pool(const Problem& p, const void* x, void* y, void* indices, const Executor& exec);
void gather(const Problem& p, const void* large, const void* indices, void* small, const Executor& exec);
// `windowed`: places in the plane must lie in their windows, or std::invalid_argument is thrown.
void spread(const Problem& p, const void* small, const void* indices, void* large, bool add, bool windowed,
            const Affine& affine, const Executor& exec);

// For memory that was just allocated and not touched yet: large pages, if the system has them.
void huge_pages(void* data, std::int64_t bytes);

}  // namespace pyseg::max_unpool
