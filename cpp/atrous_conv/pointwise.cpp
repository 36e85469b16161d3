// 1 x 1 convolution of planes into planes, without turning them: the planes are B, and the weights A as they are.
//
// A thread takes some panels of pixels through all weights: it copies a stretch of their channels together (in the
// second level of the cache) and multiplies six outputs at a time with it.
#include <algorithm>

#include "atrous_conv/passes.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {
namespace {

constexpr std::int64_t kPixels = 192;  // of 512 channels: three eighths of a second level cache of 1 MB

// Panels of `width` pixels, [panel][channel][width], of `count` pixels from each of `channels` planes; the last one is
// filled up with zeros.
void gather(const float* plane, std::int64_t area, std::int64_t channels, std::int64_t count, std::int64_t width,
            float* out) {
  for (std::int64_t first = 0; first < count; first += width) {
    const std::int64_t n = std::min(width, count - first);
    for (std::int64_t c = 0; c < channels; ++c, out += width) {
      std::copy_n(plane + c * area + first, n, out);
      std::fill(out + n, out + width, 0.0f);
    }
  }
}

}  // namespace

void pointwise_forward(const Conv& conv, const float* planes, const float* weight, const gemm::Epilogue& epilogue,
                       float* out, const Executor& executor) {
  const std::int64_t width = gemm::kernels().columns, step = gemm::kernels().rows;
  const std::int64_t area = conv.height * conv.width, parts = (area + kPixels - 1) / kPixels;
  executor.each(conv.images * parts, [&](std::int64_t task) {
    static thread_local Scratch<float> scratch;
    float* b = scratch.take(gemm::kDepth * kPixels);
    const std::int64_t image = task / parts, first = task % parts * kPixels, count = std::min(kPixels, area - first);
    const float* in = planes + image * conv.channels * area + first;
    float* to = out + image * conv.outputs * area + first;
    for (std::int64_t c = 0; c < conv.channels; c += gemm::kDepth) {
      const std::int64_t stretch = std::min(gemm::kDepth, conv.channels - c);
      gather(in + c * area, area, stretch, count, width, b);
      for (std::int64_t o = 0; o < conv.outputs; o += step)
        for (std::int64_t p = 0; p < count; p += width)
          gemm::multiply_block({weight + o * conv.channels + c, conv.channels, 1, to + o * area + p, area,
                                std::min(step, conv.outputs - o), c > 0, nullptr},
                               b + p * stretch, width, stretch, static_cast<int>(std::min(width, count - p)));
    }
    if (epilogue.scale == nullptr && epilogue.shift == nullptr && !epilogue.relu) return;
    for (std::int64_t o = 0; o < conv.outputs; ++o)
      gemm::kernels().finish(to + o * area, epilogue.scale == nullptr ? 1.0f : epilogue.scale[o],
                             epilogue.shift == nullptr ? 0.0f : epilogue.shift[o], epilogue.relu, count);
  });
}

}  // namespace pyseg::atrous_conv
