// Weights as the algorithms want them: [taps or pairs of combinations][panels of gemm].
#include <algorithm>
#include <cstring>

#include "atrous_conv/blocks.h"
#include "atrous_conv/kernels.h"
#include "core/workspace.h"

namespace pyseg::atrous_conv {
namespace {

// Where weight (output o, channel c, tap t) of `conv` lies; of a transposed convolution in those of the first one.
struct Where {
  const float* data;
  std::int64_t output, channel, last_tap;
  bool flipped;

  Where(const Conv& conv, const float* weight, bool transposed)
      : data(weight), last_tap(conv.kernel[0] * conv.kernel[1] - 1), flipped(transposed) {
    const std::int64_t taps = last_tap + 1;
    output = transposed ? taps : conv.channels * taps;
    channel = transposed ? conv.outputs * taps : taps;
  }
  const float* at(std::int64_t o, std::int64_t c, std::int64_t tap) const {
    return data + o * output + c * channel + (flipped ? last_tap - tap : tap);
  }
};

void pack_direct(const Conv& conv, const Where& where, float* packed, const Executor& executor) {
  const std::int64_t size = gemm::packed_size(conv.channels, conv.outputs);
  for (std::int64_t t = 0; t <= where.last_tap; ++t)
    gemm::pack({where.at(0, 0, t), where.channel, where.output}, conv.channels, conv.outputs, packed + t * size,
               executor);
}

void pack_winograd(const Conv& conv, const Where& where, float* packed, const Executor& executor) {
  const Plan plan(conv);
  const std::int64_t panels = gemm::panel_count(conv.outputs), size = gemm::packed_size(conv.channels, conv.outputs);
  const int y_count = static_cast<int>(plan.y.ids.size()), x_count = static_cast<int>(plan.x.ids.size());
  executor.run(panels * conv.channels, 64, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) double taps[9][kTapColumns];
    float* out[kWeightIds * kWeightIds];
    for (std::int64_t task = begin; task < end; ++task) {
      const gemm::Panel p = gemm::panel(packed, conv.channels, conv.outputs, task / conv.channels);
      const std::int64_t c = task % conv.channels;
      for (int n = 0; n < static_cast<int>(p.step); ++n)
        for (int t = 0; t < 9; ++t) taps[t][n] = n < p.columns ? *where.at(p.first + n, c, t) : 0.0;
      for (int m = 0; m < y_count * x_count; ++m) out[m] = packed + (p.data - packed) + m * size + c * p.step;
      transform_kernels().weights(taps[0], static_cast<int>(p.step), plan.y.ids.data(), y_count, plan.x.ids.data(),
                                  x_count, out);
    }
  });
}

}  // namespace

std::int64_t packed_size(const Conv& conv) {
  const std::int64_t size = gemm::packed_size(conv.channels, conv.outputs);
  if (conv.algorithm == Algorithm::pointwise) return conv.channels * conv.outputs;
  if (conv.algorithm == Algorithm::direct) return size * conv.kernel[0] * conv.kernel[1];
  return size * Plan(conv).matrices();
}

std::int64_t combinations(const Conv& conv) {
  if (conv.algorithm == Algorithm::direct || conv.algorithm == Algorithm::pointwise) return 0;
  const Plan plan(conv);
  std::int64_t bits = 0;
  for (const std::uint8_t id : plan.y.ids) bits |= std::int64_t{1} << id;
  for (const std::uint8_t id : plan.x.ids) bits |= std::int64_t{1} << (id + 16);
  return bits;
}

std::int64_t fingerprint(const float* weight, std::int64_t count, const Executor& executor) {
  constexpr std::int64_t kPart = 1 << 16, kLanes = 8;
  const std::int64_t parts = (count + kPart - 1) / kPart;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(parts));
  const auto mix = [](std::uint64_t hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
  };
  executor.each(parts, [&](std::int64_t part) {
    const float* p = weight + part * kPart;
    const std::int64_t n = std::min(kPart, count - part * kPart);
    std::uint64_t lanes[kLanes] = {1, 2, 3, 4,
                                   5, 6, 7, 8};  // apart, so that one multiplication need not wait for another
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes)
      for (std::int64_t lane = 0; lane < kLanes; ++lane) {
        std::uint64_t two;
        std::memcpy(&two, p + i + 2 * lane, 8);
        lanes[lane] = mix(lanes[lane], two);
      }
    for (; i < n; ++i) {
      std::uint32_t one;
      std::memcpy(&one, p + i, 4);
      lanes[0] = mix(lanes[0], one);
    }
    for (const std::uint64_t lane : lanes)
      sums[static_cast<std::size_t>(part)] = mix(sums[static_cast<std::size_t>(part)], lane);
  });
  std::uint64_t hash = static_cast<std::uint64_t>(count);
  for (const std::uint64_t sum : sums) hash = mix(hash, sum);
  return static_cast<std::int64_t>(hash);
}

void pack(const Conv& conv, const float* weight, bool transposed, float* packed, const Executor& executor) {
  const Where where(conv, weight, transposed);
  if (conv.algorithm == Algorithm::pointwise) {
    for (std::int64_t o = 0; o < conv.outputs; ++o)
      for (std::int64_t c = 0; c < conv.channels; ++c) packed[o * conv.channels + c] = *where.at(o, c, 0);
  } else if (conv.algorithm == Algorithm::direct) pack_direct(conv, where, packed, executor);
  else pack_winograd(conv, where, packed, executor);
}

}  // namespace pyseg::atrous_conv
