#include "deform_attention/heads.h"

#include <cstring>

#include "core/check.h"

namespace pyseg::deform_attention {

// A decoder's queries touch few rows: copying all of them pays from about four touches of each on.
static bool worth_packing(const Problem& p, std::int64_t blocks, std::int64_t size) {
  const bool whole = p.channels * size == blocks * kRowBytes && p.channels * 8 <= 4096 &&
                     p.channels * size_of(p.value.type) % kRowBytes == 0;
  return !whole || p.queries * p.samples() >= p.pixels;
}

// Queries first .. first + rows * width - 1, in strips of a width at which the rows that they touch stay in a cache.
static void add_runs(std::int64_t first, std::int64_t rows, std::int64_t width, std::int64_t most,
                     std::vector<Run>& runs) {
  const std::int64_t strips = (width + most - 1) / most;
  for (std::int64_t strip = 0; strip < strips; ++strip) {
    const std::int64_t begin = width * strip / strips, count = width * (strip + 1) / strips - begin;
    for (std::int64_t row = 0; row < rows; ++row) runs.push_back({first + row * width + begin, count});
  }
}

// An encoder has one query a pixel, which samples around it.
static std::vector<Run> make_runs(const Problem& p) {
  const std::int64_t most = queries_together(p.samples());
  std::vector<Run> runs;
  std::int64_t next = 0;
  for (const Level& level : p.levels) {
    if (p.queries != p.pixels || level.start != next || level.width < 2 * most) break;
    add_runs(next, level.height, level.width, most, runs);
    next += level.height * level.width;
  }
  for (; next < p.queries; next += most) runs.push_back({next, std::min(most, p.queries - next)});
  return runs;
}

Heads::Heads(const Problem& p)
    : problem(p),
      wide(p.value.type == Float::f64),
      size(wide ? 8 : 4),
      blocks((p.channels * size + kRowBytes - 1) / kRowBytes),
      packed(worth_packing(p, blocks, size)) {
  for (const Level& level : p.levels)
    maps_.push_back({static_cast<std::int32_t>(level.height), static_cast<std::int32_t>(level.width),
                     static_cast<std::int32_t>(level.start)});
  runs_ = make_runs(p);
}

static const void* at(const Array& array, std::int64_t element) {
  return array.data == nullptr ? nullptr : static_cast<const std::byte*>(array.data) + element * size_of(array.type);
}

Head Heads::head(std::int64_t i, const std::byte* rows) const {
  const Problem& p = problem;
  const std::int64_t b = i / p.heads, m = i % p.heads, samples = p.samples();
  Head head{};
  head.maps = maps_.data();
  head.levels = static_cast<std::int64_t>(p.levels.size());
  head.points = p.points;
  head.queries = p.queries;
  head.box = p.box;
  head.weights_step = p.heads * samples;
  head.places_step = 2 * head.weights_step;
  head.reference_step = head.levels * p.box;
  const std::int64_t first = (b * p.queries * p.heads + m) * samples;
  head.weights = {at(p.weights, first), p.weights.type};
  head.places = {at(p.places, 2 * first), p.places.type};
  head.reference = {at(p.reference, b * p.queries * head.reference_step), p.reference.type};
  head.packed = packed;
  head.rows = packed ? rows : at(p.value, element(i, p.pixels));
  head.rows_type = p.value.type;
  set_units(head, packed ? blocks : p.heads * p.channels * size_of(p.value.type) / kRowBytes);
  head.channels = p.channels;
  head.blocks = blocks;
  head.out_type = p.value.type;
  head.out_step = p.heads * p.channels;
  return head;
}

void Heads::set_units(Head& head, std::int64_t units) const {
  head.units = units;
  head.nowhere = problem.pixels * units;
  check(head.nowhere + units < std::int64_t{1} << 31,
        "deform_attention: value's pixels must have less than 128 GiB a head, got ", problem.pixels, " of ",
        problem.channels, " channels");
}

void Heads::pack(std::int64_t first, std::int64_t last, const Executor& executor, std::byte* rows) const {
  if (!packed) return;
  constexpr std::int64_t kTogether = 256;
  const Problem& p = problem;
  const std::int64_t parts = p.pixels / kTogether + 1, step = p.heads * p.channels;
  executor.each((last - first) * parts, [&](std::int64_t task) {
    const std::int64_t i = first + task / parts, begin = task % parts * kTogether;
    const std::int64_t count = std::min(kTogether, p.pixels - begin);
    std::byte* to = rows + (i - first) * rows_bytes();
    const Array in{at(p.value, element(i, p.pixels) + begin * step), p.value.type};
    row_kernels().pack(in, step, count, p.channels, blocks, wide, to + begin * row_bytes());
    if (begin + count == p.pixels) std::memset(to + p.pixels * row_bytes(), 0, static_cast<std::size_t>(row_bytes()));
  });
}

void Heads::each(std::int64_t first, std::int64_t last, const Executor& executor,
                 FunctionRef<void(std::int64_t, Runs)> task) const {
  const auto parts = static_cast<std::int64_t>(runs_.size());
  executor.run((last - first) * parts, 1, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {  // the parts of one head at once: the set-up's constants are made once
      const std::int64_t i = begin / parts, stop = std::min(end, (i + 1) * parts);
      task(first + i, {runs_.data() + (begin - i * parts), runs_.data() + (stop - i * parts)});
      begin = stop;
    }
  });
}

std::byte* scratch_of(const Head& head) {
  static thread_local Scratch<std::byte> memory;
  return memory.take(kernels().scratch_bytes(head));
}

}  // namespace pyseg::deform_attention
