#include <cstring>

#include "deform_attention/heads.h"

namespace pyseg::deform_attention {
namespace {

std::byte* move(void* data, std::int64_t bytes) {
  return data == nullptr ? nullptr : static_cast<std::byte*>(data) + bytes;
}

// Of places, weights and reference points. `parts`: [B * M, Q, L, box], what each head adds to the last.
void of_points(const Heads& heads, const void* grad, const Executor& executor, const Gradients& out, std::byte* parts) {
  const Problem& p = heads.problem;
  static thread_local Scratch<std::byte> memory;
  const std::int64_t together = std::min<std::int64_t>(heads.count(), std::max(1, executor.threads()));
  std::byte* rows = heads.packed ? memory.take(together * heads.rows_bytes()) : nullptr;
  const std::int64_t samples = p.samples() * heads.size;
  for (std::int64_t first = 0; first < heads.count(); first += together) {
    const std::int64_t last = std::min(heads.count(), first + together);
    heads.pack(first, last, executor, rows);
    heads.each(first, last, executor, [&](std::int64_t i, Runs runs) {
      Head head = heads.head(i, rows + (i - first) * heads.rows_bytes());
      const std::int64_t at = (i / p.heads * p.queries * p.heads + i % p.heads) * samples;
      head.grad = static_cast<const std::byte*>(grad) + heads.element(i, p.queries) * size_of(p.value.type);
      head.places_grad = move(out.places, 2 * at);
      head.weights_grad = move(out.weights, at);
      head.reference_grad = move(parts, i * p.queries * head.levels * p.box * heads.size);
      backward_kernels().points(head, heads.wide, runs, scratch_of(head));
    });
  }
}

// Sums over heads, in their order.
template <typename T>
void of_reference(const Problem& p, const T* parts, const Executor& executor, T* out) {
  const std::int64_t row = static_cast<std::int64_t>(p.levels.size()) * p.box, image = p.queries * row;
  executor.run(p.batch * p.queries, 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t q = begin; q < end; ++q)
      for (std::int64_t c = 0; c < row; ++c) {
        const T* from = parts + q / p.queries * p.heads * image + q % p.queries * row + c;
        T sum = 0;
        for (std::int64_t m = 0; m < p.heads; ++m) sum += from[m * image];
        out[q * row + c] = sum;
      }
  });
}

// One thread sums a head, or, where there are more threads than heads, some of its channels.
void of_value(const Heads& heads, const void* grad, const Executor& executor, void* out) {
  const Problem& p = heads.problem;
  static thread_local Scratch<std::byte> memory;
  const std::int64_t threads = std::max(1, executor.threads()), together = std::min(heads.count(), threads);
  const std::int64_t panels = std::min(heads.blocks, std::max<std::int64_t>(1, threads / heads.count()));
  std::byte* sums = memory.take(together * heads.rows_bytes());
  const std::int64_t size = size_of(p.value.type), channels = kRowBytes / heads.size;
  for (std::int64_t first = 0; first < heads.count(); first += together) {
    const std::int64_t last = std::min(heads.count(), first + together);
    executor.each((last - first) * panels, [&](std::int64_t task) {
      const std::int64_t i = first + task / panels, panel = task % panels;
      const std::int64_t begin = heads.blocks * panel / panels, end = heads.blocks * (panel + 1) / panels;
      std::byte* to = sums + (i - first) * heads.rows_bytes();
      const auto wide = static_cast<std::size_t>((end - begin) * kRowBytes);
      for (std::int64_t row = 0; row <= p.pixels; ++row)
        std::memset(to + row * heads.row_bytes() + begin * kRowBytes, 0, wide);
      Head head = heads.head(i, nullptr);
      heads.set_units(head, heads.blocks);
      head.grad = static_cast<const std::byte*>(grad) + heads.element(i, p.queries) * size;
      backward_kernels().rows(head, heads.wide, heads.runs(), begin, end, to, scratch_of(head));
      const std::int64_t channel = begin * channels, most = std::min(end * channels, p.channels) - channel;
      row_kernels().unpack(to + begin * kRowBytes, p.pixels, most, heads.blocks, heads.wide, p.value.type,
                           p.heads * p.channels, move(out, (heads.element(i, p.pixels) + channel) * size));
    });
  }
}

void zero(const Problem& p, const Gradients& out) {
  const std::int64_t size = p.value.type == Float::f64 ? 8 : 4, queries = p.batch * p.queries;
  const std::int64_t samples = queries * p.heads * p.samples();
  const auto clear = [](void* data, std::int64_t bytes) {
    if (data != nullptr && bytes > 0) std::memset(data, 0, static_cast<std::size_t>(bytes));
  };
  clear(out.value, p.batch * p.pixels * p.heads * p.channels * size_of(p.value.type));
  clear(out.places, 2 * samples * size);
  clear(out.weights, samples * size);
  clear(out.reference, queries * static_cast<std::int64_t>(p.levels.size()) * p.box * size);
}

}  // namespace

void backward(const Problem& problem, const void* grad, const Executor& executor, const Gradients& out) {
  if (problem.batch * problem.heads * problem.samples() * problem.channels == 0) return zero(problem, out);
  const Heads heads(problem);
  if (out.places != nullptr || out.weights != nullptr || out.reference != nullptr) {
    static thread_local Scratch<std::byte> memory;
    const std::int64_t row = static_cast<std::int64_t>(problem.levels.size()) * problem.box * heads.size;
    std::byte* parts = out.reference == nullptr ? nullptr : memory.take(heads.count() * problem.queries * row);
    of_points(heads, grad, executor, out, parts);
    if (parts != nullptr && heads.wide)
      of_reference(problem, reinterpret_cast<const double*>(parts), executor, static_cast<double*>(out.reference));
    else if (parts != nullptr)
      of_reference(problem, reinterpret_cast<const float*>(parts), executor, static_cast<float*>(out.reference));
  }
  if (out.value != nullptr) of_value(heads, grad, executor, out.value);
}

}  // namespace pyseg::deform_attention
