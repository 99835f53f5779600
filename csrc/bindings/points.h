// NumPy matrices as Points.
#pragma once

#include "bindings/arrays.h"
#include "distances/points.h"

namespace fastgan::bindings {

inline Points as_points(const py::array& array, const char* name) {
  if (is_of<std::uint8_t>(array)) {
    const void* data = input<std::uint8_t>(array, name, 2);
    return {data, Scalar::uint8, std::size_t(array.shape(0)), std::size_t(array.shape(1))};
  }
  if (is_of<float>(array)) {
    const void* data = input<float>(array, name, 2);
    return {data, Scalar::float32, std::size_t(array.shape(0)), std::size_t(array.shape(1))};
  }
  const void* data = input<double>(array, name, 2);
  return {data, Scalar::float64, std::size_t(array.shape(0)), std::size_t(array.shape(1))};
}

inline void expect_same_kind(const Points& a, const Points& b, const char* names) {
  if (a.scalar != b.scalar || a.n_features != b.n_features) {
    throw std::invalid_argument(std::string(names) +
                                ": expected one dtype and one number of features");
  }
}

}  // namespace fastgan::bindings
