// Rows of numbers as they were given: the one form in which points reach the distance kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastgan {

enum class Scalar { uint8, float32, float64 };

struct Points {
  const void* data;
  Scalar scalar;
  std::size_t n_rows;
  std::size_t n_features;

  template <class In>
  const In* row(std::size_t index) const {
    return static_cast<const In*>(data) + index * n_features;
  }
};

// Calls function.template operator()<In>() for the type that the points are made of.
template <class Function>
auto with_scalar(Scalar scalar, Function&& function) {
  switch (scalar) {
    case Scalar::uint8:
      return function.template operator()<std::uint8_t>();
    case Scalar::float32:
      return function.template operator()<float>();
    default:
      return function.template operator()<double>();
  }
}

}  // namespace fastgan
