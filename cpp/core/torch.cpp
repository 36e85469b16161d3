// Choosing the instruction set of the torch side, as pyseg._native does for NumPy's.
#include <string>

#include "core/isa.h"
#include "core/torch.h"

namespace {

std::string isa() { return pyseg::name_of(pyseg::isa()); }
void set_isa(std::string name) { pyseg::set_isa(name); }

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(pyseg, m) {
  m.def("isa() -> str");
  m.def("set_isa(str name) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(pyseg, CompositeExplicitAutograd, m) {
  m.impl("isa", TORCH_BOX(&isa));
  m.impl("set_isa", TORCH_BOX(&set_isa));
}
