// Forward: weighted sums of four rows a sample. Also copies between `value`'s layout and rows.
#include "deform_attention/rows.h"
#include "deform_attention/taps.h"

namespace pyseg::deform_attention::PYSEG_ISA {
namespace {

// Two sums a panel, so that an addition need not wait for the one before: of the upper and of the lower corners.
constexpr int kPanel = kVectorBytes == 64 ? 4 : kVectorBytes == 32 ? 2 : 1;

template <int Blocks, typename T, typename Rows>
void panel(const Taps<T>& t, std::int64_t from, std::int64_t block, const Rows& rows, T* out) {
  constexpr int kCount = Blocks * kVectors;
  const std::int64_t channel = block * (kRowBytes / static_cast<int>(sizeof(T)));
  Vector<T> upper[kCount]{}, lower[kCount]{};
  for (std::int64_t i = from; i < from + t.samples; ++i) {
    const auto *r0 = rows(t.row[0][i]) + channel, *r1 = rows(t.row[1][i]) + channel;
    const auto *r2 = rows(t.row[2][i]) + channel, *r3 = rows(t.row[3][i]) + channel;
    const T c0 = t.corner[0][i], c1 = t.corner[1][i], c2 = t.corner[2][i], c3 = t.corner[3][i];
    for (int v = 0; v < kCount; ++v) {
      add_product<T>(upper[v], c0, read<T>(r0 + v * kLanes<T>));
      add_product<T>(lower[v], c2, read<T>(r2 + v * kLanes<T>));
      add_product<T>(upper[v], c1, read<T>(r1 + v * kLanes<T>));
      add_product<T>(lower[v], c3, read<T>(r3 + v * kLanes<T>));
    }
  }
  for (int v = 0; v < kCount; ++v) store(out + channel + v * kLanes<T>, Vector<T>(upper[v] + lower[v]));
}

template <typename T>
void write_row(const Head& head, std::int64_t query, const T* row) {
  with_type(head.out_type, [&](auto type) {
    using To = decltype(type);
    if constexpr (kFits<T, To>) {
      To* to = static_cast<To*>(head.out) + query * head.out_step;
      for (std::int64_t c = 0; c < head.channels; ++c) narrow(row[c], to[c]);
    }
  });
}

template <typename T>
void run(const Head& head, Runs runs, std::byte* scratch) {
  T* row = reinterpret_cast<T*>(scratch);
  const Taps<T> t = make_taps<T>(head, scratch + head.blocks * kRowBytes);
  // Whole rows of the right type go where they belong at once.
  const bool direct = head.out_type != Float::bf16 && head.out_type != Float::f16 &&
                      head.channels * static_cast<std::int64_t>(sizeof(T)) == head.blocks * kRowBytes;
  with_rows<T>(head, [&](const auto& rows) {
    for (const Run* r = runs.begin; r != runs.end; ++r) {
      set_up(head, r, runs, t);
      for (std::int64_t i = 0; i < r->count; ++i) {
        T* to = direct ? static_cast<T*>(head.out) + (r->first + i) * head.out_step : row;
        panels<kPanel>(0, head.blocks,
                       [&]<int Blocks>(std::int64_t block) { panel<Blocks>(t, i * t.samples, block, rows, to); });
        if (!direct) write_row(head, r->first + i, row);
      }
    }
  });
}

void forward(const Head& head, bool wide, Runs runs, std::byte* scratch) {
  if (wide) run<double>(head, runs, scratch);
  else run<float>(head, runs, scratch);
}

// Two rows, and what the set-up needs.
std::int64_t scratch_bytes(const Head& head) { return 2 * head.blocks * kRowBytes + taps_bytes(head); }

template <typename T>
void pack_rows(const Array& in, std::int64_t step, std::int64_t count, std::int64_t channels, std::int64_t blocks,
               T* out) {
  const std::int64_t size = blocks * (kRowBytes / static_cast<int>(sizeof(T)));
  with_type(in.type, [&](auto type) {
    const auto* from = static_cast<const decltype(type)*>(in.data);
    for (std::int64_t i = 0; i < count; ++i, from += step, out += size) {
      for (std::int64_t c = 0; c < channels; ++c) out[c] = static_cast<T>(widen(from[c]));
      for (std::int64_t c = channels; c < size; ++c) out[c] = 0;
    }
  });
}

void pack(const Array& in, std::int64_t step, std::int64_t count, std::int64_t channels, std::int64_t blocks, bool wide,
          void* out) {
  if (wide) pack_rows(in, step, count, channels, blocks, static_cast<double*>(out));
  else pack_rows(in, step, count, channels, blocks, static_cast<float*>(out));
}

template <typename T>
void unpack_rows(const T* in, std::int64_t count, std::int64_t channels, std::int64_t blocks, Float type,
                 std::int64_t step, void* out) {
  const std::int64_t size = blocks * (kRowBytes / static_cast<int>(sizeof(T)));
  with_type(type, [&](auto type) {
    using To = decltype(type);
    if constexpr (kFits<T, To>) {
      To* to = static_cast<To*>(out);
      for (std::int64_t i = 0; i < count; ++i, in += size, to += step)
        for (std::int64_t c = 0; c < channels; ++c) narrow(in[c], to[c]);
    }
  });
}

void unpack(const void* in, std::int64_t count, std::int64_t channels, std::int64_t blocks, bool wide, Float type,
            std::int64_t step, void* out) {
  if (wide) unpack_rows(static_cast<const double*>(in), count, channels, blocks, type, step, out);
  else unpack_rows(static_cast<const float*>(in), count, channels, blocks, type, step, out);
}

}  // namespace

const Kernels* kernels() {
  static constexpr Kernels table{scratch_bytes, forward};
  return &table;
}

const RowKernels* row_kernels() {
  static constexpr RowKernels table{pack, unpack};
  return &table;
}

}  // namespace pyseg::deform_attention::PYSEG_ISA
