// NumPy arrays as pointers and sizes. Every array must be C-contiguous and of the exact dtype: the
// Python layer has seen to it, so a mismatch here is a fault of ours and is refused, never
// repaired.
#pragma once

#include <pybind11/numpy.h>

#include <stdexcept>
#include <string>

namespace fastgan::bindings {

namespace py = pybind11;

template <class T>
bool is_of(const py::array& array) {
  return array.dtype().is(py::dtype::of<T>());
}

template <class T>
const T* input(const py::array& array, const char* name, py::ssize_t ndim) {
  if (!is_of<T>(array) || !(array.flags() & py::array::c_style) || array.ndim() != ndim) {
    throw std::invalid_argument(std::string(name) + ": expected a C-contiguous array of " +
                                std::to_string(ndim) + " dimensions and dtype " +
                                std::string(py::str(py::dtype::of<T>())));
  }
  return static_cast<const T*>(array.data());
}

template <class T>
T* output(py::array& array, const char* name, py::ssize_t ndim) {
  input<T>(array, name, ndim);
  return static_cast<T*>(array.mutable_data());  // refuses a read-only array
}

inline void expect_size(py::ssize_t got, py::ssize_t expected, const char* name) {
  if (got != expected) {
    throw std::invalid_argument(std::string(name) + ": expected size " + std::to_string(expected) +
                                ", got " + std::to_string(got));
  }
}

}  // namespace fastgan::bindings
