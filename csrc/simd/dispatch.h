// How one kernel body becomes one function for each SIMD level, and how a caller picks among them.
//
// An operation declares its kernels once, for every level, in its header:
//
//     FASTGAN_DECLARE_KERNEL(void, scale_rows, (float* data, std::size_t n, float factor))
//
// defines them in a file named *.kernel.cpp, which is compiled once for each level, inside
//
//     namespace fastgan::FASTGAN_LEVEL { void scale_rows(...) {...} }
//
// and calls them from level-independent code through
//
//     FASTGAN_DISPATCH(scale_rows)(data, n, factor);
#pragma once

#include "simd/level.h"

#ifdef FASTGAN_X86_LEVELS  // defined by CMake where the three x86 levels are compiled
#define FASTGAN_DECLARE_KERNEL(result, name, arguments) \
  namespace portable {                                  \
  result name arguments;                                \
  }                                                     \
  namespace avx2 {                                      \
  result name arguments;                                \
  }                                                     \
  namespace avx512 {                                    \
  result name arguments;                                \
  }                                                     \
  namespace avx512_vnni {                               \
  result name arguments;                                \
  }
#define FASTGAN_DISPATCH(name)                                                                \
  (::fastgan::active_level() == ::fastgan::Level::avx512_vnni ? &::fastgan::avx512_vnni::name \
   : ::fastgan::active_level() == ::fastgan::Level::avx512    ? &::fastgan::avx512::name      \
   : ::fastgan::active_level() == ::fastgan::Level::avx2      ? &::fastgan::avx2::name        \
                                                              : &::fastgan::portable::name)
#else
#define FASTGAN_DECLARE_KERNEL(result, name, arguments) \
  namespace portable {                                  \
  result name arguments;                                \
  }
#define FASTGAN_DISPATCH(name) (&::fastgan::portable::name)
#endif
