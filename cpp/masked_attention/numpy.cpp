// masked_attention and mask_bitmap on NumPy arrays.
#include "core/numpy.h"

#include "masked_attention/masked_attention.h"

namespace pyseg::masked_attention {

namespace py = pybind11;

namespace {

template <typename T>
using Dense = py::array_t<T, py::array::c_style>;

template <typename T>
Dense<T> run(const Dense<T>& q, const Dense<T>& k, const Dense<T>& v, const Dense<std::int16_t>& bits,
             std::int64_t height, std::int64_t width, std::int64_t heads, bool empty_all) {
  const Layout layout{height, width};
  check_layout(layout);
  check(q.ndim() == 3 && k.ndim() == 3 && v.ndim() == 3 && bits.ndim() == 4,
        "masked_attention: q, k and v must have 3 dimensions, and the bitmap 4");
  const std::int64_t batch = q.shape(0), queries = q.shape(1), channels = q.shape(2);
  for (const Dense<T>* t : {&k, &v})
    check(t->shape(0) == batch && t->shape(1) == layout.keys() && t->shape(2) == channels,
          "masked_attention: k and v must be [", batch, ", ", layout.keys(), ", ", channels, "]");
  check(heads >= 1 && channels % heads == 0, "masked_attention: heads must divide ", channels, ", got ", heads);
  check(
      bits.shape(0) == batch && bits.shape(1) == queries && bits.shape(2) == layout.chunks() && bits.shape(3) == kTiles,
      "masked_attention: the bitmap must be [", batch, ", ", queries, ", ", layout.chunks(), ", 16]");
  Dense<T> out({batch, queries, channels});
  T* to = out.mutable_data();
  const Problem<T> problem{batch,
                           heads,
                           queries,
                           channels / heads,
                           layout,
                           {q.data(), queries * channels, channels},
                           {k.data(), layout.keys() * channels, channels},
                           {v.data(), layout.keys() * channels, channels},
                           reinterpret_cast<const std::uint16_t*>(bits.data()),
                           empty_all};
  {
    const py::gil_scoped_release nogil;
    forward(problem, to, nullptr, pool());
  }
  return out;
}

Dense<std::int16_t> bitmap(const Dense<float>& logits, std::int64_t height, std::int64_t width, double threshold) {
  const Layout layout{height, width};
  check_layout(layout);
  check(logits.ndim() == 4, "mask_bitmap: mask_logits must be [B, Q, h, w], got ", logits.ndim(), " dimensions");
  Dense<std::int16_t> bits(
      {logits.shape(0), logits.shape(1), static_cast<py::ssize_t>(layout.chunks()), static_cast<py::ssize_t>(kTiles)});
  auto* to = reinterpret_cast<std::uint16_t*>(bits.mutable_data());
  const float* from = logits.data();
  const std::int64_t planes = logits.shape(0) * logits.shape(1), rows = logits.shape(2), columns = logits.shape(3);
  {
    const py::gil_scoped_release nogil;
    bits_of_logits(from, planes, rows, columns, layout, static_cast<float>(threshold), to, pool());
  }
  return bits;
}

Dense<std::int16_t> bits_of(const Dense<bool>& mask, std::int64_t height, std::int64_t width) {
  const Layout layout{height, width};
  check_layout(layout);
  check(mask.ndim() == 3 && mask.shape(2) == layout.keys(), "masked_attention: attn_mask must be [B, Q, ",
        layout.keys(), "]");
  Dense<std::int16_t> bits(
      {mask.shape(0), mask.shape(1), static_cast<py::ssize_t>(layout.chunks()), static_cast<py::ssize_t>(kTiles)});
  auto* to = reinterpret_cast<std::uint16_t*>(bits.mutable_data());
  const auto* from = reinterpret_cast<const std::uint8_t*>(mask.data());
  const std::int64_t planes = mask.shape(0) * mask.shape(1);
  {
    const py::gil_scoped_release nogil;
    bits_of_bytes(from, planes, layout, to, pool());
  }
  return bits;
}

}  // namespace

void bind(py::module_& m) {
  const auto define = [&](auto* call) {
    m.def("masked_attention", call, py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(),
          py::arg("bits").noconvert(), py::arg("height"), py::arg("width"), py::arg("heads"), py::arg("empty_all"),
          "[B, Q, D] of dense q [B, Q, D], k, v [B, height * width, D] and the bitmap int16 [B, Q, chunks, 16].");
  };
  define(&run<float>);
  define(&run<double>);
  m.def("mask_bitmap", &bitmap, py::arg("mask_logits").noconvert(), py::arg("height"), py::arg("width"),
        py::arg("threshold"), "int16 [B, Q, chunks, 16] of float32 [B, Q, h, w]: a resized logit >= threshold.");
  m.def("mask_bits", &bits_of, py::arg("mask").noconvert(), py::arg("height"), py::arg("width"),
        "int16 [B, Q, chunks, 16] of bool [B, Q, height * width].");
}

}  // namespace pyseg::masked_attention
