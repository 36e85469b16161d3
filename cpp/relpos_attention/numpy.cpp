// relpos_attention on NumPy arrays: forward only.
#include "core/numpy.h"

#include "core/workspace.h"
#include "relpos_attention/relpos_attention.h"

namespace pyseg::relpos_attention {

namespace py = pybind11;

namespace {

Float type_of(const char* name, const py::array& a) {
  const bool floats = a.dtype().kind() == 'f' && a.dtype().byteorder() != '>';
  if (floats && a.itemsize() == 2) return Float::f16;
  if (floats && a.itemsize() == 4) return Float::f32;
  check_type(floats && a.itemsize() == 8, "relpos_attention: ", name, " must be float16, float32 or float64, got ",
             std::string(py::str(a.dtype())));
  return Float::f64;
}

View view_of(const py::array& a, Float type) {
  const auto step = [&](int axis) {
    check(a.strides(axis) % size_of(type) == 0, "relpos_attention: strides must be whole elements, got ",
          a.strides(axis), " bytes");
    return static_cast<std::int64_t>(a.strides(axis)) / size_of(type);
  };
  return {const_cast<void*>(a.data()), step(0), step(2), step(1), step(3)};
}

py::array run(const py::array& q, const py::array& k, const py::array& v, const py::array& rel_h,
              const py::array& rel_w, double scale) {
  const Float type = type_of("q", q), wide = type == Float::f64 ? Float::f64 : Float::f32;
  check(q.ndim() == 4, "relpos_attention: q must be [B, H W, heads, d], got ", q.ndim(), " dimensions");
  for (const py::array* a : {&k, &v}) {
    check_type(type_of("k and v", *a) == type, "relpos_attention: q, k and v must be of one dtype");
    check(a->ndim() == 4, "relpos_attention: k and v must be of q's shape");
    for (int i = 0; i < 4; ++i)
      check(a->shape(i) == q.shape(i), "relpos_attention: k and v must be of q's shape, got ", a->shape(i), " beside ",
            q.shape(i));
  }
  for (const py::array* a : {&rel_h, &rel_w}) {
    check_type(type_of("rel_h and rel_w", *a) == wide,
               "relpos_attention: rel_h and rel_w must be float64 where q is, else float32");
    check(a->ndim() == 2 && a->shape(0) % 2 == 1 && a->shape(1) == q.shape(3) && (a->flags() & py::array::c_style) != 0,
          "relpos_attention: rel_h and rel_w must be [2 size - 1, ", q.shape(3), "] and contiguous");
  }
  Problem p{q.shape(0),   q.shape(2),  (rel_h.shape(0) + 1) / 2, (rel_w.shape(0) + 1) / 2, q.shape(3),
            scale,        type,        view_of(q, type),         view_of(k, type),         view_of(v, type),
            rel_h.data(), rel_w.data()};
  check_problem(p);
  check(q.shape(1) == p.tokens(), "relpos_attention: q must have ", p.height, " x ", p.width,
        " pixels, as the lengths of rel_h and rel_w say, got ", q.shape(1));
  py::array out(q.dtype(), {q.shape(0), q.shape(1), q.shape(2), q.shape(3)});
  const View to = view_of(out, type);
  {
    const py::gil_scoped_release nogil;
    Scratch<double> norms;  // for both types
    forward(p, to, norms.take(2 * p.batch * p.heads * p.tokens()), pool());
  }
  return out;
}

}  // namespace

void bind(py::module_& m) {
  m.def("relpos_attention", &run, py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(),
        py::arg("rel_h").noconvert(), py::arg("rel_w").noconvert(), py::arg("scale"),
        "[B, H W, heads, d] from q, k, v of that shape and tables [2 H - 1, d], [2 W - 1, d].");
}

}  // namespace pyseg::relpos_attention
