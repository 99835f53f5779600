// The coarse bound of a strip of queries against panels of samples.
//
// With a_x, a_s the coarse sketches, h_s = floor(|a_s|^2 / 2) and u_s = a_s + 128,
//
//     score(x, s) = u_s . a_x - h_s = a_x . a_s + 128 sum(a_x) - h_s
//
// an integer that grows as |a_x - a_s|^2 = |a_x|^2 + |a_s|^2 - 2 a_x . a_s falls. Scores stay below
// 2^24, so that float32 holds them exactly: the VNNI level multiplies bytes, four to a lane, the
// others multiply the same numbers as floats, and all see the same integers.
#pragma once

#include "distances/tile.h"
#include "index/sketch.h"
#include "simd/vector_math.h"

namespace fastgan::FASTGAN_LEVEL {

inline constexpr std::size_t kTileRows = 2048;  // samples: their sketches stay in the cache
inline constexpr std::size_t kTilePanels = kTileRows / kPanelRows + 1;  // a tile may start anywhere

// One row of bits for each query of a strip, one word for each panel.
using StripBits = std::uint32_t (*)[kTilePanels + 1];

#if defined(FASTGAN_LEVEL_avx512_vnni)

// Four products of an unsigned and a signed byte, added to each lane. The intrinsic says the same,
// but gcc 12 copies the accumulators of a loop full of it from register to register.
FASTGAN_INLINE void add_products(__m512i& sum, __m512i columns, __m512i word) {
#if defined(__GNUC__) || defined(__clang__)
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(columns), "v"(word));
#else
  sum = _mm512_dpbusd_epi32(sum, columns, word);
#endif
}

class CoarseTile {
 public:
  void load(const Sketches& samples, std::size_t first_panel, std::size_t n_panels) {
    panels_ = samples.coarse_panels + first_panel * kPanelRows * kCoarse;
    for (std::size_t i = 0; i < n_panels * kPanelRows; ++i) {
      const std::size_t row = first_panel * kPanelRows + i;
      minus_half_norms_[i] = row < samples.n_rows ? -(samples.coarse_norms[row] >> 1) : 0;
    }
  }

  class Strip {
   public:
    void load(const Sketches& queries, std::size_t first, std::size_t n) {
      for (std::size_t group = 0; group < kCoarse / 4; ++group) {
        for (std::size_t row = 0; row < kStrip; ++row) {
          const std::size_t from = first + std::min(row, n - 1);
          std::memcpy(&words_[group * kStrip + row],
                      queries.coarse_rows + from * kCoarse + group * 4, 4);
        }
      }
    }
    const std::int32_t* words() const { return words_; }

   private:
    alignas(64) std::int32_t words_[kCoarse / 4 * kStrip];
  };

  // bits[row][panel] has bit i set where the score of row i of the panel is at least
  // least_scores[row].
  void compare(const Strip& strip, std::size_t n_panels, const std::int32_t* least_scores,
               StripBits bits) const {
    for (std::size_t panel = 0; panel < n_panels; ++panel) {
      alignas(64) std::int32_t sums[kStrip][kPanelRows];
      multiply(strip, panel, sums);
      for (std::size_t row = 0; row < kStrip; ++row) {
        const __m512i least = _mm512_set1_epi32(least_scores[row]);
        const std::uint32_t low = _mm512_cmpge_epi32_mask(_mm512_load_si512(sums[row]), least);
        const std::uint32_t high =
            _mm512_cmpge_epi32_mask(_mm512_load_si512(sums[row] + 16), least);
        bits[row][panel] = low | high << 16;
      }
    }
  }

  // scores[row * stride + i], i over the rows of all panels.
  void scores(const Strip& strip, std::size_t n_panels, float* out, std::size_t stride) const {
    for (std::size_t panel = 0; panel < n_panels; ++panel) {
      alignas(64) std::int32_t sums[kStrip][kPanelRows];
      multiply(strip, panel, sums);
      for (std::size_t row = 0; row < kStrip; ++row) {
        float* to = out + row * stride + panel * kPanelRows;
        for (std::size_t i = 0; i < kPanelRows; ++i) to[i] = static_cast<float>(sums[row][i]);
      }
    }
  }

 private:
  // Row by row in so many words: in a loop over an array of sums gcc 12 leaves them in memory.
  FASTGAN_NOINLINE void multiply(const Strip& strip, std::size_t panel,
                                 std::int32_t (*sums)[kPanelRows]) const {
    static_assert(kStrip == 12);
    const std::uint8_t* columns = panels_ + panel * kPanelRows * kCoarse;
    const std::int32_t* words = strip.words();
    const __m512i start0 = _mm512_load_si512(minus_half_norms_ + panel * kPanelRows);
    const __m512i start1 = _mm512_load_si512(minus_half_norms_ + panel * kPanelRows + 16);
#define FASTGAN_ROWS(of) of(0) of(1) of(2) of(3) of(4) of(5) of(6) of(7) of(8) of(9) of(10) of(11)
#define FASTGAN_START(row) __m512i low##row = start0, high##row = start1;
#define FASTGAN_ADD(row)                                \
  {                                                     \
    const __m512i word = _mm512_set1_epi32(words[row]); \
    add_products(low##row, column0, word);              \
    add_products(high##row, column1, word);             \
  }
#define FASTGAN_STORE(row)                 \
  _mm512_store_si512(sums[row], low##row); \
  _mm512_store_si512(sums[row] + 16, high##row);
    FASTGAN_ROWS(FASTGAN_START)
    for (std::size_t group = 0; group < kCoarse / 4; ++group) {
      const __m512i column0 = _mm512_loadu_si512(columns);
      const __m512i column1 = _mm512_loadu_si512(columns + 64);
      FASTGAN_ROWS(FASTGAN_ADD)
      columns += kPanelRows * 4;
      words += kStrip;
    }
    FASTGAN_ROWS(FASTGAN_STORE)
#undef FASTGAN_ROWS
#undef FASTGAN_START
#undef FASTGAN_ADD
#undef FASTGAN_STORE
  }

  const std::uint8_t* panels_ = nullptr;
  alignas(64) std::int32_t minus_half_norms_[kTilePanels * kPanelRows];
};

#else

class CoarseTile {
 public:
  CoarseTile() : panels_(kTilePanels * kPanelRows * kCoarse) {}

  void load(const Sketches& samples, std::size_t first_panel, std::size_t n_panels) {
    for (std::size_t i = 0; i < n_panels * kPanelRows; ++i) {
      const std::size_t row = first_panel * kPanelRows + i;
      minus_half_norms_[i] =
          row < samples.n_rows ? static_cast<float>(-(samples.coarse_norms[row] >> 1)) : 0.0f;
    }
    // From [panel][group][row][4] bytes to [panel][coordinate][row] floats.
    const std::uint8_t* from = samples.coarse_panels + first_panel * kPanelRows * kCoarse;
    for (std::size_t group = 0; group < n_panels * kCoarse / 4; ++group) {
      for (std::size_t i = 0; i < 4; ++i) {
        float* to = panels_.get() + (4 * group + i) * kPanelRows;
        for (std::size_t row = 0; row < kPanelRows; ++row) {
          to[row] = static_cast<float>(from[(group * kPanelRows + row) * 4 + i]);
        }
      }
    }
  }

  class Strip {
   public:
    void load(const Sketches& queries, std::size_t first, std::size_t n) {
      for (std::size_t row = 0; row < kStrip; ++row) {
        const std::int8_t* from = queries.coarse_rows + (first + std::min(row, n - 1)) * kCoarse;
        for (std::size_t i = 0; i < kCoarse; ++i) {
          numbers_[i * kStrip + row] = static_cast<float>(from[i]);
        }
      }
    }
    const float* numbers() const { return numbers_; }

   private:
    float numbers_[kCoarse * kStrip];
  };

  FASTGAN_NOINLINE void compare(const Strip& strip, std::size_t n_panels,
                                const std::int32_t* least_scores, StripBits bits) const {
    for (std::size_t panel = 0; panel < n_panels; ++panel) {
      std::uint32_t words[kStrip] = {};
      for (std::size_t lane = 0; lane < kPanelRows; lane += kLanes) {
        const Sums sums = multiply(strip, panel, lane);
        for (std::size_t row = 0; row < kStrip; ++row) {
          // Scores are integers below 2^24: rounding a limit outside of that range changes nothing.
          const V least = V::broadcast(static_cast<float>(least_scores[row]));
          const std::uint32_t both =
              less_equal(least, sums.low[row]) | less_equal(least, sums.high[row]) << V::width;
          words[row] |= both << lane;
        }
      }
      for (std::size_t row = 0; row < kStrip; ++row) bits[row][panel] = words[row];
    }
  }

  FASTGAN_NOINLINE void scores(const Strip& strip, std::size_t n_panels, float* out,
                               std::size_t stride) const {
    for (std::size_t panel = 0; panel < n_panels; ++panel) {
      for (std::size_t lane = 0; lane < kPanelRows; lane += kLanes) {
        const Sums sums = multiply(strip, panel, lane);
        for (std::size_t row = 0; row < kStrip; ++row) {
          float* to = out + row * stride + panel * kPanelRows + lane;
          sums.low[row].store(to);
          sums.high[row].store(to + V::width);
        }
      }
    }
  }

 private:
  using V = Vector<float>;
  static constexpr std::size_t kLanes = 2 * V::width;
  struct Sums {
    V low[kStrip], high[kStrip];
  };

  FASTGAN_INLINE Sums multiply(const Strip& strip, std::size_t panel, std::size_t lane) const {
    Sums sums;
    const float* start = minus_half_norms_ + panel * kPanelRows + lane;
    for (std::size_t row = 0; row < kStrip; ++row) {
      sums.low[row] = V::load(start);
      sums.high[row] = V::load(start + V::width);
    }
    const float* columns = panels_.get() + panel * kPanelRows * kCoarse + lane;
    for (std::size_t i = 0; i < kCoarse; ++i) {
      const V column0 = V::load(columns + i * kPanelRows);
      const V column1 = V::load(columns + i * kPanelRows + V::width);
      for (std::size_t row = 0; row < kStrip; ++row) {
        const V number = V::broadcast(strip.numbers()[i * kStrip + row]);
        sums.low[row] = multiply_add(number, column0, sums.low[row]);
        sums.high[row] = multiply_add(number, column1, sums.high[row]);
      }
    }
    return sums;
  }

  Buffer<float> panels_;
  float minus_half_norms_[kTilePanels * kPanelRows];
};

#endif

// The squared distance of two fine sketches, in steps: below 2^30, as their norms are at most
// kFineMost.
inline std::int32_t fine_distance(const std::int16_t* x, const std::int16_t* y, std::size_t n) {
#if defined(FASTGAN_VECTOR_512)
  __m512i sum = _mm512_setzero_si512(), other = sum;
  const auto squares = [&](std::size_t i) {
    const __m512i difference =
        _mm512_sub_epi16(_mm512_loadu_si512(x + i), _mm512_loadu_si512(y + i));
    return _mm512_madd_epi16(difference, difference);
  };
  std::size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    sum = _mm512_add_epi32(sum, squares(i));
    other = _mm512_add_epi32(other, squares(i + 32));
  }
  if (i < n) sum = _mm512_add_epi32(sum, squares(i));
  return _mm512_reduce_add_epi32(_mm512_add_epi32(sum, other));
#elif defined(FASTGAN_VECTOR_256)
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t i = 0; i < n; i += 16) {
    const __m256i difference =
        _mm256_sub_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)),
                         _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y + i)));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(difference, difference));
  }
  std::int32_t lanes[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sum);
  for (std::size_t half = 4; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
#else
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int32_t difference = static_cast<std::int32_t>(x[i]) - y[i];
    sum += difference * difference;
  }
  return sum;
#endif
}

}  // namespace fastgan::FASTGAN_LEVEL
