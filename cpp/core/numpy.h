// NumPy arrays to views, for the bindings of the ops.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "core/check.h"
#include "core/view.h"

namespace pyseg::numpy {

namespace py = pybind11;

// `axes` names the image's axes: positions of depth, height, width and channels in the array, -1 where it has none.
inline ImageView image_view(const char* op, const py::array& array, const std::array<int, 4>& axes) {
  ImageView view;
  const char kind = array.dtype().kind();
  const auto size = array.itemsize();
  check_type(array.dtype().byteorder() != '>' || size == 1, op, ": image must be in the machine's byte order, got '>'");
  if (kind == 'u' && size == 1) view.dtype = DType::u8;
  else if (kind == 'u' && size == 2) view.dtype = DType::u16;
  else if (kind == 'f' && size == 2) view.dtype = DType::f16;
  else if (kind == 'f' && size == 4) view.dtype = DType::f32;
  else if (kind == 'f' && size == 8) view.dtype = DType::f64;
  else
    throw TypeError(text(op, ": image must be uint8, uint16, float16, float32 or float64, got ",
                         std::string(py::str(array.dtype()))));
  for (std::size_t i = 0; i < 4; ++i) {
    check(axes[i] >= -1 && axes[i] < array.ndim(), op, ": an axis must be -1 .. ", array.ndim() - 1, ", got ", axes[i]);
    for (std::size_t j = 0; j < i; ++j)
      check(axes[i] < 0 || axes[i] != axes[j], op, ": axes must differ, got ", axes[i], " twice");
  }
  view.data = static_cast<const std::byte*>(array.data());
  for (std::size_t i = 0; i < 4; ++i) {
    view.shape[i] = axes[i] < 0 ? 1 : array.shape(axes[i]);
    view.stride[i] = axes[i] < 0 ? 0 : array.strides(axes[i]);
  }
  return view;
}

}  // namespace pyseg::numpy
