// The inner loops, compiled once per instruction set: along the rows of a plane, or along the channels of pixels.
//
// Vectors may run over the end of a row, or of a pixel's channels, into what is written next, in the same call; so
// short ones need neither masks nor scalars. The last of a call do not.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::max_unpool {

// Pooled rows of a plane, [n, pooled], and the rows of x that the windows of the first run over, at column 0; each
// further pooled row lies `row_step` values on. NCHW.
struct Rows {
  const void* const* rows = nullptr;  // [count]
  const int* first_tap = nullptr;     // [count], of the row's first column in the window
  int count = 0;
  std::int64_t n = 1, row_step = 0;
  std::int64_t width = 0, pooled = 0;                              // of x and of y
  std::int64_t kernel = 0, stride = 0, padding = 0, dilation = 0;  // along the row
};

// `n` windows in a row of pixels, all within the image: the pixels of the first, and how far on each next one lies.
struct Pixels {
  const void* const* at = nullptr;  // [count]
  const int* tap = nullptr;         // [count]
  int count = 0;
  std::int64_t n = 1, step = 0, channels = 0;
};

// Windows of a plane, two columns each, side by side: [n, pooled] values and codes become n * stride rows of x,
// [width], of which the first `kernel` hold values.
struct Pairs {
  const void* y = nullptr;
  const std::uint8_t* codes = nullptr;
  std::int64_t n = 0, pooled = 0, width = 0, kernel = 0, stride = 0;
  int tap = 0;  // of the first column of the first row
};

// As Pairs, along a row of pixels: [n, channels] become n * stride pixels.
struct Strides {
  const void* y = nullptr;
  const std::uint8_t* codes = nullptr;
  std::int64_t n = 0, channels = 0, kernel = 0, stride = 0;
  int tap = 0;
};

// What comes together in a pixel, or row, of x, in raster order of the windows.
struct Sources {
  const void* const* value = nullptr;  // [count]
  const std::uint8_t* const* code = nullptr;
  const int* tap = nullptr;
  int count = 0;
  std::int64_t channels = 0;
};

struct Kernels {
  void (*pool_rows)(const Rows&, void* y, std::uint8_t* codes) = nullptr;
  void (*pool_pixels)(const Pixels&, void* y, std::uint8_t* codes) = nullptr;
  // codes are known to be of taps within x.
  void (*gather_rows)(const Rows&, const std::uint8_t* codes, void* y) = nullptr;
  void (*gather_pixels)(const Pixels&, const std::uint8_t* codes, void* y) = nullptr;
  // `rest` where no code hits; one value, or one a channel.
  void (*spread_pairs)(const Pairs&, const void* rest, void* x) = nullptr;
  void (*spread_strides)(const Strides&, const void* rest, void* x, bool stream) = nullptr;
  // The last that hits wins, or all are added.
  void (*spread_pixel)(const Sources&, const void* rest, void* x, bool add) = nullptr;
  // A row of x, [width], of any windows with stride 2 or 1, out of `count` pooled rows: those are padded to both sides
  // with codes that no tap has.
  void (*spread_row)(const Sources&, const Rows&, const void* rest, void* x, bool add) = nullptr;
};

struct KernelTable {
  Kernels of[4];  // by Value
  bool (*codes_below)(const std::uint8_t* codes, std::int64_t count, int taps);
  // Places in the plane to codes: of a row of windows, `pitch` values each, the first of which begins at `origin` and
  // each next one `stride` on; of_tap: places of the taps from there. False where one is of no tap.
  bool (*encode)(const void* places, bool wide, std::int64_t n, std::int64_t pitch, std::int64_t origin,
                 std::int64_t stride, const std::int64_t* of_tap, int taps, std::uint8_t* codes);
  // And back.
  void (*decode)(const std::uint8_t* codes, std::int64_t n, std::int64_t pitch, std::int64_t origin,
                 std::int64_t stride, const std::int64_t* of_tap, int taps, void* places, bool wide);
  void (*copy_past_cache)(const void* from, void* to, std::int64_t bytes);
  void (*fence)();  // after stores past the cache
};

PYSEG_DISPATCH(KernelTable, kernel_table)

}  // namespace pyseg::max_unpool
