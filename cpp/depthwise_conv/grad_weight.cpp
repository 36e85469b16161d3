// Gradients of weights and bias: partial sums over fixed pieces of the images, in the type of sums, added up in the
// order of the pieces in float64.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "depthwise_conv/plan.h"

namespace pyseg::depthwise_conv {

namespace {

constexpr std::int64_t kPiece = 2048;  // outputs of a channel in a piece, where vectors run over channels

struct Problem {
  Kind kind;
  const Array& grad;
  const Array& x;
  Axis rows, columns;
  std::int64_t taps() const { return rows.taps * columns.taps; }
  std::int64_t channels() const { return grad.size[1]; }
};

double value_of(Kind kind, const std::byte* values, std::int64_t i) {
  if (kind == Kind::f64) return reinterpret_cast<const double*>(values)[i];
  return static_cast<double>(reinterpret_cast<const float*>(values)[i]);
}

// The sums of one band of one plane.
void sum_band(const Problem& p, const Band& band, const Columns& columns, std::int64_t plane, std::byte* copy,
              std::byte* gradient, std::byte* sums) {
  const int sum = sum_index(p.kind);
  const std::int64_t size = sum_size(p.kind);
  const std::int64_t n = plane / p.channels(), o = plane % p.channels();
  const std::int64_t input = o * p.x.size[1] / p.channels();
  copy_rows(p.kind, at(p.kind, static_cast<const void*>(p.x.data), n * p.x.stride[0] + input * p.x.stride[1]), p.x,
            band, columns, copy);
  Plane plan;
  const std::byte* g = at(p.kind, static_cast<const void*>(p.grad.data),
                          n * p.grad.stride[0] + o * p.grad.stride[1] + band.first_out * p.grad.stride[2]);
  if (element_size(p.kind) == size && p.grad.stride[3] == 1) {
    plan.y = const_cast<std::byte*>(g);
    plan.y_pitch = band.out_step * p.grad.stride[2];
  } else {
    plan.y = gradient;
    plan.y_pitch = p.columns.outputs;
    row_kernels().widen[static_cast<int>(p.kind)](g, band.out_step * p.grad.stride[2], p.grad.stride[3], band.out_count,
                                                  p.columns.outputs, gradient, plan.y_pitch);
  }
  plan.x = copy;
  plan.pitch = columns.pitch;
  plan.tap = columns.tap.data();
  plan.rows = band.blocks.view();
  plan.segments = columns.segments.data();
  plan.segment_count = static_cast<std::int64_t>(columns.segments.size());
  plan.kh = p.rows.taps;
  plan.kw = p.columns.taps;
  plan.width = p.columns.outputs;
  plan.weight = sums;
  plane_kernels().weight[sum](plan);
}

// Sums of `pieces` pieces: of channel o, those of piece i at (o * pieces + i) * taps.
std::int64_t sum_planes(const Problem& p, Scratch<std::byte>& memory, const Executor& executor) {
  const std::int64_t size = sum_size(p.kind), lanes = plane_kernels().lanes[sum_index(p.kind)];
  const Columns columns = make_columns(p.columns, lanes);
  const std::vector<Band> bands = make_bands(p.rows, columns.pitch * size);
  const auto count = static_cast<std::int64_t>(bands.size());
  std::int64_t most_in = 0, most_out = 0;
  for (const Band& band : bands) {
    most_in = std::max(most_in, band.in_count);
    most_out = std::max(most_out, band.out_count);
  }
  const std::int64_t in_bytes = columns.size(most_in) * size;
  const std::int64_t out_bytes = most_out * p.columns.outputs * size;
  const std::int64_t pieces = p.grad.size[0] * count, total = pieces * p.channels();
  std::byte* sums = memory.take(total * p.taps() * size);
  std::memset(sums, 0, static_cast<std::size_t>(total * p.taps() * size));
  executor.run(total, 1, [&](std::int64_t begin, std::int64_t end) {
    thread_local Scratch<std::byte> copy, gradient;
    std::byte* in = copy.take(in_bytes);
    std::byte* out = gradient.take(out_bytes);
    std::memset(in, 0, static_cast<std::size_t>(in_bytes));
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t plane = i / count, band = i % count;
      const std::int64_t n = plane / p.channels(), o = plane % p.channels();
      sum_band(p, bands[static_cast<std::size_t>(band)], columns, plane, in, out,
               sums + (o * pieces + n * count + band) * p.taps() * size);
    }
  });
  return pieces;
}

// Likewise, but for where they are: of piece i and tap k at (i * taps + k) * pitch, channels as the inner loops have
// them, block by block.
struct PixelSums {
  std::int64_t pieces, pitch, lanes;
  std::vector<std::int64_t> cuts;
  std::int64_t place(std::int64_t channel) const {
    std::size_t b = 0;
    while (channel >= cuts[b + 1]) ++b;
    const std::int64_t channels = cuts[b + 1] - cuts[b], c = channel - cuts[b], whole = channels / lanes * lanes;
    return cuts[b] + (c < whole ? c : whole + c - (channels - lanes));
  }
};

PixelSums sum_pixels(const Problem& p, Scratch<std::byte>& memory, const Executor& executor) {
  const std::int64_t size = sum_size(p.kind), height = p.rows.outputs;
  const std::vector<std::int64_t> order = phase_order(p.rows);
  PixelSums s;
  s.lanes = pixel_kernels().lanes[sum_index(p.kind)];
  s.cuts = channel_blocks(p.channels(), s.lanes, channels_at_once(p.rows, p.columns, element_size(p.kind)));
  s.pitch = p.channels() + s.lanes;
  const std::int64_t parts = std::min(height, (height * p.columns.outputs + kPiece - 1) / kPiece);
  s.pieces = p.grad.size[0] * parts;
  const auto blocks = static_cast<std::int64_t>(s.cuts.size()) - 1;
  const BlockList columns = make_blocks(p.columns);
  std::byte* sums = memory.take(s.pieces * p.taps() * s.pitch * size);
  std::memset(sums, 0, static_cast<std::size_t>(s.pieces * p.taps() * s.pitch * size));
  executor.each(s.pieces * blocks, [&](std::int64_t task) {
    const std::int64_t piece = task / blocks, n = piece / parts, part = piece % parts;
    const auto b = static_cast<std::size_t>(task % blocks);
    std::vector<const void*> x(static_cast<std::size_t>(p.rows.taps));
    std::vector<std::int64_t> ky(x.size());
    PixelRow r;
    r.x = x.data();
    r.ky = ky.data();
    r.x_pitch = p.x.stride[3];
    r.y_pitch = p.grad.stride[3];
    r.columns = columns.view();
    r.kh = p.rows.taps;
    r.kw = p.columns.taps;
    r.channels = s.cuts[b + 1] - s.cuts[b];
    r.weight_pitch = s.pitch;
    r.weight = sums + (piece * p.taps() * s.pitch + s.cuts[b]) * size;
    for (std::int64_t i = height * part / parts; i < height * (part + 1) / parts; ++i) {
      const std::int64_t y = order[static_cast<std::size_t>(i)];
      r.taps = 0;
      for (std::int64_t k = 0; k < p.rows.taps; ++k) {
        const std::int64_t in = y * p.rows.stride + k * p.rows.dilation - p.rows.before;
        if (in < 0 || in >= p.rows.inputs) continue;
        x[static_cast<std::size_t>(r.taps)] =
            at(p.kind, static_cast<const void*>(p.x.data), n * p.x.stride[0] + in * p.x.stride[2] + s.cuts[b]);
        ky[static_cast<std::size_t>(r.taps++)] = k;
      }
      r.y = at(p.kind, p.grad.data, n * p.grad.stride[0] + y * p.grad.stride[2] + s.cuts[b]);
      pixel_kernels().weight[static_cast<int>(p.kind)](r);
    }
  });
  return s;
}

// Narrows float64 sums into `out`.
void write(Kind kind, const std::vector<double>& values, void* out) {
  const auto count = static_cast<std::int64_t>(values.size());
  const auto narrow = row_kernels().narrow[static_cast<int>(kind)];
  if (kind == Kind::f64) return narrow(values.data(), count, false, out, 1);
  std::vector<float> single(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) single[i] = static_cast<float>(values[i]);
  narrow(single.data(), count, false, out, 1);
}

}  // namespace

void sum_weights(Kind kind, const Array& grad, const Array& x, const Axis& rows, const Axis& columns, void* out,
                 const Executor& executor) {
  const Problem p{kind, grad, x, rows, columns};
  const std::int64_t taps = p.taps(), channels = p.channels();
  std::vector<double> total(static_cast<std::size_t>(channels * taps), 0.0);
  thread_local Scratch<std::byte> memory;
  Scratch<std::byte> sums;
  swap(sums, memory);  // a task of another call on this thread would overwrite it
  const bool pixels = x.stride[1] == 1 && grad.stride[1] == 1 && x.size[1] == channels &&
                      channels >= pixel_kernels().lanes[sum_index(kind)];
  PixelSums places{};
  if (pixels) places = sum_pixels(p, sums, executor);
  const std::int64_t pieces = pixels ? places.pieces : sum_planes(p, sums, executor);
  executor.run(channels, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      double* to = total.data() + o * taps;
      const std::int64_t place = pixels ? places.place(o) : 0;
      for (std::int64_t i = 0; i < pieces; ++i)
        for (std::int64_t k = 0; k < taps; ++k)
          to[k] +=
              value_of(kind, sums.get(), pixels ? (i * taps + k) * places.pitch + place : (o * pieces + i) * taps + k);
      if (!std::all_of(to, to + taps, [](double v) { return std::isfinite(v); }))
        grad_weight_exactly(kind, grad, x, rows, columns, o, to);
    }
  });
  write(kind, total, out);
  swap(sums, memory);
}

void grad_bias(Kind kind, const Array& grad, void* out, const Executor& executor) {
  const std::int64_t channels = grad.size[1], height = grad.size[2], width = grad.size[3];
  std::vector<double> total(static_cast<std::size_t>(channels), 0.0);
  const auto widen = row_kernels().widen[static_cast<int>(kind)];
  executor.run(channels, 16, [&](std::int64_t begin, std::int64_t end) {
    thread_local Scratch<std::byte> memory;
    const bool pixels = grad.stride[1] == 1;
    const std::int64_t count = pixels ? end - begin : width;
    std::byte* row = memory.take(std::max<std::int64_t>(count, 1) * 8);
    for (std::int64_t n = 0; n < grad.size[0]; ++n)
      for (std::int64_t y = 0; y < height; ++y)
        for (std::int64_t i = 0; i < (pixels ? width : end - begin); ++i) {
          const std::int64_t place = n * grad.stride[0] + y * grad.stride[2] +
                                     (pixels ? begin + i * grad.stride[3] : (begin + i) * grad.stride[1]);
          widen(at(kind, static_cast<const void*>(grad.data), place), 0, pixels ? 1 : grad.stride[3], 1, count, row, 0);
          if (!pixels) total[static_cast<std::size_t>(begin + i)] += row_kernels().sum[sum_index(kind)](row, width);
          else
            for (std::int64_t c = 0; c < count; ++c)
              total[static_cast<std::size_t>(begin + c)] += value_of(kind, row, c);
        }
  });
  write(kind, total, out);
}

}  // namespace pyseg::depthwise_conv
