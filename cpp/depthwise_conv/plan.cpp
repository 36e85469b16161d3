#include "depthwise_conv/plan.h"

#include <algorithm>
#include <numeric>

namespace pyseg::depthwise_conv {

namespace {

constexpr std::int64_t kBandBytes = 192 << 10;
constexpr std::int64_t kSegment = 4096;  // columns: sums of gradients over more of them would lose digits

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }
std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return -floor_div(-a, b); }

// Outputs `output_step` apart take inputs that are `skip` dilations apart.
struct Phases {
  std::int64_t output_step, skip;
  explicit Phases(const Axis& a) {
    const std::int64_t common = std::gcd(a.stride, a.dilation);
    output_step = a.dilation / common;
    skip = a.stride / common;
  }
  std::int64_t count(const Axis& a) const { return std::min(output_step, a.outputs); }
  std::int64_t outputs(const Axis& a, std::int64_t phase) const {
    return (a.outputs - phase + output_step - 1) / output_step;
  }
};

// Lines of the phase that are inside: [first, last).
struct Inside {
  std::int64_t first, last;
  Inside(const Axis& a, std::int64_t base)
      : first(std::max<std::int64_t>(0, ceil_div(-base, a.dilation))),
        last(std::max(first, floor_div(a.inputs - 1 - base, a.dilation) + 1)) {}
};

bool shared(const Axis& a, const Phases& phases) {
  return phases.skip == 1 && (a.taps == 3 || a.taps == 5 || a.taps == 7);
}

// Outputs j0 .. j1 of a phase; output j and line i are called j * out_scale + out_shift and i * in_scale + in_shift.
struct Names {
  std::int64_t out_scale, out_shift, in_scale, in_shift;
};

void add_blocks(const Axis& a, const Phases& phases, std::int64_t phase, std::int64_t j0, std::int64_t j1,
                const Names& names, BlockList& list) {
  const Inside inside(a, phase * a.stride - a.before);
  const std::int64_t most = shared(a, phases) ? kMostOutputs : 1;
  for (std::int64_t j = j0; j < j1;) {
    const std::int64_t outputs = std::min(most, j1 - j), i = j * phases.skip, lines = outputs + a.taps - 1;
    Block block;
    block.output = j * names.out_scale + names.out_shift;
    block.input = i * names.in_scale + names.in_shift;
    block.lo = static_cast<int>(std::clamp<std::int64_t>(inside.first - i, 0, lines));
    block.hi =
        static_cast<int>(std::clamp<std::int64_t>(inside.last - i, block.lo, std::max<std::int64_t>(lines, block.lo)));
    list.of[outputs - 1].push_back(block);
    j += outputs;
  }
}

}  // namespace

Blocks BlockList::view() const {
  Blocks blocks;
  for (int i = 0; i < kMostOutputs; ++i) {
    blocks.of[i] = of[i].data();
    blocks.count[i] = static_cast<std::int64_t>(of[i].size());
  }
  blocks.output_step = output_step;
  blocks.input_step = input_step;
  return blocks;
}

BlockList make_blocks(const Axis& a) {
  const Phases phases(a);
  BlockList list;
  list.output_step = phases.output_step;
  list.input_step = a.dilation;
  for (std::int64_t p = 0; p < phases.count(a); ++p)
    add_blocks(a, phases, p, 0, phases.outputs(a, p), {phases.output_step, p, a.dilation, p * a.stride - a.before},
               list);
  return list;
}

std::vector<std::int64_t> phase_order(const Axis& a) {
  const Phases phases(a);
  std::vector<std::int64_t> order;
  for (std::int64_t p = 0; p < phases.count(a); ++p)
    for (std::int64_t o = p; o < a.outputs; o += phases.output_step) order.push_back(o);
  return order;
}

std::vector<std::array<std::int64_t, 2>> phase_pairs(const Axis& rows, const Axis& columns) {
  const Phases phases(rows);
  const bool pairs = shared(rows, phases) && (columns.taps == 3 || columns.taps == 5 || columns.taps == 7);
  std::vector<std::array<std::int64_t, 2>> order;
  for (const std::int64_t o : phase_order(rows)) {
    if (pairs && !order.empty() && order.back()[1] < 0 && order.back()[0] + phases.output_step == o)
      order.back()[1] = o;
    else order.push_back({o, -1});
  }
  return order;
}

std::vector<Band> make_bands(const Axis& a, std::int64_t row_bytes) {
  std::vector<Band> bands;
  if (a.inputs * row_bytes <= kBandBytes || a.inputs <= 2 * a.taps) {
    Band& band = bands.emplace_back();
    band.in_count = a.inputs;
    band.out_count = a.outputs;
    band.blocks = make_blocks(a);
    return bands;
  }
  const Phases phases(a);
  const std::int64_t lines = std::max<std::int64_t>(kBandBytes / row_bytes, 2 * a.taps);
  const std::int64_t fit = std::max<std::int64_t>((lines - a.taps) / phases.skip, kMostOutputs);
  for (std::int64_t p = 0; p < phases.count(a); ++p) {
    const std::int64_t outputs = phases.outputs(a, p), base = p * a.stride - a.before;
    const Inside inside(a, base);
    for (std::int64_t j0 = 0; j0 < outputs; j0 += fit) {
      const std::int64_t j1 = std::min(outputs, j0 + fit);
      const std::int64_t first = std::max(inside.first, j0 * phases.skip);
      const std::int64_t last = std::min(inside.last, (j1 - 1) * phases.skip + a.taps);
      Band& band = bands.emplace_back();
      band.first_in = base + first * a.dilation;
      band.in_step = a.dilation;
      band.in_count = std::max<std::int64_t>(last - first, 0);
      band.first_out = p + j0 * phases.output_step;
      band.out_step = phases.output_step;
      band.out_count = j1 - j0;
      band.blocks.output_step = band.blocks.input_step = 1;
      add_blocks(a, phases, p, j0, j1, {1, -j0, 1, -first}, band.blocks);
    }
  }
  return bands;
}

Columns make_columns(const Axis& a, std::int64_t lanes) {
  Columns columns;
  columns.stride = a.stride;
  columns.pad = lanes;
  struct Ends {
    std::int64_t lo, hi;  // outputs whose tap is inside
  };
  std::vector<Ends> ends;
  for (std::int64_t k = 0; k < a.taps; ++k) {
    // Input q - before is the q / stride-th of part q % stride.
    const std::int64_t residue = k * a.dilation % a.stride, shift = k * a.dilation / a.stride;
    const std::int64_t lo = std::max<std::int64_t>(0, ceil_div(a.before - residue, a.stride));
    const std::int64_t hi = std::max(lo, floor_div(a.inputs - 1 + a.before - residue, a.stride) + 1);
    const std::int64_t first = lo * a.stride + residue - a.before;
    const auto same = [&](const Columns::Part& part) { return part.residue == residue; };
    auto part = std::find_if(columns.parts.begin(), columns.parts.end(), same);
    if (part == columns.parts.end()) {
      part = columns.parts.insert(part, {residue, first, hi - lo, columns.pitch + lanes});
      columns.pitch += lanes + (hi - lo);
    }
    const std::int64_t place = part->place;
    columns.tap.push_back(place - lo + shift);
    ends.push_back({lo - shift, hi - shift});
  }
  for (std::int64_t x = 0; x < a.outputs; x += lanes) {
    const std::int64_t end = std::min(x + lanes, a.outputs);
    std::int64_t k0 = 0, k1 = a.taps;
    const auto out = [&](std::int64_t k) {
      const Ends& e = ends[static_cast<std::size_t>(k)];
      return e.lo >= end || e.hi <= x;
    };
    while (k0 < k1 && out(k0)) ++k0;
    while (k1 > k0 && out(k1 - 1)) --k1;
    const bool more = !columns.segments.empty() && x - columns.segments.back().x0 < kSegment;
    if (more && columns.segments.back().k0 == k0 && columns.segments.back().k1 == k1) columns.segments.back().x1 = end;
    else columns.segments.push_back({x, end, k0, k1});
  }
  return columns;
}

std::vector<std::int64_t> channel_blocks(std::int64_t channels, std::int64_t lanes, std::int64_t most) {
  const std::int64_t count = std::max<std::int64_t>(1, (channels + most - 1) / most);
  std::vector<std::int64_t> cuts;
  for (std::int64_t i = 0; i < count; ++i) cuts.push_back(channels * i / count / lanes * lanes);
  cuts.push_back(channels);
  return cuts;
}

std::int64_t channels_at_once(const Axis& rows, const Axis& columns, std::int64_t size) {
  constexpr std::int64_t kBytes = 512 << 10;  // the rows that a row of outputs takes, of which most come again
  const std::int64_t fit = kBytes / std::max<std::int64_t>(1, (rows.taps + 1) * columns.inputs * size);
  return std::clamp<std::int64_t>(fit / 64 * 64, 64, 256);
}

void copy_rows(Kind kind, const std::byte* origin, const Array& x, const Band& band, const Columns& columns, void* to) {
  const auto widen = row_kernels().widen[static_cast<int>(kind)];
  const std::int64_t size = sum_size(kind);
  for (const Columns::Part& part : columns.parts)
    widen(at(kind, origin, band.first_in * x.stride[2] + part.first * x.stride[3]), band.in_step * x.stride[2],
          columns.stride * x.stride[3], band.in_count, part.count, static_cast<std::byte*>(to) + part.place * size,
          columns.pitch);
}

}  // namespace pyseg::depthwise_conv
