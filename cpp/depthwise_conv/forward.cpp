// Convolutions of planes and of pixels: packs the weights, cuts the work into pieces, hands rows to the inner loops.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "depthwise_conv/plan.h"

namespace pyseg::depthwise_conv {

namespace {

constexpr std::int64_t kLeastWork = 1 << 15;  // multiplications that are worth a thread

// Weights as numbers of the type of sums: element k of output o, or of plane pair o, at o * place + k * step.
struct Packed {
  Scratch<std::byte> weight, bias;
  bool finite = true;
};

template <typename A>
bool all_finite(const void* values, std::int64_t count) {
  const A* v = static_cast<const A*>(values);
  A zero = 0;
  for (std::int64_t i = 0; i < count; ++i) zero += v[i] * A{0};
  return zero == 0;
}

void pack(const Convolution& c, Packed& packed) {
  const auto widen = row_kernels().widen[static_cast<int>(c.kind)];
  const Array& w = c.weight;
  const std::int64_t size = sum_size(c.kind), taps = w.size[2] * w.size[3], count = w.size[0];
  std::byte* to = packed.weight.take(std::max<std::int64_t>(count * taps, 1) * size);
  for (std::int64_t o = 0; o < count; ++o)
    widen(at(c.kind, w.data, o * w.stride[0]), w.stride[2], w.stride[3], w.size[2], w.size[3], to + o * taps * size,
          w.size[3]);
  packed.finite = c.kind == Kind::f64 ? all_finite<double>(to, count * taps) : all_finite<float>(to, count * taps);
  if (c.bias == nullptr) return;
  widen(c.bias, 0, c.bias_stride, 1, c.out.size[1], packed.bias.take(std::max<std::int64_t>(c.out.size[1], 1) * size),
        0);
}

// [C, taps] to [taps, C].
template <typename A>
void turn(const std::byte* from, std::int64_t channels, std::int64_t taps, std::byte* to) {
  const A* x = reinterpret_cast<const A*>(from);
  A* y = reinterpret_cast<A*>(to);
  for (std::int64_t c = 0; c < channels; ++c)
    for (std::int64_t k = 0; k < taps; ++k) y[k * channels + c] = x[c * taps + k];
}

double value_of(Kind kind, const void* values, std::int64_t i) {
  return kind == Kind::f64 ? static_cast<const double*>(values)[i]
                           : static_cast<double>(static_cast<const float*>(values)[i]);
}

// Adds to `count` numbers those behind them.
template <typename A>
void add(std::byte* results, std::int64_t count) {
  A* to = reinterpret_cast<A*>(results);
  for (std::int64_t i = 0; i < count; ++i) to[i] += to[count + i];
}

// One band of one plane of results.
void convolve_band(const Convolution& c, const Packed& packed, const Band& band, const Columns& columns,
                   std::int64_t plane, std::byte* copy, std::byte* results) {
  const int sum = sum_index(c.kind);
  const std::int64_t size = sum_size(c.kind), lanes = plane_kernels().lanes[sum];
  const std::int64_t n = plane / c.out.size[1], o = plane % c.out.size[1], taps = c.rows.taps * c.columns.taps;
  const bool direct = element_size(c.kind) == size && c.out.stride[3] == 1 && c.pairing.inputs == 1;
  std::byte* out = at(c.kind, c.out.data, n * c.out.stride[0] + o * c.out.stride[1] + band.first_out * c.out.stride[2]);
  Plane p;
  p.x = copy;
  p.pitch = columns.pitch;
  p.tap = columns.tap.data();
  p.rows = band.blocks.view();
  p.segments = columns.segments.data();
  p.segment_count = static_cast<std::int64_t>(columns.segments.size());
  p.kh = c.rows.taps;
  p.kw = c.columns.taps;
  p.width = c.columns.outputs;
  p.relu = c.relu && direct;
  p.y_pitch = direct ? band.out_step * c.out.stride[2] : (p.width + lanes - 1) / lanes * lanes;
  p.bias = c.bias == nullptr ? 0.0 : value_of(c.kind, packed.bias.get(), o);
  for (std::int64_t t = 0; t < c.pairing.inputs; ++t) {
    const std::int64_t input = o * c.pairing.inputs / c.pairing.outputs + t;
    const std::int64_t place = c.pairing.inputs == 1 ? o : input;
    copy_rows(c.kind, at(c.kind, static_cast<const void*>(c.x.data), n * c.x.stride[0] + input * c.x.stride[1]), c.x,
              band, columns, copy);
    p.weight = packed.weight.get() + place * taps * size;
    p.y = direct ? static_cast<void*>(out) : results + (t > 0 ? band.out_count * p.y_pitch * size : 0);
    plane_kernels().forward[sum](p);
    if (t > 0 && size == 8) add<double>(results, band.out_count * p.y_pitch);
    if (t > 0 && size == 4) add<float>(results, band.out_count * p.y_pitch);
  }
  if (direct) return;
  for (std::int64_t j = 0; j < band.out_count; ++j)
    row_kernels().narrow[static_cast<int>(c.kind)](results + j * p.y_pitch * size, p.width, c.relu,
                                                   at(c.kind, out, j * band.out_step * c.out.stride[2]),
                                                   c.out.stride[3]);
}

void convolve_planes(const Convolution& c, const Packed& packed, const Executor& executor) {
  const std::int64_t size = sum_size(c.kind), lanes = plane_kernels().lanes[sum_index(c.kind)];
  const Columns columns = make_columns(c.columns, lanes);
  const std::vector<Band> bands = make_bands(c.rows, columns.pitch * size);
  const auto count = static_cast<std::int64_t>(bands.size());
  std::int64_t most_in = 0, most_out = 0;
  for (const Band& band : bands) {
    most_in = std::max(most_in, band.in_count);
    most_out = std::max(most_out, band.out_count);
  }
  const std::int64_t in_bytes = columns.size(most_in) * size;
  const std::int64_t out_bytes = 2 * most_out * (c.columns.outputs + lanes) * size;
  const std::int64_t work =
      c.rows.outputs * c.columns.outputs * std::max<std::int64_t>(c.rows.taps * c.columns.taps, 1);
  const std::int64_t grain = std::max<std::int64_t>(1, kLeastWork * count / work);
  executor.run(c.out.size[0] * c.out.size[1] * count, grain, [&](std::int64_t begin, std::int64_t end) {
    thread_local Scratch<std::byte> copy, results;
    std::byte* in = copy.take(in_bytes);
    std::memset(in, 0, static_cast<std::size_t>(in_bytes));
    std::byte* out = results.take(out_bytes);
    for (std::int64_t i = begin; i < end; ++i)
      convolve_band(c, packed, bands[static_cast<std::size_t>(i % count)], columns, i / count, in, out);
  });
}

void convolve_pixels(const Convolution& c, const Packed& packed, const Executor& executor) {
  const std::int64_t size = sum_size(c.kind), channels = c.out.size[1], taps = c.rows.taps * c.columns.taps;
  const int kind = static_cast<int>(c.kind);
  const std::int64_t lanes = pixel_kernels().lanes[sum_index(c.kind)];
  const std::vector<std::array<std::int64_t, 2>> order = phase_pairs(c.rows, c.columns);
  const std::vector<std::int64_t> cuts =
      channel_blocks(channels, lanes, channels_at_once(c.rows, c.columns, element_size(c.kind)));
  const auto blocks = static_cast<std::int64_t>(cuts.size()) - 1, height = static_cast<std::int64_t>(order.size());
  const BlockList columns = make_blocks(c.columns);
  Scratch<std::byte> turned;
  std::byte* weight = turned.take(std::max<std::int64_t>(taps * channels, 1) * size);
  if (c.kind == Kind::f64) turn<double>(packed.weight.get(), channels, taps, weight);
  else turn<float>(packed.weight.get(), channels, taps, weight);
  PixelRow row;
  row.x_pitch = c.x.stride[3];
  row.y_pitch = c.out.stride[3];
  row.columns = columns.view();
  row.kh = c.rows.taps;
  row.kw = c.columns.taps;
  row.weight_pitch = channels;
  row.relu = c.relu;
  const std::int64_t work = c.columns.outputs * (channels / blocks) * std::max<std::int64_t>(taps, 1);
  const std::int64_t grain = std::max<std::int64_t>(1, kLeastWork / work);
  executor.run(c.out.size[0] * blocks * height, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const void*> x(static_cast<std::size_t>(c.rows.taps + 1));
    std::vector<std::int64_t> ky(x.size());
    PixelRow r = row;
    r.x = x.data();
    r.ky = ky.data();
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / (blocks * height);
      const auto [y, below] = order[static_cast<std::size_t>(i % height)];
      const auto b = static_cast<std::size_t>(i / height % blocks);
      r.taps = 0;
      for (std::int64_t k = 0; k < c.rows.taps + (below < 0 ? 0 : 1); ++k) {
        const std::int64_t in = y * c.rows.stride + k * c.rows.dilation - c.rows.before;
        if (in < 0 || in >= c.rows.inputs) continue;
        x[static_cast<std::size_t>(r.taps)] =
            at(c.kind, static_cast<const void*>(c.x.data), n * c.x.stride[0] + in * c.x.stride[2] + cuts[b]);
        ky[static_cast<std::size_t>(r.taps++)] = k;
      }
      r.channels = cuts[b + 1] - cuts[b];
      r.weight = weight + cuts[b] * size;
      r.bias = c.bias == nullptr ? nullptr : packed.bias.get() + cuts[b] * size;
      r.y = at(c.kind, c.out.data, n * c.out.stride[0] + y * c.out.stride[2] + cuts[b]);
      r.below = below < 0 ? nullptr : at(c.kind, c.out.data, n * c.out.stride[0] + below * c.out.stride[2] + cuts[b]);
      pixel_kernels().forward[kind](r);
    }
  });
}

}  // namespace

void convolve(const Convolution& c, const Executor& executor) {
  for (const std::int64_t size : c.out.size)
    if (size == 0) return;
  Packed packed;
  pack(c, packed);
  const std::int64_t lanes = pixel_kernels().lanes[sum_index(c.kind)];
  const bool pixels = c.x.stride[1] == 1 && c.out.stride[1] == 1 && c.out.size[1] >= lanes && c.pairing.inputs == 1 &&
                      c.pairing.outputs == 1;
  if (!packed.finite) convolve_exactly(c, executor);
  else if (pixels) convolve_pixels(c, packed, executor);
  else convolve_planes(c, packed, executor);
}

}  // namespace pyseg::depthwise_conv
