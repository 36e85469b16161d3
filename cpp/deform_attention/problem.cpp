// What memory safety needs of shapes, types and levels.
#include "core/check.h"
#include "deform_attention/deform_attention.h"

namespace pyseg::deform_attention {

constexpr std::int64_t kMost = std::int64_t{1} << 30;  // pixels: rows are numbered in 32 bits

static std::string shape_text(const Shape& shape) {
  std::string all = "[";
  for (std::size_t d = 0; d < shape.size(); ++d) all += text(d == 0 ? "" : ", ", shape[d]);
  return all + "]";
}

static std::vector<Level> make_levels(const std::int64_t* shapes, const std::int64_t* starts, std::int64_t levels,
                                      std::int64_t pixels) {
  check(pixels < kMost, "deform_attention: value must have fewer than 2^30 pixels, got ", pixels);
  std::vector<Level> result;
  std::int64_t next = 0;
  for (std::int64_t l = 0; l < levels; ++l) {
    const std::int64_t height = shapes[2 * l], width = shapes[2 * l + 1];
    check(
        height >= 0 && width >= 0 && height <= kMost / 2 && width <= kMost / 2 && height * width <= kMost,
        "deform_attention: spatial_shapes must be heights and widths >= 0, of at most 2^29 each and 2^30 pixels, got (",
        height, ", ", width, ")");
    const std::int64_t start = starts == nullptr ? next : starts[l];
    check(start >= 0 && start <= pixels && height * width <= pixels - start, "deform_attention: level ", l, " of ",
          height, " x ", width, " pixels from ", start, " on must be within value's ", pixels);
    next = start + height * width;
    result.push_back({height, width, start});
  }
  check(starts != nullptr || next == pixels, "deform_attention: value must have the ", next,
        " pixels that spatial_shapes add up to, got ", pixels);
  return result;
}

Problem make_problem(const Shape& value, const Shape& places, const Shape& weights, const Shape& reference,
                     const std::int64_t* shapes, const std::int64_t* starts, std::int64_t levels) {
  const char* name = reference.empty() ? "sampling_locations" : "offsets";
  check(value.size() == 4, "deform_attention: value must be [B, S, M, D], got ", shape_text(value));
  const std::int64_t batch = value[0], heads = value[2];
  check(places.size() == 6 && places[0] == batch && places[2] == heads && places[3] == levels && places[5] == 2,
        "deform_attention: ", name, " must be [", batch, ", Q, ", heads, ", ", levels, ", P, 2] beside value ",
        shape_text(value), ", got ", shape_text(places));
  check(weights == Shape(places.begin(), places.end() - 1), "deform_attention: weights must be ",
        shape_text(Shape(places.begin(), places.end() - 1)), " beside ", name, ", got ", shape_text(weights));
  check(reference.empty() || (reference.size() == 4 && reference[0] == batch && reference[1] == places[1] &&
                              reference[2] == levels && (reference[3] == 2 || reference[3] == 4)),
        "deform_attention: reference_points must be [", batch, ", ", places[1], ", ", levels, ", 2 or 4], got ",
        shape_text(reference));
  Problem problem{};
  problem.levels = make_levels(shapes, starts, levels, value[1]);
  problem.batch = batch;
  problem.pixels = value[1];
  problem.heads = heads;
  problem.channels = value[3];
  problem.queries = places[1];
  problem.points = places[4];
  problem.box = reference.empty() ? 2 : reference[3];
  return problem;
}

void check_types(const Problem& p) {
  const auto fits = [&](Float type) { return (type == Float::f64) == (p.value.type == Float::f64); };
  check_type(fits(p.places.type) && fits(p.weights.type) && (!p.fused() || fits(p.reference.type)),
             "deform_attention: all arguments must be float64, or none");
}

}  // namespace pyseg::deform_attention
