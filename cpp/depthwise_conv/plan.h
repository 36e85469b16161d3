// How the outputs of a convolution are put into blocks and bands, and which taps lie inside the image: the same for
// every plane and every channel, so it is worked out once a call.
#pragma once

#include <cstdint>
#include <vector>

#include "core/workspace.h"
#include "depthwise_conv/depthwise_conv.h"
#include "depthwise_conv/kernels.h"

namespace pyseg::depthwise_conv {

// One axis of a convolution: tap k of output o is input o * stride + k * dilation - before, if 0 <= that < inputs.
struct Axis {
  std::int64_t inputs = 0, outputs = 0, taps = 0, stride = 1, dilation = 1, before = 0;
};

// Which planes belong together: output plane o is the sum over t < `inputs` of the convolutions of plane
// o * inputs / outputs + t with the kernel of that place (of o, where inputs is 1).
struct Pairing {
  std::int64_t inputs = 1, outputs = 1;
};

// The problem that forward and grad_input both are.
struct Convolution {
  Kind kind;
  Array x, weight, out;  // weight strides may be negative, taps none
  const void* bias = nullptr;
  std::int64_t bias_stride = 0;
  Axis rows, columns;
  Pairing pairing;
  bool relu = false;
};

void convolve(const Convolution& c, const Executor& executor);

// Of the weights of such a convolution with one input plane an output: into `out` [outputs, taps], contiguous.
void sum_weights(Kind kind, const Array& grad, const Array& x, const Axis& rows, const Axis& columns, void* out,
                 const Executor& executor);

struct BlockList {
  std::vector<Block> of[kMostOutputs];
  std::int64_t output_step = 0, input_step = 0;
  Blocks view() const;
};

// All outputs of the axis.
BlockList make_blocks(const Axis& axis);

// The outputs in the order in which those that share inputs follow each other.
std::vector<std::int64_t> phase_order(const Axis& axis);

// Likewise; two outputs that share all inputs but the first and the last are a pair, -1 stands for no second one.
std::vector<std::array<std::int64_t, 2>> phase_pairs(const Axis& rows, const Axis& columns);

// Rows of a plane that are done together: inputs first_in, first_in + in_step, ... are lines 0, 1, ... of the copy,
// outputs likewise.
struct Band {
  std::int64_t first_in = 0, in_step = 1, in_count = 0, first_out = 0, out_step = 1, out_count = 0;
  BlockList blocks;
};

// The whole plane where its copy, of rows of `row_bytes`, fits into a part of the second-level cache; else parts of
// its phases, the rows that lie a dilation apart.
std::vector<Band> make_bands(const Axis& rows, std::int64_t row_bytes);

// A row's copy: `pad` zeros, then its inputs; with stride s, s such parts, of every s-th input.
struct Columns {
  struct Part {
    std::int64_t residue, first, count, place;  // inputs first, first + stride, ...
  };
  std::vector<Part> parts;
  std::vector<std::int64_t> tap;  // see Plane
  std::vector<Segment> segments;
  std::int64_t pitch = 0, stride = 1, pad = 0;
  std::int64_t size(std::int64_t rows) const { return rows * pitch + 2 * pad; }
};

Columns make_columns(const Axis& columns, std::int64_t lanes);

// Where channels are cut into blocks: 0, ..., channels, all but the last of whole vectors.
std::vector<std::int64_t> channel_blocks(std::int64_t channels, std::int64_t lanes, std::int64_t most);
std::int64_t channels_at_once(const Axis& rows, const Axis& columns, std::int64_t size);

inline std::int64_t element_size(Kind kind) { return kind == Kind::f64 ? 8 : kind == Kind::f32 ? 4 : 2; }
inline std::int64_t sum_size(Kind kind) { return kind == Kind::f64 ? 8 : 4; }
inline int sum_index(Kind kind) { return kind == Kind::f64 ? 1 : 0; }
inline const std::byte* at(Kind kind, const void* data, std::int64_t i) {
  return static_cast<const std::byte*>(data) + i * element_size(kind);
}
inline std::byte* at(Kind kind, void* data, std::int64_t i) {
  return static_cast<std::byte*>(data) + i * element_size(kind);
}

// Copies rows of a plane of `x` at `origin`, as numbers of the type of sums, where `columns` puts them.
void copy_rows(Kind kind, const std::byte* origin, const Array& x, const Band& band, const Columns& columns, void* to);

// The definition, tap by tap: for weights, or sums, that are not finite. Vectors multiply by zeros beside the image.
void convolve_exactly(const Convolution& c, const Executor& executor);
void grad_weight_exactly(Kind kind, const Array& grad, const Array& x, const Axis& rows, const Axis& columns,
                         std::int64_t channel, double* sums);

}  // namespace pyseg::depthwise_conv
