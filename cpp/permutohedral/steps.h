// The steps of a filter over all rows, in ranges on an executor: for the filter itself, and for ops that fuse their own
// work with splat and slice. T: float or double.
#pragma once

#include <algorithm>
#include <cstring>

#include "permutohedral/kernels.h"

namespace pyseg::permutohedral {

constexpr std::int64_t kPanel = 48;  // channels filtered at a time

// The size of a row of at most kPanel channels.
template <typename T>
std::int64_t stride_of(std::int64_t channels);

// rows [lattice.rows][stride_of(channels)] = the splat of factor * values, before the copies are added; null factor: 1.
template <typename T>
void splat_rows(const Lattice<T>& lattice, const T* values, std::int64_t value_step, std::int64_t channels,
                const T* factor, const Executor& executor, T* rows);

namespace plain {  // double: for gradients and checks, not tuned

inline void add_copies(const CopyLists& lists, std::int64_t first, std::int64_t last, std::int64_t stride,
                       double* rows) {
  for (std::int64_t v = first; v < last; ++v)
    for (std::uint32_t i = lists.begin[v]; i < lists.begin[v + 1]; ++i)
      for (std::int64_t c = 0; c < stride; ++c) rows[lists.owner[v] * stride + c] += rows[lists.copy[i] * stride + c];
}

inline void blur(const std::uint32_t* row, const std::uint32_t* begin, std::int64_t first, std::int64_t last,
                 std::int64_t stride, double* rows) {
  for (std::int64_t q = first; q < last; ++q)
    for (std::int64_t c = 0; c < stride; ++c) {
      double before = 0, here = rows[row[begin[q]] * stride + c];
      for (std::uint32_t i = begin[q]; i < begin[q + 1]; ++i) {
        const double after = i + 1 < begin[q + 1] ? rows[row[i + 1] * stride + c] : 0.0;
        rows[row[i] * stride + c] = here + 0.5 * (before + after);
        before = here;
        here = after;
      }
    }
}

}  // namespace plain

template <typename T>
void blur_rows(const Lattice<T>& lattice, std::int64_t stride, bool transpose, const Executor& executor, T* rows) {
  const std::int64_t owners = static_cast<std::int64_t>(lattice.owner.size());
  const CopyLists lists{lattice.owner.data(), lattice.copy_begin.data(), lattice.copy.data()};
  executor.run(owners, 256, [&](std::int64_t first, std::int64_t last) {
    if constexpr (sizeof(T) == 8) plain::add_copies(lists, first, last, stride, rows);
    else kernels().add_copies(lists, first, last, stride, rows);
  });
  for (int i = 0; i < lattice.classes(); ++i) {
    const auto& axis = lattice.axis[static_cast<std::size_t>(transpose ? lattice.dims - i : i)];
    // In parts of as many rows, not of as many chains: some are much longer than others.
    executor.run(static_cast<std::int64_t>(axis.row.size()), 512, [&](std::int64_t from, std::int64_t to) {
      const auto chain = [&](std::int64_t row) {
        return std::lower_bound(axis.begin.begin(), axis.begin.end(), static_cast<std::uint32_t>(row)) -
               axis.begin.begin();
      };
      const std::int64_t first = chain(from), last = chain(to);
      if (first == last) return;
      if constexpr (sizeof(T) == 8) plain::blur(axis.row.data(), axis.begin.data(), first, last, stride, rows);
      else kernels().blur(axis.row.data(), axis.begin.data(), first, last, stride, rows);
    });
  }
  executor.run(owners, 256, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t v = first; v < last; ++v)
      for (std::uint32_t i = lists.begin[v]; i < lists.begin[v + 1]; ++i)
        std::memcpy(rows + lists.copy[i] * stride, rows + lists.owner[v] * stride,
                    sizeof(T) * static_cast<std::size_t>(stride));
  });
}

}  // namespace pyseg::permutohedral
