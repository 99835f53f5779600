// Numbers below the normal range taken for zero, for as long as an object of this class lives in a
// thread. The velocity of a weight whose unit stays silent shrinks by the momentum at each step and
// then stays below 1e-38 for good, where every operation takes a hundred cycles: a step of a
// trained network would take half as long again. What is lost is below 1e-38 (1e-308 in double
// precision).
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace fastgan {

class FlushDenormals {
 public:
#if defined(__x86_64__) || defined(_M_X64)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
#else
  FlushDenormals() = default;  // other processors are left as they are
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__x86_64__) || defined(_M_X64)
  static constexpr unsigned kFlushToZero = 0x8000u, kDenormalsAreZero = 0x0040u;
  unsigned saved_;
#endif
};

}  // namespace fastgan
