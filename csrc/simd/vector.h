// One register of numbers, for whichever level this file is compiled for. Only what the kernels
// need; every operation rounds as IEEE says (no contraction, no reassociation), so what a kernel
// promises about rounding holds at every level.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#if defined(FASTGAN_LEVEL_avx2) || defined(FASTGAN_LEVEL_avx512) || \
    defined(FASTGAN_LEVEL_avx512_vnni)
#include <immintrin.h>
#endif

#if defined(FASTGAN_LEVEL_avx512) || defined(FASTGAN_LEVEL_avx512_vnni)
#define FASTGAN_VECTOR_512 1
#elif defined(FASTGAN_LEVEL_avx2)
#define FASTGAN_VECTOR_256 1
#endif

#if defined(_MSC_VER)
#define FASTGAN_INLINE __forceinline
#define FASTGAN_NOINLINE __declspec(noinline)
#else
#define FASTGAN_INLINE inline __attribute__((always_inline))
#define FASTGAN_NOINLINE __attribute__((noinline))  // where a loop wants all registers to itself
#endif

namespace fastgan::FASTGAN_LEVEL {

// Asks for n_bytes from an address on, which will be read soon; a hint, of no other effect.
FASTGAN_INLINE void prefetch(const void* address, std::size_t n_bytes) {
#if defined(__GNUC__) || defined(__clang__)
  for (std::size_t at = 0; at < n_bytes; at += 64) {
    __builtin_prefetch(static_cast<const char*>(address) + at);
  }
#else
  (void)address, (void)n_bytes;
#endif
}

// The same for what will be read later: it is brought no nearer than the second-level cache.
FASTGAN_INLINE void prefetch_far(const void* address, std::size_t n_bytes) {
#if defined(__GNUC__) || defined(__clang__)
  for (std::size_t at = 0; at < n_bytes; at += 64) {
    __builtin_prefetch(static_cast<const char*>(address) + at, 0, 2);
  }
#else
  (void)address, (void)n_bytes;
#endif
}

// load_first and store_first touch the first n numbers alone (n below the width); the lanes beyond
// are zero.
template <class T>
struct Vector;

#if defined(FASTGAN_VECTOR_512)

template <>
struct Vector<float> {
  static constexpr std::size_t width = 16;
  __m512 v;
  static FASTGAN_INLINE Vector load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static FASTGAN_INLINE Vector broadcast(float x) { return {_mm512_set1_ps(x)}; }
  FASTGAN_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  static FASTGAN_INLINE Vector load_first(const float* p, std::size_t n) {
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
  }
  FASTGAN_INLINE void store_first(float* p, std::size_t n) const {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
  }
  friend FASTGAN_INLINE Vector operator+(Vector a, Vector b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator-(Vector a, Vector b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator*(Vector a, Vector b) { return {_mm512_mul_ps(a.v, b.v)}; }
};
FASTGAN_INLINE Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
FASTGAN_INLINE Vector<float> minimum(Vector<float> a, Vector<float> b) {
  return {_mm512_min_ps(a.v, b.v)};
}
FASTGAN_INLINE Vector<float> maximum(Vector<float> a, Vector<float> b) {
  return {_mm512_max_ps(a.v, b.v)};
}
// Bit i is set where a[i] <= b[i].
FASTGAN_INLINE std::uint32_t less_equal(Vector<float> a, Vector<float> b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ);
}
// Bit i is set where a[i] is not zero (NaN is not).
FASTGAN_INLINE std::uint32_t nonzero(Vector<float> a) {
  return _mm512_cmp_ps_mask(a.v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
}
FASTGAN_INLINE Vector<float> round_nearest(Vector<float> a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a * 2^n for integral n within the exponent's range.
FASTGAN_INLINE Vector<float> scale_by_power_of_two(Vector<float> a, Vector<float> n) {
  return {_mm512_scalef_ps(a.v, n.v)};
}

template <>
struct Vector<double> {
  static constexpr std::size_t width = 8;
  __m512d v;
  static FASTGAN_INLINE Vector load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static FASTGAN_INLINE Vector load(const float* p) {
    return {_mm512_cvtps_pd(_mm256_loadu_ps(p))};
  }
  static FASTGAN_INLINE Vector broadcast(double x) { return {_mm512_set1_pd(x)}; }
  FASTGAN_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
  static FASTGAN_INLINE Vector load_first(const double* p, std::size_t n) {
    return {_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p)};
  }
  FASTGAN_INLINE void store_first(double* p, std::size_t n) const {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
  }
  friend FASTGAN_INLINE Vector operator+(Vector a, Vector b) { return {_mm512_add_pd(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator-(Vector a, Vector b) { return {_mm512_sub_pd(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator*(Vector a, Vector b) { return {_mm512_mul_pd(a.v, b.v)}; }
};
FASTGAN_INLINE Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
  return {_mm512_fmadd_pd(a.v, b.v, c.v)};
}
FASTGAN_INLINE Vector<double> minimum(Vector<double> a, Vector<double> b) {
  return {_mm512_min_pd(a.v, b.v)};
}
FASTGAN_INLINE Vector<double> maximum(Vector<double> a, Vector<double> b) {
  return {_mm512_max_pd(a.v, b.v)};
}
FASTGAN_INLINE std::uint32_t less_equal(Vector<double> a, Vector<double> b) {
  return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ);
}
FASTGAN_INLINE std::uint32_t nonzero(Vector<double> a) {
  return _mm512_cmp_pd_mask(a.v, _mm512_setzero_pd(), _CMP_NEQ_UQ);
}
FASTGAN_INLINE Vector<double> round_nearest(Vector<double> a) {
  return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
FASTGAN_INLINE Vector<double> scale_by_power_of_two(Vector<double> a, Vector<double> n) {
  return {_mm512_scalef_pd(a.v, n.v)};
}
// The rounding error of the product p = a * a, exactly.
FASTGAN_INLINE Vector<double> square_error(Vector<double> a, Vector<double> p) {
  return {_mm512_fmsub_pd(a.v, a.v, p.v)};
}

#elif defined(FASTGAN_VECTOR_256)

template <>
struct Vector<float> {
  static constexpr std::size_t width = 8;
  __m256 v;
  static FASTGAN_INLINE Vector load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static FASTGAN_INLINE Vector broadcast(float x) { return {_mm256_set1_ps(x)}; }
  FASTGAN_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  static FASTGAN_INLINE __m256i first(std::size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static FASTGAN_INLINE Vector load_first(const float* p, std::size_t n) {
    return {_mm256_maskload_ps(p, first(n))};
  }
  FASTGAN_INLINE void store_first(float* p, std::size_t n) const {
    _mm256_maskstore_ps(p, first(n), v);
  }
  friend FASTGAN_INLINE Vector operator+(Vector a, Vector b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator-(Vector a, Vector b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator*(Vector a, Vector b) { return {_mm256_mul_ps(a.v, b.v)}; }
};
FASTGAN_INLINE Vector<float> multiply_add(Vector<float> a, Vector<float> b, Vector<float> c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
FASTGAN_INLINE Vector<float> minimum(Vector<float> a, Vector<float> b) {
  return {_mm256_min_ps(a.v, b.v)};
}
FASTGAN_INLINE Vector<float> maximum(Vector<float> a, Vector<float> b) {
  return {_mm256_max_ps(a.v, b.v)};
}
FASTGAN_INLINE std::uint32_t less_equal(Vector<float> a, Vector<float> b) {
  return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)));
}
FASTGAN_INLINE std::uint32_t nonzero(Vector<float> a) {
  return static_cast<std::uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps(a.v, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
}
FASTGAN_INLINE Vector<float> round_nearest(Vector<float> a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
FASTGAN_INLINE Vector<float> scale_by_power_of_two(Vector<float> a, Vector<float> n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)))};
}

template <>
struct Vector<double> {
  static constexpr std::size_t width = 4;
  __m256d v;
  static FASTGAN_INLINE Vector load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static FASTGAN_INLINE Vector load(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
  static FASTGAN_INLINE Vector broadcast(double x) { return {_mm256_set1_pd(x)}; }
  FASTGAN_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
  static FASTGAN_INLINE __m256i first(std::size_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)),
                              _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static FASTGAN_INLINE Vector load_first(const double* p, std::size_t n) {
    return {_mm256_maskload_pd(p, first(n))};
  }
  FASTGAN_INLINE void store_first(double* p, std::size_t n) const {
    _mm256_maskstore_pd(p, first(n), v);
  }
  friend FASTGAN_INLINE Vector operator+(Vector a, Vector b) { return {_mm256_add_pd(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator-(Vector a, Vector b) { return {_mm256_sub_pd(a.v, b.v)}; }
  friend FASTGAN_INLINE Vector operator*(Vector a, Vector b) { return {_mm256_mul_pd(a.v, b.v)}; }
};
FASTGAN_INLINE Vector<double> multiply_add(Vector<double> a, Vector<double> b, Vector<double> c) {
  return {_mm256_fmadd_pd(a.v, b.v, c.v)};
}
FASTGAN_INLINE Vector<double> minimum(Vector<double> a, Vector<double> b) {
  return {_mm256_min_pd(a.v, b.v)};
}
FASTGAN_INLINE Vector<double> maximum(Vector<double> a, Vector<double> b) {
  return {_mm256_max_pd(a.v, b.v)};
}
FASTGAN_INLINE std::uint32_t less_equal(Vector<double> a, Vector<double> b) {
  return static_cast<std::uint32_t>(_mm256_movemask_pd(_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)));
}
FASTGAN_INLINE std::uint32_t nonzero(Vector<double> a) {
  return static_cast<std::uint32_t>(
      _mm256_movemask_pd(_mm256_cmp_pd(a.v, _mm256_setzero_pd(), _CMP_NEQ_UQ)));
}
FASTGAN_INLINE Vector<double> round_nearest(Vector<double> a) {
  return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
FASTGAN_INLINE Vector<double> scale_by_power_of_two(Vector<double> a, Vector<double> n) {
  const __m256i exponent =
      _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_cvtpd_epi32(n.v)), _mm256_set1_epi64x(1023));
  return {_mm256_mul_pd(a.v, _mm256_castsi256_pd(_mm256_slli_epi64(exponent, 52)))};
}
FASTGAN_INLINE Vector<double> square_error(Vector<double> a, Vector<double> p) {
  return {_mm256_fmsub_pd(a.v, a.v, p.v)};
}

#else

// The portable level: 16 bytes, as SSE2 and NEON have them. GCC and clang are told so by their
// vector extension; other compilers get a short array and are trusted to see through it.
template <class T>
struct Vector {
  static constexpr std::size_t width = 16 / sizeof(T);
#if defined(__GNUC__) || defined(__clang__)
  typedef T Register __attribute__((vector_size(16)));
#else
  struct Register {
    T lanes[width];
    T& operator[](std::size_t i) { return lanes[i]; }
    const T& operator[](std::size_t i) const { return lanes[i]; }
    friend Register operator+(Register a, Register b) { return apply(a, b, std::plus<T>()); }
    friend Register operator-(Register a, Register b) { return apply(a, b, std::minus<T>()); }
    friend Register operator*(Register a, Register b) { return apply(a, b, std::multiplies<T>()); }
    template <class Operation>
    static Register apply(Register a, Register b, Operation operation) {
      for (std::size_t i = 0; i < width; ++i) a.lanes[i] = operation(a.lanes[i], b.lanes[i]);
      return a;
    }
  };
#endif
  Register v;
  template <class U>
  static FASTGAN_INLINE Vector load(const U* p) {
    Vector r;
    for (std::size_t i = 0; i < width; ++i) r.v[i] = static_cast<T>(p[i]);
    return r;
  }
  static FASTGAN_INLINE Vector load(const T* p) {
    Vector r;
    std::memcpy(&r.v, p, sizeof(r.v));
    return r;
  }
  static FASTGAN_INLINE Vector broadcast(T x) {
    Vector r;
    for (std::size_t i = 0; i < width; ++i) r.v[i] = x;
    return r;
  }
  FASTGAN_INLINE void store(T* p) const { std::memcpy(p, &v, sizeof(v)); }
  static FASTGAN_INLINE Vector load_first(const T* p, std::size_t n) {
    Vector r = broadcast(T{0});
    for (std::size_t i = 0; i < n; ++i) r.v[i] = p[i];
    return r;
  }
  FASTGAN_INLINE void store_first(T* p, std::size_t n) const {
    for (std::size_t i = 0; i < n; ++i) p[i] = v[i];
  }
  friend FASTGAN_INLINE Vector operator+(Vector a, Vector b) { return {a.v + b.v}; }
  friend FASTGAN_INLINE Vector operator-(Vector a, Vector b) { return {a.v - b.v}; }
  friend FASTGAN_INLINE Vector operator*(Vector a, Vector b) { return {a.v * b.v}; }
};
template <class T>
FASTGAN_INLINE Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
  return a * b + c;
}
template <class T>
FASTGAN_INLINE Vector<T> minimum(Vector<T> a, Vector<T> b) {
  for (std::size_t i = 0; i < a.width; ++i) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return a;
}
template <class T>
FASTGAN_INLINE Vector<T> maximum(Vector<T> a, Vector<T> b) {
  for (std::size_t i = 0; i < a.width; ++i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return a;
}
template <class T>
FASTGAN_INLINE std::uint32_t less_equal(Vector<T> a, Vector<T> b) {
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < a.width; ++i) {
    mask |= static_cast<std::uint32_t>(a.v[i] <= b.v[i]) << i;
  }
  return mask;
}
template <class T>
FASTGAN_INLINE std::uint32_t nonzero(Vector<T> a) {
  std::uint32_t mask = 0;
  for (std::size_t i = 0; i < a.width; ++i) mask |= static_cast<std::uint32_t>(a.v[i] != 0) << i;
  return mask;
}
// Adding and subtracting 1.5 x 2^(digits - 1) rounds to an integer, for numbers well below that.
template <class T>
FASTGAN_INLINE Vector<T> round_nearest(Vector<T> a) {
  const auto magic = Vector<T>::broadcast(sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0));
  return (a + magic) - magic;
}
template <class T>
FASTGAN_INLINE Vector<T> scale_by_power_of_two(Vector<T> a, Vector<T> n) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr int kMantissa = sizeof(T) == 4 ? 23 : 52;
  constexpr Bits kBias = sizeof(T) == 4 ? 127 : 1023;
  for (std::size_t i = 0; i < a.width; ++i) {
    const Bits exponent = (static_cast<Bits>(n.v[i]) + kBias) << kMantissa;
    a.v[i] *= std::bit_cast<T>(exponent);
  }
  return a;
}
// Dekker's product, as there is no fused multiply-add to rely on.
FASTGAN_INLINE Vector<double> square_error(Vector<double> a, Vector<double> p) {
  for (std::size_t i = 0; i < a.width; ++i) {
    const double split = 134217729.0 * a.v[i];  // 2^27 + 1
    const double high = split - (split - a.v[i]);
    const double low = a.v[i] - high;
    p.v[i] = ((high * high - p.v[i]) + 2.0 * high * low) + low * low;
  }
  return p;
}

#endif

}  // namespace fastgan::FASTGAN_LEVEL
