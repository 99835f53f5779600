// The dropout mask as a function of position; shared by dropout and by maxout_linear, which masks
// its values where it makes them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "common/philox.h"

namespace fastgan {

struct DropoutMask {
  PhiloxDraw draw;
  std::uint64_t threshold;  // an element is kept if its word is below; 2^32 keeps all
  double scale;             // of what is kept: 1 / include_probability
};

inline constexpr std::uint64_t kKeepAll = std::uint64_t{1} << 32;

inline DropoutMask dropout_mask(const PhiloxDraw& draw, double include_probability) {
  // The product is exact; nearbyint rounds halves to even, as Python's round() does.
  return {draw, static_cast<std::uint64_t>(std::nearbyint(include_probability * 0x1p32)),
          1.0 / include_probability};
}

}  // namespace fastgan

#ifdef FASTGAN_LEVEL

namespace fastgan::FASTGAN_LEVEL {

// output[i] = kept(first + i) ? input[i] * scale : 0. The two may be the same array.
template <class T>
void drop(const DropoutMask& mask, std::uint64_t first, std::size_t n_elements, const T* input,
          T* output) {
  const T scale = static_cast<T>(mask.scale);
  if (mask.threshold == 0) {
    std::fill_n(output, n_elements, T{0});
    return;
  }
  // word < threshold, where the threshold may be 2^32: word <= threshold - 1, both with the highest
  // bit turned over, as only signed comparisons exist at every level.
  constexpr std::uint32_t kHighest = 0x80000000u;
  const auto last_kept =
      static_cast<std::int32_t>(static_cast<std::uint32_t>(mask.threshold - 1) ^ kHighest);
  for_philox_words(mask.draw, first, n_elements,
                   [=](std::size_t done, std::size_t n, const std::uint32_t* __restrict words) {
                     const T* from = input + done;
                     T* to = output + done;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep  // from and to are the same array or apart
#elif defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#endif
                     for (std::size_t i = 0; i < n; ++i) {
                       const T kept = from[i] * scale;
                       to[i] = static_cast<std::int32_t>(words[i] ^ kHighest) <= last_kept ? kept
                                                                                           : T{0};
                     }
                   });
}

}  // namespace fastgan::FASTGAN_LEVEL

#endif  // FASTGAN_LEVEL
