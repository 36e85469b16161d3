// Building the plan. Points go to simplices by vector code, 64 Ki at a time; then each remainder class enters its
// vertices in a table of its own, in the order of the points, so that classes are independent and numbers do not depend
// on threads. Neighbours are found by looking up key + constant.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "permutohedral/kernels.h"
#include "permutohedral/scale.h"
#include "permutohedral/simplex.h"
#include "permutohedral/vertices.h"

namespace pyseg::permutohedral {
namespace {

constexpr std::int64_t kChunkBlocks = 8192;  // simplices held at a time

void run_simplex(const float* features, const float* scale, int dims, const Packing& packing, float* weight,
                 std::uint64_t* keys, std::int64_t group_step) {
  kernels().simplex(features, scale, dims, packing, weight, keys, group_step);
}

void run_simplex(const double* features, const double* scale, int dims, const Packing& packing, double* weight,
                 std::uint64_t* keys, std::int64_t group_step) {
  for (int i = 0; i < kLanes; i += kStep) {
    const Simplex<double, 0> simplex(features + i, scale, dims);
    simplex.weights(dims, weight + i);
    simplex.keys(dims, packing, keys + i, group_step);
  }
}

template <typename T>
struct Builder {
  Lattice<T>& out;
  const Packing& packing;
  std::vector<Class> classes;
  std::vector<std::uint32_t> vertex_base;                      // of each class
  std::vector<std::uint32_t> vertex_row;                       // [vertices]
  std::array<std::vector<std::uint32_t>, kMostDims + 1> next;  // [axis][vertices]: vertex, or kNone

  void rows();
  void copies();
  void neighbours(int axis, int r);
  void chains(int axis);
};

// Numbers the rows: bands in turn, and in each the classes.
template <typename T>
void Builder<T>::rows() {
  const auto n = classes.size();
  out.base.resize(static_cast<std::size_t>(out.bands) * n);
  out.segment.assign(1, 0);
  std::int64_t row = 0;
  for (std::size_t b = 0; b < static_cast<std::size_t>(out.bands); ++b) {
    for (std::size_t r = 0; r < n; ++r) {
      out.base[b * n + r] = static_cast<std::uint32_t>(row);
      row += classes[r].count[b];
    }
    check(row < (std::int64_t{1} << 31), "permutohedral lattice: must have fewer than 2^31 rows");
    out.segment.push_back(static_cast<std::uint32_t>(row));
  }
  out.rows = row;
  vertex_base.assign(1, 0);
  for (const Class& c : classes) vertex_base.push_back(vertex_base.back() + c.vertices());
  out.vertices = vertex_base.back();
  vertex_row.resize(vertex_base.back());
  for (std::size_t r = 0; r < n; ++r) {
    const Class& c = classes[r];
    for (std::size_t b = 0; b < static_cast<std::size_t>(out.bands); ++b)
      for (std::uint32_t v = c.first[b]; v < c.first[b + 1]; ++v)
        vertex_row[vertex_base[r] + v] = out.base[b * n + r] + c.own[v];
  }
}

template <typename T>
void Builder<T>::copies() {
  const auto n = classes.size();
  std::vector<std::uint32_t> begin(vertex_row.size() + 1);
  for (std::size_t r = 0; r < n; ++r)
    for (const auto& copy : classes[r].copies) ++begin[vertex_base[r] + copy.vertex + 1];
  std::vector<std::uint32_t> owners;
  for (std::size_t v = 0; v + 1 < begin.size(); ++v) {
    if (begin[v + 1] > 0) owners.push_back(static_cast<std::uint32_t>(v));
    begin[v + 1] += begin[v];
  }
  out.copy.resize(begin.back());
  out.owner.clear();
  out.copy_begin.assign(1, 0);
  for (const std::uint32_t v : owners) {
    out.owner.push_back(vertex_row[v]);
    out.copy_begin.push_back(begin[v + 1]);
  }
  for (std::size_t r = 0; r < n; ++r)
    for (const auto& copy : classes[r].copies)  // in the order of bands
      out.copy[begin[vertex_base[r] + copy.vertex]++] = out.base[copy.band * n + r] + copy.local;
}

// The vertex after each of class r along `axis`: + 1 in every coordinate but one, which loses d.
template <typename T>
void Builder<T>::neighbours(int axis, int r) {
  const Class& from = classes[static_cast<std::size_t>(r)];
  const std::size_t to = static_cast<std::size_t>(r + 1) % classes.size();
  const auto groups = static_cast<std::size_t>(packing.groups);
  std::vector<std::uint64_t> delta(groups), key(groups);
  for (int i = 0; i < out.dims; ++i) {
    auto& part = delta[static_cast<std::size_t>(packing.group[static_cast<std::size_t>(i)])];
    part = (part << packing.bits[static_cast<std::size_t>(i)]) + static_cast<std::uint64_t>(i == axis ? -out.dims : 1);
  }
  std::uint32_t* after = next[static_cast<std::size_t>(axis)].data() + vertex_base[static_cast<std::size_t>(r)];
  constexpr std::uint32_t kAhead = 12;
  for (std::uint32_t v = 0; v < from.vertices(); ++v) {
    if (groups == 1 && v + kAhead < from.vertices()) classes[to].table.prefetch(from.keys[v + kAhead] + delta[0]);
    for (std::size_t g = 0; g < groups; ++g) key[g] = from.keys[v * groups + g] + delta[g];
    const std::uint32_t id = classes[to].find(key.data(), packing.groups);
    after[v] = id == KeyTable::kNone ? id : vertex_base[to] + id;
  }
}

template <typename T>
void Builder<T>::chains(int axis) {
  const std::vector<std::uint32_t>& after = next[static_cast<std::size_t>(axis)];
  std::vector<std::uint8_t> inner(after.size());
  for (const std::uint32_t v : after)
    if (v != KeyTable::kNone) inner[v] = 1;
  auto& [row, begin] = out.axis[static_cast<std::size_t>(axis)];
  row.clear();
  begin.clear();
  row.reserve(after.size());
  // Heads band by band, so that a blur moves through memory as the bands lie.
  for (std::size_t b = 0; b < static_cast<std::size_t>(out.bands); ++b)
    for (std::size_t r = 0; r < classes.size(); ++r) {
      const std::uint32_t from = vertex_base[r] + classes[r].first[b], to = vertex_base[r] + classes[r].first[b + 1];
      for (std::uint32_t head = from; head < to; ++head) {
        if (inner[head] != 0 || after[head] == KeyTable::kNone) continue;
        begin.push_back(static_cast<std::uint32_t>(row.size()));
        for (std::uint32_t v = head; v != KeyTable::kNone; v = after[v]) row.push_back(vertex_row[v]);
      }
    }
  begin.push_back(static_cast<std::uint32_t>(row.size()));
}

}  // namespace

template <typename T>
T Lattice<T>::alpha() const {
  return static_cast<T>(1) / (static_cast<T>(1) + std::pow(static_cast<T>(2), static_cast<T>(-dims)));
}

template <typename T>
std::int64_t Lattice<T>::bytes() const {
  std::size_t words = base.size() + segment.size() + owner.size() + copy_begin.size() + copy.size();
  for (const Axis& a : axis) words += a.row.size() + a.begin.size();
  return static_cast<std::int64_t>(4 * words) + offset.bytes() + weight.bytes();
}

template <typename T>
void build(const char* op, std::int64_t points, int dims, FeatureBlock<T> features, const T* span,
           const Executor& executor, Lattice<T>& out) {
  check(points >= 1, op, ": there must be at least one point");
  check(dims >= 1 && dims <= kMostDims, op, ": features must have 1 .. ", kMostDims, " dimensions, got ", dims);
  check(points <= (std::int64_t{1} << 30), op, ": there must be at most 2^30 points, got ", points);
  out.points = points;
  out.dims = dims;
  out.blocks = (points + kLanes - 1) / kLanes;
  // Bands of 8 to 16 Ki points: enough of them for the threads, few enough that copies of vertices are rare. A multiple
  // of 8, so that 2, 4 or 8 threads have as many each.
  const std::int64_t wanted =
      out.blocks < 512 ? std::max<std::int64_t>(1, out.blocks / 64) : (out.blocks / 1024 + 8) / 8 * 8;
  out.band_blocks = (out.blocks + wanted - 1) / wanted;
  while ((out.blocks + out.band_blocks - 1) / out.band_blocks > 0xfffe) out.band_blocks *= 2;
  check(out.band_blocks <= 4096, op, ": there must be fewer points, got ", points);
  out.bands = (out.blocks + out.band_blocks - 1) / out.band_blocks;

  const auto scales = scale_of<T>(dims);
  const T* scale = scales.data();
  std::vector<T> found;
  if (span == nullptr) {
    found = spans<T>(op, out.blocks, dims, features, executor);
    span = found.data();
  }
  const Packing packing = pack(op, dims, scale, span);

  const auto n = static_cast<std::size_t>(dims + 1);
  const std::int64_t step = static_cast<std::int64_t>(n) * kLanes;
  Builder<T> builder{out, packing, std::vector<Class>(n), {}, {}, {}};
  for (Class& c : builder.classes) {
    c.parts.resize(static_cast<std::size_t>(packing.groups));
    c.joined.resize(static_cast<std::size_t>(packing.groups));
  }
  T* weight = out.weight.take(out.blocks * step);
  std::uint16_t* offset = out.offset.take(out.blocks * step);
  const std::int64_t chunk = std::min(kChunkBlocks, out.blocks);
  const Entry entry{points, static_cast<std::int64_t>(n), out.band_blocks, chunk * step, packing.groups};
  thread_local Scratch<std::uint64_t> scratch;
  std::uint64_t* keys = scratch.take(packing.groups * chunk * step);
  for (std::int64_t first = 0; first < out.blocks; first += chunk) {
    const std::int64_t count = std::min(chunk, out.blocks - first);
    executor.run(count, 64, [&](std::int64_t begin, std::int64_t end) {
      alignas(128) T block[kMostDims * kLanes];
      for (std::int64_t b = begin; b < end; ++b) {
        features(first + b, block);
        run_simplex(block, scale, dims, packing, weight + (first + b) * step, keys + b * step, entry.group_step);
      }
    });
    executor.each(static_cast<std::int64_t>(n), [&](std::int64_t r) {
      enter(builder.classes[static_cast<std::size_t>(r)], entry, first, count, keys + r * kLanes,
            offset + first * step + r * kLanes);
    });
  }
  for (Class& c : builder.classes) c.first.push_back(c.vertices());
  for (std::int64_t i = points; i < out.blocks * kLanes; ++i)
    for (std::int64_t r = 0; r < dims + 1; ++r) weight[(out.blocks - 1) * step + r * kLanes + i % kLanes] = 0;

  builder.rows();
  for (std::size_t j = 0; j < n; ++j) builder.next[j].resize(builder.vertex_row.size());
  executor.each(static_cast<std::int64_t>(n * n) + 1, [&](std::int64_t i) {
    if (i == 0) builder.copies();
    else
      builder.neighbours(static_cast<int>((i - 1) / static_cast<std::int64_t>(n)),
                         static_cast<int>((i - 1) % static_cast<std::int64_t>(n)));
  });
  executor.each(static_cast<std::int64_t>(n), [&](std::int64_t j) { builder.chains(static_cast<int>(j)); });
}

template struct Lattice<float>;
template struct Lattice<double>;
template void build(const char*, std::int64_t, int, FeatureBlock<float>, const float*, const Executor&,
                    Lattice<float>&);
template void build(const char*, std::int64_t, int, FeatureBlock<double>, const double*, const Executor&,
                    Lattice<double>&);

}  // namespace pyseg::permutohedral
