// Squared distances by differences, on the inputs as given.
//
// squared_distance: float64; uint8 exact; else each term (x - y)^2 has a relative error of at most
// 3 u64 (u64 = 2^-53) and the sum adds at most (n_features / width + width + 8) u64, all terms
// being positive: relative_error() bounds both.
// squared_distance_rounded_once: the real number, rounded once to float64 (uint8 in integers, else
// double-double, whose own error of about 2^-100 is far below what could move a rounding except
// within that distance of a midpoint between two float64 numbers). Sums below 2^-900, whose squares
// or their low halves would underflow, are taken of differences times 2^500.
// The plain sum of such squares may also be off by squared_distance_underflow(), an absolute error.
#pragma once

#include <limits>

#include "simd/vector_math.h"

namespace fastgan::FASTGAN_LEVEL {

inline double squared_distance_relative_error(std::size_t n_features) {
  return (static_cast<double>(n_features) + 32.0) * 0x1p-53;
}

inline double squared_distance_underflow(std::size_t n_features) {
  return (static_cast<double>(n_features) + 2.0) * std::numeric_limits<double>::denorm_min();
}

inline double squared_distance(const std::uint8_t* x, const std::uint8_t* y, std::size_t n) {
  std::int64_t total = 0;
  for (std::size_t start = 0; start < n; start += 16384) {  // 16384 * 255^2 < 2^31
    const std::size_t stop = std::min(n, start + 16384);
    std::int32_t sum = 0;
    for (std::size_t i = start; i < stop; ++i) {
      const std::int32_t difference = static_cast<std::int32_t>(x[i]) - y[i];
      sum += difference * difference;
    }
    total += sum;
  }
  return static_cast<double>(total);
}

inline double squared_distance_rounded_once(const std::uint8_t* x, const std::uint8_t* y,
                                            std::size_t n) {
  return squared_distance(x, y, n);
}

template <class In>
double squared_distance(const In* x, const In* y, std::size_t n) {
  using V = Vector<double>;
  V sum0 = V::broadcast(0.0), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  std::size_t i = 0;
  const auto accumulate = [&](V& sum, std::size_t at) {
    const V difference = V::load(x + at) - V::load(y + at);
    sum = multiply_add(difference, difference, sum);
  };
  for (; i + 4 * V::width <= n; i += 4 * V::width) {
    accumulate(sum0, i);
    accumulate(sum1, i + V::width);
    accumulate(sum2, i + 2 * V::width);
    accumulate(sum3, i + 3 * V::width);
  }
  for (; i + V::width <= n; i += V::width) accumulate(sum0, i);
  double total = reduce_add((sum0 + sum1) + (sum2 + sum3));
  for (; i < n; ++i) {
    const double difference = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    total += difference * difference;
  }
  return total;
}

// A sum kept as high + low, lane by lane.
struct DoubleDouble {
  Vector<double> high = Vector<double>::broadcast(0.0);
  Vector<double> low = Vector<double>::broadcast(0.0);

  // Adds (x - y)^2: the difference as d + e exactly (Knuth), its square as d^2 (exactly, as
  // p + q) + 2 d e (+ e^2, which is below 2^-106 d^2).
  template <bool kScaled>
  FASTGAN_INLINE void add_square_of_difference(Vector<double> x, Vector<double> y) {
    Vector<double> d = x - y;
    const Vector<double> back = d - x;
    Vector<double> e = (x - (d - back)) - (y + back);
    if constexpr (kScaled) {
      d = d * Vector<double>::broadcast(0x1p500);
      e = e * Vector<double>::broadcast(0x1p500);
    }
    const Vector<double> p = d * d;
    const Vector<double> q = square_error(d, p) + (d + d) * e;
    const Vector<double> sum = high + p;
    const Vector<double> part = sum - high;
    const Vector<double> error = (high - (sum - part)) + (p - part);
    high = sum;
    low = low + (error + q);
  }
};

// The sum as total + rest, |rest| far below total; times 2^1000 if it is scaled.
struct TwoPartSum {
  double total = 0.0, rest = 0.0;
};

template <bool kScaled, class In>
TwoPartSum sum_of_squared_differences(const In* x, const In* y, std::size_t n) {
  using V = Vector<double>;
  DoubleDouble sum0, sum1;
  std::size_t i = 0;
  for (; i + 2 * V::width <= n; i += 2 * V::width) {
    sum0.add_square_of_difference<kScaled>(V::load(x + i), V::load(y + i));
    sum1.add_square_of_difference<kScaled>(V::load(x + i + V::width), V::load(y + i + V::width));
  }
  if (i < n) {  // zero-padded: a zero difference adds nothing
    double rest_x[2 * V::width] = {}, rest_y[2 * V::width] = {};
    for (std::size_t j = 0; i + j < n; ++j) {
      rest_x[j] = static_cast<double>(x[i + j]);
      rest_y[j] = static_cast<double>(y[i + j]);
    }
    sum0.add_square_of_difference<kScaled>(V::load(rest_x), V::load(rest_y));
    sum1.add_square_of_difference<kScaled>(V::load(rest_x + V::width), V::load(rest_y + V::width));
  }
  double high[2 * V::width], low[2 * V::width];
  sum0.high.store(high);
  sum1.high.store(high + V::width);
  sum0.low.store(low);
  sum1.low.store(low + V::width);
  TwoPartSum all;
  for (std::size_t lane = 0; lane < 2 * V::width; ++lane) {
    const double sum = all.total + high[lane];
    const double part = sum - all.total;
    all.rest += (all.total - (sum - part)) + (high[lane] - part) + low[lane];
    all.total = sum;
  }
  return all;
}

// sum / 2^1000, rounded once, also where that has fewer bits than 53.
inline double rounded_down_by_1000_bits(TwoPartSum sum) {
  constexpr double kLeastNormal = 0x1p-22, kLastBit = 0x1p-74;  // of the result, times 2^1000
  const double high = sum.total + sum.rest;
  const double low = sum.rest - (high - sum.total);
  if (!(high < kLeastNormal)) return high * 0x1p-1000;
  double rounded = (kLeastNormal + high) - kLeastNormal;
  const double left = high - rounded;  // a tie of `high` is none of the sum if anything is below
  if (left == kLastBit / 2 && low > 0.0) rounded += kLastBit;
  if (left == -kLastBit / 2 && low < 0.0) rounded -= kLastBit;
  return rounded * 0x1p-1000;
}

template <class In>
double squared_distance_rounded_once(const In* x, const In* y, std::size_t n) {
  const TwoPartSum sum = sum_of_squared_differences<false>(x, y, n);
  const double rounded = sum.total + sum.rest;
  if (rounded < 0x1p-900) {
    return rounded_down_by_1000_bits(sum_of_squared_differences<true>(x, y, n));
  }
  return std::isnan(rounded) ? HUGE_VAL : rounded;  // an overflow makes inf - inf on the way
}

}  // namespace fastgan::FASTGAN_LEVEL
