// What the files of atrous_conv share: algorithms on pixels (channels last), and the passes of the pieces.
#pragma once

#include "atrous_conv/atrous_conv.h"
#include "atrous_conv/blocks.h"

namespace pyseg::atrous_conv {

constexpr std::int64_t kMostStretch = 2048;  // channels transformed before they are multiplied
constexpr std::int64_t kStrip =
    128;  // of them at once by one axis after the other, whose middle stays in the first level

// Floats of a row of scratch: whole lines of cache.
inline std::int64_t line_of(std::int64_t floats) { return (floats + 15) / 16 * 16; }

// One tile's products' inputs, channels [first, first + channels) of `pixels`, to values[row of the block * value_row].
void transform_tile(const Conv& conv, const Block& block, std::int64_t tile, const float* pixels, std::int64_t first,
                    std::int64_t channels, float* values, std::int64_t value_row);

void winograd_forward(const Conv& conv, const float* pixels, const float* packed, const gemm::Epilogue& epilogue,
                      const Output& out, const Executor& executor);
void direct_forward(const Conv& conv, const float* pixels, const float* packed, const gemm::Epilogue& epilogue,
                    const Output& out, const Executor& executor);
void pointwise_forward(const Conv& conv, const float* planes, const float* weight, const gemm::Epilogue& epilogue,
                       float* out, const Executor& executor);
void winograd_grad_weight(const Conv& conv, const float* pixels, const float* grad, float* result,
                          const Executor& executor);
void direct_grad_weight(const Conv& conv, const float* pixels, const float* grad, float* result,
                        const Executor& executor);

// Images [planes, pixels] to [pixels, planes] or back, `out_row` floats from one row of the result to the next.
void transpose(const float* in, std::int64_t images, std::int64_t rows, std::int64_t columns, float* out,
               const Executor& executor);

}  // namespace pyseg::atrous_conv
