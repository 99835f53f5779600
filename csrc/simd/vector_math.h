// What is computed of a register as a whole: sums and minima over its lanes, the exponential.
#pragma once

#include "simd/vector.h"

namespace fastgan::FASTGAN_LEVEL {

template <class T>
FASTGAN_INLINE T reduce_add(Vector<T> a) {
  T lanes[Vector<T>::width];
  a.store(lanes);
  for (std::size_t half = Vector<T>::width / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// The sums of four registers' lanes, side by side in out.
template <class T>
FASTGAN_INLINE void reduce_add_4(Vector<T> a, Vector<T> b, Vector<T> c, Vector<T> d, T* out) {
  out[0] = reduce_add(a);
  out[1] = reduce_add(b);
  out[2] = reduce_add(c);
  out[3] = reduce_add(d);
}
#if defined(FASTGAN_VECTOR_512)
FASTGAN_INLINE void reduce_add_4(Vector<float> a, Vector<float> b, Vector<float> c, Vector<float> d,
                                 float* out) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  const __m512d ab_pairs = _mm512_castps_pd(ab), cd_pairs = _mm512_castps_pd(cd);
  const __m512 abcd = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab_pairs, cd_pairs)),
                                    _mm512_castpd_ps(_mm512_unpackhi_pd(ab_pairs, cd_pairs)));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#elif defined(FASTGAN_VECTOR_256)
FASTGAN_INLINE void reduce_add_4(Vector<float> a, Vector<float> b, Vector<float> c, Vector<float> d,
                                 float* out) {
  const __m256 half = _mm256_hadd_ps(_mm256_hadd_ps(a.v, b.v), _mm256_hadd_ps(c.v, d.v));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#endif

template <class T>
FASTGAN_INLINE T reduce_min(Vector<T> a) {
  T lanes[Vector<T>::width];
  a.store(lanes);
  for (std::size_t half = Vector<T>::width / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] = std::min(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

// exp(x) for x <= 0: Cody and Waite's reduction by ln 2, then a Taylor polynomial. Below -87
// (float) or -708 (double) the result stays at exp of that, 1.6e-38 or 3.3e-308.
FASTGAN_INLINE Vector<float> exp_nonpositive(Vector<float> x) {
  using V = Vector<float>;
  x = maximum(x, V::broadcast(-87.0f));
  const V n = round_nearest(x * V::broadcast(1.44269504f));
  V r = multiply_add(n, V::broadcast(-0.693359375f), x);
  r = multiply_add(n, V::broadcast(2.12194440e-4f), r);
  V p = V::broadcast(1.0f / 5040.0f);  // |r| <= .347: the next term is below 2^-24 / 10
  p = multiply_add(p, r, V::broadcast(1.0f / 720.0f));
  p = multiply_add(p, r, V::broadcast(1.0f / 120.0f));
  p = multiply_add(p, r, V::broadcast(1.0f / 24.0f));
  p = multiply_add(p, r, V::broadcast(1.0f / 6.0f));
  p = multiply_add(p, r, V::broadcast(0.5f));
  p = multiply_add(p, r, V::broadcast(1.0f));
  p = multiply_add(p, r, V::broadcast(1.0f));
  return scale_by_power_of_two(p, n);
}

FASTGAN_INLINE Vector<double> exp_nonpositive(Vector<double> x) {
  using V = Vector<double>;
  x = maximum(x, V::broadcast(-708.0));
  const V n = round_nearest(x * V::broadcast(1.4426950408889634));
  V r = multiply_add(n, V::broadcast(-6.93145751953125e-1), x);
  r = multiply_add(n, V::broadcast(-1.42860682030941723212e-6), r);
  V p = V::broadcast(1.0 / 6227020800.0);  // 1/13!; the next term is below 2^-60
  p = multiply_add(p, r, V::broadcast(1.0 / 479001600.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 39916800.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 3628800.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 362880.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 40320.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 5040.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 720.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 120.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 24.0));
  p = multiply_add(p, r, V::broadcast(1.0 / 6.0));
  p = multiply_add(p, r, V::broadcast(0.5));
  p = multiply_add(p, r, V::broadcast(1.0));
  p = multiply_add(p, r, V::broadcast(1.0));
  return scale_by_power_of_two(p, n);
}

}  // namespace fastgan::FASTGAN_LEVEL
