// The limit of a row's norm; shared by momentum_sgd and by the update of a dense layer. For kernel
// files.
#pragma once

#include <cmath>
#include <cstddef>

#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {

inline constexpr double kNormEpsilon =
    1e-7;  // pylearn2's max_col_norm: w * min(|w|, c) / (1e-7 + |w|)

// The sum of squares in double, over 16 lanes whatever the level, so the bits are the same at each.
template <class T>
FASTGAN_INLINE double sum_of_squares(std::size_t n, const T* row) {
  constexpr std::size_t kLanes = 16;
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double x = static_cast<double>(row[i + lane]);
      lanes[lane] += x * x;
    }
  }
  for (; i < n; ++i) {
    const double x = static_cast<double>(row[i]);
    lanes[i % kLanes] += x * x;
  }
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

// row <- row * min(|row|, max_norm) / (1e-7 + |row|)
template <class T>
FASTGAN_INLINE void limit_norm(double max_norm, std::size_t n, T* row) {
  const double norm = std::sqrt(sum_of_squares(n, row));
  const T factor = static_cast<T>((norm > max_norm ? max_norm : norm) / (kNormEpsilon + norm));
  for (std::size_t i = 0; i < n; ++i) row[i] *= factor;
}

}  // namespace fastgan::FASTGAN_LEVEL
