"""The multiplications of Philox and nothing else: no generator that makes its words can be faster.

A block of four words takes ten rounds of two products of 32 by 32 bits, so a word takes five. Here
they are made in registers, as many at once as the processor's vectors hold, in chains long enough
apart that none waits for another; no exclusive or, no key, no word is written.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.harness import NotInstalledError

PRODUCTS_A_WORD = 5
PRODUCTS_A_TURN = 64  # eight chains of eight, as one vector of 512 bits holds

SOURCE = r"""
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

// Each of 64 numbers becomes (its low half) * multiplier, n_turns times.
extern "C" void multiply(std::uint64_t n_turns, std::uint64_t multiplier, std::uint64_t* numbers) {
#if defined(__AVX512F__)
  __m512i chain[8];
  const __m512i factor = _mm512_set1_epi64(static_cast<long long>(multiplier));
  for (int i = 0; i < 8; ++i) chain[i] = _mm512_loadu_si512(numbers + 8 * i);
  for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
    for (int i = 0; i < 8; ++i) chain[i] = _mm512_mul_epu32(chain[i], factor);
  }
  for (int i = 0; i < 8; ++i) _mm512_storeu_si512(numbers + 8 * i, chain[i]);
#elif defined(__AVX2__)
  for (int half = 0; half < 2; ++half) {  // 16 vector registers: eight chains at a time
    __m256i chain[8];
    const __m256i factor = _mm256_set1_epi64x(static_cast<long long>(multiplier));
    auto* at = reinterpret_cast<__m256i*>(numbers + 32 * half);
    for (int i = 0; i < 8; ++i) chain[i] = _mm256_loadu_si256(at + i);
    for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
      for (int i = 0; i < 8; ++i) chain[i] = _mm256_mul_epu32(chain[i], factor);
    }
    for (int i = 0; i < 8; ++i) _mm256_storeu_si256(at + i, chain[i]);
  }
#else
  for (std::uint64_t turn = 0; turn < n_turns; ++turn) {
    for (int i = 0; i < 64; ++i) numbers[i] = (numbers[i] & 0xFFFFFFFFu) * multiplier;
  }
#endif
}
"""


@functools.cache
def kernel() -> Callable[[int, int, ctypes.Array[ctypes.c_uint64]], None]:
    """Compile the multiplications for this processor.

    Raises
    ------
    NotInstalledError
        If there is no C++ compiler.
    """
    compiler = shutil.which("c++")
    if compiler is None:
        raise NotInstalledError("a C++ compiler (c++)")
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "multiply.cpp", Path(folder) / "multiply.so"
        source.write_text(SOURCE, encoding="utf-8")
        options = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC"]
        subprocess.run([compiler, *options, str(source), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).multiply  # stays loaded when the file is gone
    numbers = ctypes.c_uint64 * PRODUCTS_A_TURN
    function.argtypes = [ctypes.c_uint64, ctypes.c_uint64, numbers]
    function.restype = None
    return function


def multiplications(n_words: int, n_threads: int) -> Callable[[], None]:
    """Return what makes the products of so many words, shared out among threads that are kept.

    Handing the shares out takes 50 us, the products of half a million words: ask for more.
    """
    n_turns = -(-n_words * PRODUCTS_A_WORD // (PRODUCTS_A_TURN * n_threads))

    def share(thread: int) -> None:
        numbers = (ctypes.c_uint64 * PRODUCTS_A_TURN)(*range(thread + 1, thread + 65))
        kernel()(n_turns, 0xD2511F53, numbers)

    if n_threads == 1:
        return lambda: share(0)
    pool = ThreadPoolExecutor(n_threads)

    def run() -> None:
        for _ in pool.map(share, range(n_threads)):
            pass

    return run
