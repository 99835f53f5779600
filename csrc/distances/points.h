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

// Leave one out: the queries are rows of the samples, query q is row q + offset (which may lie
// outside of these samples), and is left out of its own sum or neighbours.
struct Own {
  bool excluded = false;
  std::ptrdiff_t offset = 0;

  // The row of query q counted from `first`, or `n` where it is not among n rows from there on.
  std::size_t place(std::size_t query, std::size_t first, std::size_t n) const {
    const std::ptrdiff_t at =
        static_cast<std::ptrdiff_t>(query) + offset - static_cast<std::ptrdiff_t>(first);
    return excluded && at >= 0 && at < static_cast<std::ptrdiff_t>(n) ? static_cast<std::size_t>(at)
                                                                      : n;
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
