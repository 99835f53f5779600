// What the operations are held against: the same in plain loops, in double; and numbers to feed
// them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "common/philox.h"
#include "distances/points.h"

namespace fastgan::tests {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Salmon et al. 2011, as printed.
inline std::array<std::uint32_t, 4> plain_philox(const PhiloxDraw& draw, std::uint64_t block) {
  std::array<std::uint32_t, 4> c{static_cast<std::uint32_t>(block),
                                 static_cast<std::uint32_t>(block >> 32), draw.step, draw.stream};
  std::uint32_t k0 = static_cast<std::uint32_t>(draw.seed);
  std::uint32_t k1 = static_cast<std::uint32_t>(draw.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

inline std::uint32_t plain_word(const PhiloxDraw& draw, std::uint64_t element) {
  return plain_philox(draw, element / 4)[element % 4];
}

// n numbers: whole ones of 0 to 255, or fractions in [-1, 1).
template <class T>
std::vector<T> numbers(std::size_t n, std::uint64_t seed) {
  std::vector<T> made(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t word = plain_word({seed, 0, 0}, i);
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      made[i] = static_cast<std::uint8_t>(word >> 24);
    } else {
      made[i] = static_cast<T>(static_cast<double>(word >> 8) * 0x1p-23 - 1.0);
    }
  }
  return made;
}

// Of which a share, about, is not zero.
template <class T>
std::vector<T> sparse_numbers(std::size_t n, std::uint64_t seed, double share) {
  std::vector<T> made = numbers<T>(n, seed);
  for (std::size_t i = 0; i < n; ++i) {
    if (static_cast<double>(plain_word({seed, 0, 1}, i)) * 0x1p-32 >= share) made[i] = T{0};
  }
  return made;
}

// Rows with their memory. Real data fall into clusters; so do these.
template <class T>
struct Rows {
  std::vector<T> values;
  Points points;

  Rows(std::size_t n_rows, std::size_t n_features, std::uint64_t seed)
      : values(numbers<T>(n_rows * n_features, seed)) {
    const std::vector<T> centres = numbers<T>(5 * n_features, 77);
    for (std::size_t i = 0; i < n_rows; ++i) {
      for (std::size_t j = 0; j < n_features; ++j) {
        T& value = values[i * n_features + j];
        const double centre = static_cast<double>(centres[i % 5 * n_features + j]);
        value = static_cast<T>(0.75 * centre + 0.25 * static_cast<double>(value));
      }
    }
    const Scalar scalar = std::is_same_v<T, std::uint8_t> ? Scalar::uint8
                          : std::is_same_v<T, float>      ? Scalar::float32
                                                          : Scalar::float64;
    points = {values.data(), scalar, n_rows, n_features};
  }
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
};

// (n_queries, n_samples) squared distances, summed in extended precision.
inline std::vector<double> plain_distances(const Points& queries, const Points& samples) {
  return with_scalar(queries.scalar, [&]<class T>() {
    std::vector<double> all;
    for (std::size_t q = 0; q < queries.n_rows; ++q) {
      for (std::size_t s = 0; s < samples.n_rows; ++s) {
        long double sum = 0.0L;
        for (std::size_t j = 0; j < queries.n_features; ++j) {
          const long double difference = static_cast<long double>(queries.row<T>(q)[j]) -
                                         static_cast<long double>(samples.row<T>(s)[j]);
          sum += difference * difference;
        }
        all.push_back(static_cast<double>(sum));
      }
    }
    return all;
  });
}

// log sum_i exp(-d2_i / (2 sigma^2)) over n distances, of which one may be left out.
inline double plain_log_sum(const double* squared, std::size_t n, std::size_t left_out,
                            double sigma) {
  double largest = -kInfinity;
  for (std::size_t i = 0; i < n; ++i) {
    if (i != left_out) largest = std::max(largest, -squared[i] / (2.0 * sigma * sigma));
  }
  double sum = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i != left_out) sum += std::exp(-squared[i] / (2.0 * sigma * sigma) - largest);
  }
  return std::isinf(largest) ? largest : largest + std::log(sum);
}

inline bool close(double a, double b, double tolerance) {
  return a == b || std::abs(a - b) <= tolerance;
}

}  // namespace fastgan::tests
