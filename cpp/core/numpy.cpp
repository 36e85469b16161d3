// The module pyseg._native. Each op adds its functions by bind_<op>(), declared here by its one line in PYSEG_BIND.
#include "core/numpy.h"

#include "core/isa.h"
#include "core/parallel.h"

namespace py = pybind11;

#define PYSEG_BIND(op)       \
  namespace pyseg::op {      \
  void bind(py::module_& m); \
  }
PYSEG_BIND(atrous_conv)
PYSEG_BIND(cut)
PYSEG_BIND(deform_attention)
PYSEG_BIND(dense_crf)
PYSEG_BIND(depthwise_conv)
PYSEG_BIND(felzenszwalb)
PYSEG_BIND(masked_attention)
PYSEG_BIND(max_unpool)
PYSEG_BIND(nms)
PYSEG_BIND(paste_masks)
PYSEG_BIND(permutohedral)
PYSEG_BIND(quickshift)
PYSEG_BIND(relpos_attention)
PYSEG_BIND(roi_align)
PYSEG_BIND(slic)
PYSEG_BIND(superpixel_stats)
PYSEG_BIND(turbopixels)
#undef PYSEG_BIND

PYBIND11_MODULE(_native, m, py::mod_gil_not_used()) {
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const pyseg::TypeError& e) {
      py::set_error(PyExc_TypeError, e.what());
    }
  });
  m.attr("__version__") = PYSEG_VERSION;
  m.def("isa", [] { return pyseg::name_of(pyseg::isa()); });
  m.def("widest_isa", [] { return pyseg::name_of(pyseg::widest_isa()); });
  m.def("set_isa", &pyseg::set_isa, py::arg("name"));
  m.def(
      "set_num_threads",
      [](int threads) {
        pyseg::check(threads >= 1, "set_num_threads: threads must be >= 1, got ", threads);
        pyseg::set_pool_threads(threads);
      },
      py::arg("threads"));
  m.def("get_num_threads", &pyseg::pool_threads);
  pyseg::atrous_conv::bind(m);
  pyseg::cut::bind(m);
  pyseg::deform_attention::bind(m);
  pyseg::dense_crf::bind(m);
  pyseg::depthwise_conv::bind(m);
  pyseg::felzenszwalb::bind(m);
  pyseg::masked_attention::bind(m);
  pyseg::max_unpool::bind(m);
  pyseg::nms::bind(m);
  pyseg::paste_masks::bind(m);
  pyseg::permutohedral::bind(m);
  pyseg::quickshift::bind(m);
  pyseg::relpos_attention::bind(m);
  pyseg::roi_align::bind(m);
  pyseg::slic::bind(m);
  pyseg::superpixel_stats::bind(m);
  pyseg::turbopixels::bind(m);
}
