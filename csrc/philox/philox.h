// Random numbers from Philox words: words, uniform and normal numbers, permutations. Elements are
// numbered from the first of the whole batch, so any part can be drawn alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/philox.h"
#include "simd/dispatch.h"

namespace fastgan {

// out[i] = the word of element first + i.
void philox_words(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, std::uint32_t* out,
                  std::size_t n_threads);

// The four words of one block, whichever of the 2^64.
void philox_block(const PhiloxDraw& draw, std::uint64_t block, std::uint32_t* out);

// out[i] = (word >> 8) * 2^-24, in [0, 1).
template <class T>
void philox_uniform(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, T* out,
                    std::size_t n_threads);

// Box and Muller: elements 2p and 2p + 1 are r cos(2 pi u2) and r sin(2 pi u2), r = sqrt(-2 ln u1),
// u1 = ((word[2p] >> 8) + 1) * 2^-24, u2 = (word[2p + 1] >> 8) * 2^-24.
template <class T>
void philox_normal(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, T* out,
                   std::size_t n_threads);

// The stable ascending order of n unsigned 64-bit keys: word 2i is the low half of key i, word
// 2i + 1 the high half.
void philox_permutation(const PhiloxDraw& draw, std::size_t n, std::int64_t* out,
                        std::size_t n_threads);

FASTGAN_DECLARE_KERNEL(void, philox_words,
                       (const PhiloxDraw& draw, std::uint64_t first, std::size_t n,
                        std::uint32_t* out))
FASTGAN_DECLARE_KERNEL(void, philox_block,
                       (const PhiloxDraw& draw, std::uint64_t block, std::uint32_t* out))
FASTGAN_DECLARE_KERNEL(void, philox_uniform_float,
                       (const PhiloxDraw& draw, std::uint64_t first, std::size_t n, float* out))
FASTGAN_DECLARE_KERNEL(void, philox_uniform_double,
                       (const PhiloxDraw& draw, std::uint64_t first, std::size_t n, double* out))
FASTGAN_DECLARE_KERNEL(void, philox_normal_float,
                       (const PhiloxDraw& draw, std::uint64_t first, std::size_t n, float* out))
FASTGAN_DECLARE_KERNEL(void, philox_normal_double,
                       (const PhiloxDraw& draw, std::uint64_t first, std::size_t n, double* out))

}  // namespace fastgan
