// Masked cross attention (Cheng et al., "Masked-attention Mask Transformer", CVPR 2022, section 3.2.1): queries attend
// to the pixels inside a mask of their own, softmax(q k^T / sqrt(d) + mask) v, with one mask for all heads.
//
// The mask is a bitmap of tiles of 16 keys, 4 x 4 pixels, as 16 bits: bit 4 r + c is pixel (r, c). 16 tiles, 4 x 4
// again, are a chunk of 16 x 16 pixels; chunks run along rows. Keys that lie in a line (height 1) have tiles of 16 in a
// row. The mask of one query is [chunks][16 tiles]; what lies beyond the last pixel is 0. No [queries, keys] array
// exists.
#pragma once

#include <cstdint>

#include "core/parallel.h"

namespace pyseg::masked_attention {

constexpr int kTiles = 16;  // of a chunk
constexpr int kKeys = 16;   // of a tile

// Which key is where: key y * width + x is a pixel.
struct Layout {
  std::int64_t height = 0, width = 0;

  bool line() const { return height == 1; }
  std::int64_t across() const { return line() ? (width + 255) / 256 : (width + 15) / 16; }
  std::int64_t down() const { return line() ? 1 : (height + 15) / 16; }
  std::int64_t chunks() const { return height == 0 || width == 0 ? 0 : across() * down(); }
  std::int64_t keys() const { return height * width; }
  std::int64_t key(std::int64_t chunk, int tile, int lane) const {  // -1: beyond the last pixel
    const std::int64_t x = line() ? chunk * 256 + tile * 16 + lane : chunk % across() * 16 + tile % 4 * 4 + lane % 4;
    const std::int64_t y = line() ? 0 : chunk / across() * 16 + tile / 4 * 4 + lane / 4;
    return x < width && y < height ? y * width + x : -1;
  }
};
void check_layout(const Layout& layout);  // both sides 0 .. 2^31 - 1, and their product below 2^48

// Bits of mask logits [planes, rows, columns] (dense), resized to the layout as by torch's interpolate (bilinear,
// align_corners=False, in its float32 operations): logit >= threshold. NaN is outside.
void bits_of_logits(const float* logits, std::int64_t planes, std::int64_t rows, std::int64_t columns,
                    const Layout& layout, float threshold, std::uint16_t* bits, const Executor& executor);
// Bits of masks [planes, keys], one byte a key, not 0 inside.
void bits_of_bytes(const std::uint8_t* masks, std::int64_t planes, const Layout& layout, std::uint16_t* bits,
                   const Executor& executor);

// [batch, rows, heads * dim] with the last axis dense; strides in elements.
template <typename T>
struct Rows {
  T* data = nullptr;
  std::int64_t batch = 0, row = 0;
  T* at(std::int64_t b, std::int64_t i) const { return data + b * batch + i * row; }
};

template <typename T>
struct Problem {
  std::int64_t batch, heads, queries, dim;  // dim: of a head
  Layout layout;
  Rows<const T> q, k, v;
  const std::uint16_t* bits;  // [batch, queries, chunks, 16]
  bool empty_all;             // a query with an empty mask attends to everything, or else gives zeros
};

// out [batch, queries, heads * dim], dense; lse [batch, heads, queries]: log of the sum of exponentials, for backward;
// null: not wanted.
void forward(const Problem<float>& problem, float* out, float* lse, const Executor& executor);
void forward(const Problem<double>& problem, double* out, double* lse, const Executor& executor);

// Gradients, dense, of the shapes of q, k and v.
template <typename T>
struct Gradients {
  Rows<const T> out, grad;  // what forward gave, and its gradient
  const T* lse;
  T *q, *k, *v;
};
void backward(const Problem<float>& problem, const Gradients<float>& gradients, const Executor& executor);
void backward(const Problem<double>& problem, const Gradients<double>& gradients, const Executor& executor);

}  // namespace pyseg::masked_attention
