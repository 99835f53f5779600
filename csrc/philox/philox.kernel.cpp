#include "philox/philox.h"

#include <bit>
#include <cmath>

namespace fastgan::FASTGAN_LEVEL {
namespace {

template <class T>
void uniform(const PhiloxDraw& draw, std::uint64_t first, std::size_t n_elements, T* out) {
  for_philox_words(draw, first, n_elements,
                   [out](std::size_t done, std::size_t n, const std::uint32_t* __restrict words) {
                     T* __restrict to = out + done;
                     for (std::size_t i = 0; i < n; ++i) {
                       // 24 bits: the signed conversion, which every level has, is exact
                       const auto integer = static_cast<std::int32_t>(words[i] >> 8);
                       to[i] = static_cast<T>(integer) * static_cast<T>(0x1p-24);
                     }
                   });
}

// The arithmetic below is plain IEEE double: add, multiply, divide, square root, no fused
// operation. So the bits are the same at every level, vectorised or not. The series are Taylor's,
// cut where the next term is below 2^-55 of the sum.

// ln(k * 2^-24) for k in [1, 2^24]: k = m 2^e with m in [sqrt(1/2), sqrt(2)), then
// ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.1716.
FASTGAN_INLINE double log_of_24_bits(std::int32_t k) {
  constexpr std::uint64_t kSqrtHalf = 0x3FE6A09E667F3BCDu;
  constexpr std::uint64_t kOne = 0x3FF0000000000000u;
  constexpr std::uint64_t kTwo52 = 0x4330000000000000u;  // 2^52: its last bits hold an integer
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(k)) + (kOne - kSqrtHalf);
  const double e = std::bit_cast<double>(bits >> 52 | kTwo52) - (0x1p52 + 1023.0 + 24.0);
  const double m = std::bit_cast<double>((bits & 0x000FFFFFFFFFFFFFu) + kSqrtHalf);
  const double s = (m - 1.0) / (m + 1.0);
  const double s2 = s * s;
  double series = 1.0 / 21.0;
  series = series * s2 + 1.0 / 19.0;
  series = series * s2 + 1.0 / 17.0;
  series = series * s2 + 1.0 / 15.0;
  series = series * s2 + 1.0 / 13.0;
  series = series * s2 + 1.0 / 11.0;
  series = series * s2 + 1.0 / 9.0;
  series = series * s2 + 1.0 / 7.0;
  series = series * s2 + 1.0 / 5.0;
  series = series * s2 + 1.0 / 3.0;
  const double twice = 2.0 * s;
  return e * 0.69314718055994530942 + (twice + twice * (series * s2));
}

FASTGAN_INLINE double sine(double x, double x2) {  // |x| <= pi / 4
  double series = 1.0 / 355687428096000.0;         // 17!
  series = series * x2 - 1.0 / 1307674368000.0;    // 15!
  series = series * x2 + 1.0 / 6227020800.0;       // 13!
  series = series * x2 - 1.0 / 39916800.0;         // 11!
  series = series * x2 + 1.0 / 362880.0;
  series = series * x2 - 1.0 / 5040.0;
  series = series * x2 + 1.0 / 120.0;
  series = series * x2 - 1.0 / 6.0;
  return x + x * (series * x2);
}

FASTGAN_INLINE double cosine(double x2) {      // |x| <= pi / 4
  double series = 1.0 / 20922789888000.0;      // 16!
  series = series * x2 - 1.0 / 87178291200.0;  // 14!
  series = series * x2 + 1.0 / 479001600.0;    // 12!
  series = series * x2 - 1.0 / 3628800.0;
  series = series * x2 + 1.0 / 40320.0;
  series = series * x2 - 1.0 / 720.0;
  series = series * x2 + 1.0 / 24.0;
  return 1.0 - (0.5 * x2 - (x2 * x2) * series);
}

// Both numbers of each pair of words.
FASTGAN_INLINE void box_muller(const std::uint32_t* __restrict words, std::size_t n_pairs,
                               double* __restrict out) {
  for (std::size_t pair = 0; pair < n_pairs; ++pair) {
    const double radius =
        std::sqrt(-2.0 * log_of_24_bits(static_cast<std::int32_t>(words[2 * pair] >> 8) + 1));
    // A turn is 2^24; the nearest quarter is taken off exactly before 2 pi is multiplied in.
    const auto turn = static_cast<std::int32_t>(words[2 * pair + 1] >> 8);
    const std::int32_t quarter = (turn + (1 << 21)) >> 22;
    const double x =
        static_cast<double>(turn - quarter * (1 << 22)) * (6.28318530717958647693 * 0x1p-24);
    const double x2 = x * x;
    const double s = sine(x, x2), c = cosine(x2);
    const bool odd = (quarter & 1) != 0;
    const double cosine_sign = static_cast<double>(1 - ((quarter + 1) & 2));
    const double sine_sign = static_cast<double>(1 - (quarter & 2));
    out[2 * pair] = radius * ((odd ? s : c) * cosine_sign);
    out[2 * pair + 1] = radius * ((odd ? c : s) * sine_sign);
  }
}

template <class T>
void normal(const PhiloxDraw& draw, std::uint64_t first, std::size_t n_elements, T* out) {
  const std::size_t skip = static_cast<std::size_t>(first % 2);
  const std::size_t n_whole = n_elements + skip + (n_elements + skip) % 2;  // whole pairs
  for_philox_words(draw, first - skip, n_whole,
                   [&](std::size_t done, std::size_t n, const std::uint32_t* words) {
                     alignas(64) double both[kPhiloxBuffer];
                     box_muller(words, n / 2, both);
                     const std::size_t begin = done == 0 ? skip : 0;
                     const std::size_t end = std::min(n, n_elements + skip - done);
                     for (std::size_t i = begin; i < end; ++i) {
                       out[done + i - skip] = static_cast<T>(both[i]);
                     }
                   });
}

}  // namespace

void philox_words(const PhiloxDraw& draw, std::uint64_t first, std::size_t n_elements,
                  std::uint32_t* out) {
  for_philox_words(draw, first, n_elements,
                   [out](std::size_t done, std::size_t n, const std::uint32_t* words) {
                     std::copy(words, words + n, out + done);
                   });
}

void philox_block(const PhiloxDraw& draw, std::uint64_t block, std::uint32_t* out) {
  std::uint32_t words[4 * kPhiloxGroup];
  philox_blocks(PhiloxKeys(draw.seed), draw, block, kPhiloxGroup, words);
  std::copy(words, words + 4, out);
}

void philox_uniform_float(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, float* out) {
  uniform(draw, first, n, out);
}

void philox_uniform_double(const PhiloxDraw& draw, std::uint64_t first, std::size_t n,
                           double* out) {
  uniform(draw, first, n, out);
}

void philox_normal_float(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, float* out) {
  normal(draw, first, n, out);
}

void philox_normal_double(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, double* out) {
  normal(draw, first, n, out);
}

}  // namespace fastgan::FASTGAN_LEVEL
