// Splat, slice and blur over rows of channels; see permutohedral.h for the layout. What bounds them: loads and stores
// from L2, about 2 cache lines a row; arithmetic hides behind them.
#include <cstring>

#include "permutohedral/kernels.h"
#include "permutohedral/rows.h"
#include "permutohedral/simplex.h"

namespace pyseg::permutohedral::PYSEG_ISA {
namespace {

template <int Dims>
void simplex_of(const float* features, const float* scale, int dims, const Packing& packing, float* weight,
                std::uint64_t* keys, std::int64_t group_step) {
  for (int i = 0; i < kLanes; i += kStep) {
    const Simplex<float, Dims> s(features + i, scale, dims);
    s.weights(dims, weight + i);
    s.keys(dims, packing, keys + i, group_step);
  }
}

void simplex(const float* features, const float* scale, int dims, const Packing& packing, float* weight,
             std::uint64_t* keys, std::int64_t group_step) {
  switch (dims) {
    case 2:
      return simplex_of<2>(features, scale, dims, packing, weight, keys, group_step);
    case 3:
      return simplex_of<3>(features, scale, dims, packing, weight, keys, group_step);
    case 5:
      return simplex_of<5>(features, scale, dims, packing, weight, keys, group_step);
    default:
      return simplex_of<0>(features, scale, dims, packing, weight, keys, group_step);
  }
}

template <int Blocks, int Tail>
void splat_panel(const std::uint16_t* offset, const float* weight, const std::uint32_t* base, int classes,
                 const float* factor, const float* values, std::int64_t value_stride, int count, std::int64_t stride,
                 float* rows) {
  using Values = Row<Blocks, Tail>;
  for (int i = 0; i < count; ++i, values += value_stride) {
    Values value = Values::from(values);
    if (factor != nullptr) value.scale(factor[i]);
    for (int r = 0; r < classes; ++r) {
      float* row = rows + static_cast<std::int64_t>(base[r] + offset[r * kLanes + i]) * stride;
      Values sum = Values::from(row);
      sum.add(weight[r * kLanes + i], value);
      sum.to(row);
    }
  }
}

void splat(const std::uint16_t* offset, const float* weight, const std::uint32_t* base, int classes,
           const float* factor, const float* values, std::int64_t value_stride, int count, std::int64_t stride,
           float* rows) {
  if (stride == 1) {
    for (int i = 0; i < count; ++i) {
      const float value = factor == nullptr ? values[i * value_stride] : values[i * value_stride] * factor[i];
      for (int r = 0; r < classes; ++r) rows[base[r] + offset[r * kLanes + i]] += weight[r * kLanes + i] * value;
    }
    return;
  }
  panels(stride, [&]<int Blocks, int Tail>(std::int64_t at) {
    splat_panel<Blocks, Tail>(offset, weight, base, classes, factor, values + at, value_stride, count, stride,
                              rows + at);
  });
}

template <int Blocks, int Tail>
void slice_panel(const std::uint16_t* offset, const float* weight, const std::uint32_t* base, int classes,
                 const float* factor, float scale, const float* rows, std::int64_t stride, std::int64_t value_stride,
                 int count, float* values) {
  using Values = Row<Blocks, Tail>;
  for (int i = 0; i < count; ++i, values += value_stride) {
    Values sum = Values::zero();
    for (int r = 0; r < classes; ++r) {
      const float* row = rows + static_cast<std::int64_t>(base[r] + offset[r * kLanes + i]) * stride;
      sum.add(weight[r * kLanes + i], Values::from(row));
    }
    sum.scale(factor == nullptr ? scale : scale * factor[i]);
    sum.to(values);
  }
}

void slice(const std::uint16_t* offset, const float* weight, const std::uint32_t* base, int classes,
           const float* factor, float scale, const float* rows, std::int64_t stride, std::int64_t value_stride,
           int count, float* values) {
  if (stride == 1) {
    for (int i = 0; i < count; ++i) {
      float sum = 0;
      for (int r = 0; r < classes; ++r) sum += weight[r * kLanes + i] * rows[base[r] + offset[r * kLanes + i]];
      values[i * value_stride] = sum * (factor == nullptr ? scale : scale * factor[i]);
    }
    return;
  }
  panels(stride, [&]<int Blocks, int Tail>(std::int64_t at) {
    slice_panel<Blocks, Tail>(offset, weight, base, classes, factor, scale, rows + at, stride, value_stride, count,
                              values + at);
  });
}

constexpr std::uint32_t kAhead = 10;  // rows fetched ahead along the chains

template <int Blocks, int Tail>
void blur_panel(const std::uint32_t* row, const std::uint32_t* begin, std::int64_t first, std::int64_t last,
                std::int64_t stride, float* rows) {
  using Values = Row<Blocks, Tail>;
  const std::uint32_t stop = begin[last];
  for (std::int64_t c = first; c < last; ++c) {
    const std::uint32_t end = begin[c + 1];
    float* at = rows + row[begin[c]] * stride;
    Values before = Values::zero(), here = Values::from(at);
    for (std::uint32_t i = begin[c]; i < end; ++i) {
      const float* ahead = rows + row[i + kAhead < stop ? i + kAhead : stop - 1] * stride;
      __builtin_prefetch(ahead, 1);
      __builtin_prefetch(reinterpret_cast<const char*>(ahead + Values::kSize) - 1, 1);
      Values after = Values::zero();
      float* next = at;
      if (i + 1 < end) {
        next = rows + row[i + 1] * stride;
        after = Values::from(next);
      }
      Values out = here;
      before.each(after, [](auto& x, const auto& y) { x += y; });
      out.add(0.5f, before);
      out.to(at);
      before = here;
      here = after;
      at = next;
    }
  }
}

void blur(const std::uint32_t* row, const std::uint32_t* begin, std::int64_t first, std::int64_t last,
          std::int64_t stride, float* rows) {
  if (stride == 1) {
    for (std::int64_t c = first; c < last; ++c) {
      float before = 0, here = rows[row[begin[c]]];
      for (std::uint32_t i = begin[c]; i < begin[c + 1]; ++i) {
        const float after = i + 1 < begin[c + 1] ? rows[row[i + 1]] : 0.0f;
        rows[row[i]] = here + 0.5f * (before + after);
        before = here;
        here = after;
      }
    }
    return;
  }
  panels(stride, [&]<int Blocks, int Tail>(std::int64_t at) {
    blur_panel<Blocks, Tail>(row, begin, first, last, stride, rows + at);
  });
}

void add_copies(const CopyLists& lists, std::int64_t first, std::int64_t last, std::int64_t stride, float* rows) {
  if (stride == 1) {
    for (std::int64_t v = first; v < last; ++v)
      for (std::uint32_t i = lists.begin[v]; i < lists.begin[v + 1]; ++i) rows[lists.owner[v]] += rows[lists.copy[i]];
    return;
  }
  panels(stride, [&]<int Blocks, int Tail>(std::int64_t at) {
    for (std::int64_t v = first; v < last; ++v) {
      float* own = rows + lists.owner[v] * stride + at;
      auto sum = Row<Blocks, Tail>::from(own);
      for (std::uint32_t i = lists.begin[v]; i < lists.begin[v + 1]; ++i)
        sum.add(1.0f, Row<Blocks, Tail>::from(rows + lists.copy[i] * stride + at));
      sum.to(own);
    }
  });
}

}  // namespace

const Kernels* kernels() {
  static constexpr Kernels table{simplex, splat, slice, blur, add_copies};
  return &table;
}

}  // namespace pyseg::permutohedral::PYSEG_ISA
