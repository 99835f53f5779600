// Philox 4x32-10: words as a function of (seed, step, stream, element). Key = (seed low, seed
// high), counter = (block low, block high, step, stream); element e takes word e % 4 of block e
// / 4. Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
//
// The first half is for every file; the second half, the generator, is for kernel files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastgan {

// Which numbers are drawn.
struct PhiloxDraw {
  std::uint64_t seed;
  std::uint32_t step;
  std::uint32_t stream;
};

inline constexpr std::uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
inline constexpr std::uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
inline constexpr std::uint32_t kPhiloxWeyl0 = 0x9E3779B9u;  // the golden ratio
inline constexpr std::uint32_t kPhiloxWeyl1 = 0xBB67AE85u;  // sqrt(3) - 1
inline constexpr int kPhiloxRounds = 10;

}  // namespace fastgan

#ifdef FASTGAN_LEVEL

#include <algorithm>

#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {

// The keys of the ten rounds, each held in 64 bits as the vector registers want them.
struct PhiloxKeys {
  std::uint64_t of_round[kPhiloxRounds][2];

  explicit PhiloxKeys(std::uint64_t seed) {
    std::uint32_t k0 = static_cast<std::uint32_t>(seed);
    std::uint32_t k1 = static_cast<std::uint32_t>(seed >> 32);
    for (auto& key : of_round) {
      key[0] = k0;
      key[1] = k1;
      k0 += kPhiloxWeyl0;
      k1 += kPhiloxWeyl1;
    }
  }
};

// Blocks that are made together: each lane holds one block, four registers hold its four words as
// the low halves of 64 bits. The multiplication reads low halves only, so what is left in the high
// halves needs no clearing until the words are stored. kSets such groups are interleaved, as one
// round is a chain of 7 to 8 cycles of which the units are busy for 3.
#if defined(FASTGAN_VECTOR_512)

struct PhiloxLanes {
  static constexpr std::size_t width = 8;
  static constexpr std::size_t sets = 4;
  using Register = __m512i;

  static FASTGAN_INLINE Register broadcast(std::uint64_t x) {
    return _mm512_set1_epi64(static_cast<long long>(x));
  }
  static FASTGAN_INLINE Register count_from(std::uint64_t first) {
    return _mm512_add_epi64(broadcast(first), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  }
  static FASTGAN_INLINE Register multiply(Register a, Register b) { return _mm512_mul_epu32(a, b); }
  static FASTGAN_INLINE Register high(Register a) { return _mm512_srli_epi64(a, 32); }
  static FASTGAN_INLINE Register exclusive_or(Register a, Register b, Register c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
  }
  static FASTGAN_INLINE void store(const Register (&c)[4], std::uint32_t* out) {
    const Register w01 = _mm512_mask_shuffle_epi32(c[0], 0xAAAA, c[1], _MM_PERM_CCAA);
    const Register w23 = _mm512_mask_shuffle_epi32(c[2], 0xAAAA, c[3], _MM_PERM_CCAA);
    const Register low = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
    const Register up = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi64(w01, low, w23));
    _mm512_storeu_si512(out + 16, _mm512_permutex2var_epi64(w01, up, w23));
  }
};

#elif defined(FASTGAN_VECTOR_256)

struct PhiloxLanes {
  static constexpr std::size_t width = 4;
  static constexpr std::size_t sets = 2;
  using Register = __m256i;

  static FASTGAN_INLINE Register broadcast(std::uint64_t x) {
    return _mm256_set1_epi64x(static_cast<long long>(x));
  }
  static FASTGAN_INLINE Register count_from(std::uint64_t first) {
    return _mm256_add_epi64(broadcast(first), _mm256_set_epi64x(3, 2, 1, 0));
  }
  static FASTGAN_INLINE Register multiply(Register a, Register b) { return _mm256_mul_epu32(a, b); }
  static FASTGAN_INLINE Register high(Register a) { return _mm256_srli_epi64(a, 32); }
  static FASTGAN_INLINE Register exclusive_or(Register a, Register b, Register c) {
    return _mm256_xor_si256(a, _mm256_xor_si256(b, c));
  }
  static FASTGAN_INLINE void store(const Register (&c)[4], std::uint32_t* out) {
    const Register w01 = _mm256_blend_epi32(c[0], _mm256_slli_epi64(c[1], 32), 0xAA);
    const Register w23 = _mm256_blend_epi32(c[2], _mm256_slli_epi64(c[3], 32), 0xAA);
    const Register even = _mm256_unpacklo_epi64(w01, w23);  // blocks 0 and 2
    const Register odd = _mm256_unpackhi_epi64(w01, w23);   // blocks 1 and 3
    auto* to = reinterpret_cast<Register*>(out);
    _mm256_storeu_si256(to, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(even, odd, 0x31));
  }
};

#else

struct PhiloxLanes {
  static constexpr std::size_t width = 1;
  static constexpr std::size_t sets = 4;
  using Register = std::uint64_t;

  static FASTGAN_INLINE Register broadcast(std::uint64_t x) { return x; }
  static FASTGAN_INLINE Register count_from(std::uint64_t first) { return first; }
  static FASTGAN_INLINE Register multiply(Register a, Register b) {
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
  }
  static FASTGAN_INLINE Register high(Register a) { return a >> 32; }
  static FASTGAN_INLINE Register exclusive_or(Register a, Register b, Register c) {
    return a ^ b ^ c;
  }
  static FASTGAN_INLINE void store(const Register (&c)[4], std::uint32_t* out) {
    for (int word = 0; word < 4; ++word) out[word] = static_cast<std::uint32_t>(c[word]);
  }
};

#endif

// Blocks are made this many at a time: buffers have room for a multiple of it.
inline constexpr std::size_t kPhiloxGroup = PhiloxLanes::width * PhiloxLanes::sets;

// Writes the words of n_blocks blocks, a multiple of kPhiloxGroup.
inline void philox_blocks(const PhiloxKeys& keys, const PhiloxDraw& draw, std::uint64_t first_block,
                          std::size_t n_blocks, std::uint32_t* out) {
  using Lanes = PhiloxLanes;
  using Register = Lanes::Register;
  const Register multiplier_0 = Lanes::broadcast(kPhiloxMultiplier0);
  const Register multiplier_1 = Lanes::broadcast(kPhiloxMultiplier1);
  for (std::size_t done = 0; done < n_blocks; done += kPhiloxGroup) {
    Register c[Lanes::sets][4];
    for (std::size_t set = 0; set < Lanes::sets; ++set) {
      c[set][0] = Lanes::count_from(first_block + done + set * Lanes::width);
      c[set][1] = Lanes::high(c[set][0]);
      c[set][2] = Lanes::broadcast(draw.step);
      c[set][3] = Lanes::broadcast(draw.stream);
    }
    for (int round = 0; round < kPhiloxRounds; ++round) {
      const Register key_0 = Lanes::broadcast(keys.of_round[round][0]);
      const Register key_1 = Lanes::broadcast(keys.of_round[round][1]);
      for (std::size_t set = 0; set < Lanes::sets; ++set) {
        const Register product_0 = Lanes::multiply(c[set][0], multiplier_0);
        const Register product_1 = Lanes::multiply(c[set][2], multiplier_1);
        c[set][0] = Lanes::exclusive_or(Lanes::high(product_1), c[set][1], key_0);
        c[set][1] = product_1;
        c[set][2] = Lanes::exclusive_or(Lanes::high(product_0), c[set][3], key_1);
        c[set][3] = product_0;
      }
    }
    for (std::size_t set = 0; set < Lanes::sets; ++set) {
      Lanes::store(c[set], out + 4 * (done + set * Lanes::width));
    }
  }
}

// Words that are made at a time: 8 KiB, which stay in the first-level cache until they are used.
inline constexpr std::size_t kPhiloxBuffer = 2048;

// Calls body(done, n, words) for consecutive parts of the elements [first, first + n_elements),
// with the words of elements first + done to first + done + n - 1. Parts start at a multiple of
// four elements (except the first), so pairs of elements are never parted when first is even.
template <class Body>
FASTGAN_INLINE void for_philox_words(const PhiloxDraw& draw, std::uint64_t first,
                                     std::size_t n_elements, const Body& body) {
  alignas(64) std::uint32_t words[kPhiloxBuffer];
  const PhiloxKeys keys(draw.seed);
  for (std::size_t done = 0; done < n_elements;) {
    const std::uint64_t element = first + done;
    const std::size_t skip = static_cast<std::size_t>(element % 4);
    const std::size_t n = std::min(n_elements - done, kPhiloxBuffer - skip);
    const std::size_t n_blocks = (skip + n + 3) / 4;
    const std::size_t n_groups = (n_blocks + kPhiloxGroup - 1) / kPhiloxGroup;
    philox_blocks(keys, draw, element / 4, n_groups * kPhiloxGroup, words);
    body(done, n, static_cast<const std::uint32_t*>(words + skip));
    done += n;
  }
}

}  // namespace fastgan::FASTGAN_LEVEL

#endif  // FASTGAN_LEVEL
