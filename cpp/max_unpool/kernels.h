// The inner loops, compiled once per instruction set: a row of a plane, or the channels of a pixel.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyseg::max_unpool {

// A pooled row and the rows of x that its windows run over. NCHW only.
struct Row {
  const void* const* rows = nullptr;  // [count], at column 0
  const int* first_tap = nullptr;     // [count], of the row's first column in the window
  int count = 0;
  std::int64_t width = 0, pooled = 0;                              // of x and of y
  std::int64_t kernel = 0, stride = 0, padding = 0, dilation = 0;  // along the row
};

// Windows over a pixel's channels, all of them within the image.
struct Pixel {
  const void* const* at = nullptr;  // [count]
  const int* tap = nullptr;         // [count]
  int count = 0;
  std::int64_t channels = 0;
};

// What comes together in a pixel of x, in raster order of the pooled pixels.
struct Sources {
  const void* const* value = nullptr;  // [count]
  const std::uint8_t* const* code = nullptr;
  const int* tap = nullptr;
  int count = 0;
  std::int64_t channels = 0;
};

struct Kernels {
  void (*pool_row)(const Row&, void* y, std::uint8_t* codes) = nullptr;
  void (*pool_pixel)(const Pixel&, void* y, std::uint8_t* codes) = nullptr;
  // codes are known to be of taps within x.
  void (*gather_row)(const Row&, const std::uint8_t* codes, void* y) = nullptr;
  void (*gather_pixel)(const Pixel&, const std::uint8_t* codes, void* y) = nullptr;
  // A row of x out of one pooled row: columns 2i and 2i + 1 are y[i] where codes[i] is tap, tap + 1, or else `rest`.
  void (*spread_pairs)(const void* y, const std::uint8_t* codes, int tap, std::int64_t count, const void* rest,
                       void* row, bool stream) = nullptr;
  // The last that hits wins, or all are added; `rest` [channels] where none does (null: 0).
  void (*spread_pixel)(const Sources&, const void* rest, void* x, bool add, bool stream) = nullptr;
  // A row of x, [width], of any windows with stride 2 or 1, out of `count` pooled rows, in raster order: those are
  // padded to both sides with codes that no tap has. As spread_pixel, but for one `rest`.
  void (*spread_row)(const Sources&, const Row&, const void* rest, void* x, bool add) = nullptr;
};

struct KernelTable {
  Kernels of[4];  // by Value
  bool (*codes_below)(const std::uint8_t* codes, std::int64_t count, int taps);
  void (*fence)();  // after streaming stores
};

PYSEG_DISPATCH(KernelTable, kernel_table)

}  // namespace pyseg::max_unpool
