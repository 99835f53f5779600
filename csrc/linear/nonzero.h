// Lists of what is not zero in a layer's gradient. For kernel files.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {

// Calls body with the number of registers, 1 to 8, as a constant.
template <class Body>
FASTGAN_INLINE void with_vectors(std::size_t n_vectors, const Body& body) {
  switch (n_vectors) {
    case 8:
      return body.template operator()<8>();
    case 7:
      return body.template operator()<7>();
    case 6:
      return body.template operator()<6>();
    case 5:
      return body.template operator()<5>();
    case 4:
      return body.template operator()<4>();
    case 3:
      return body.template operator()<3>();
    case 2:
      return body.template operator()<2>();
    default:
      return body.template operator()<1>();
  }
}

// Calls body(i, values[i]) for what is not zero, in order.
template <class T, class Body>
FASTGAN_INLINE void for_nonzero(const T* values, std::size_t n, const Body& body) {
  using V = Vector<T>;
  for (std::size_t at = 0; at < n; at += V::width) {
    const V some = n - at < V::width ? V::load_first(values + at, n - at) : V::load(values + at);
    for (std::uint32_t mask = nonzero(some); mask != 0; mask &= mask - 1) {
      const std::size_t i = at + static_cast<std::size_t>(std::countr_zero(mask));
      body(i, values[i]);
    }
  }
}

// Lists the numbers of a row that are not zero, and returns how many there are.
template <class T>
FASTGAN_INLINE std::size_t list_nonzero(const T* row, std::size_t n, Nonzero<T>* list) {
  std::size_t found = 0;
  for_nonzero(row, n, [&](std::size_t i, T value) {
    list[found++] = {static_cast<std::uint32_t>(i), value};
  });
  return found;
}

template <class T>
FASTGAN_INLINE std::size_t count_nonzero(const T* values, std::size_t n) {
  using V = Vector<T>;
  std::size_t found = 0, at = 0;
  for (; at + V::width <= n; at += V::width) {
    found += static_cast<std::size_t>(std::popcount(nonzero(V::load(values + at))));
  }
  for (; at < n; ++at) found += values[at] != 0;
  return found;
}

}  // namespace fastgan::FASTGAN_LEVEL
