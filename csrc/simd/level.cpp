#include "simd/level.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace fastgan {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"portable", "avx2", "avx512", "avx512_vnni"};

constexpr bool is_compiled(Level level) {
  switch (level) {
    case Level::portable:
      return true;
    case Level::avx2:
#ifdef FASTGAN_HAS_avx2
      return true;
#else
      return false;
#endif
    case Level::avx512:
#ifdef FASTGAN_HAS_avx512
      return true;
#else
      return false;
#endif
    case Level::avx512_vnni:
#ifdef FASTGAN_HAS_avx512_vnni
      return true;
#else
      return false;
#endif
  }
  return false;
}

// The processor's own word, with the operating system's (XGETBV) for the wide registers.
Level detect_processor() {
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Level::portable;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")) {
    return Level::avx2;
  }
  return __builtin_cpu_supports("avx512vnni") ? Level::avx512_vnni : Level::avx512;
#elif defined(_MSC_VER) && defined(_M_X64)
  int leaf1[4], leaf7[4];
  __cpuid(leaf1, 0);
  if (leaf1[0] < 7) return Level::portable;
  __cpuid(leaf1, 1);
  __cpuidex(leaf7, 7, 0);
  const auto bit = [](int word, int index) { return ((word >> index) & 1) != 0; };
  const bool os_saves = bit(leaf1[2], 27);
  if (!os_saves) return Level::portable;
  const unsigned long long enabled = _xgetbv(0);
  if ((enabled & 0x6) != 0x6 || !bit(leaf1[2], 12) || !bit(leaf7[1], 5)) return Level::portable;
  if ((enabled & 0xe6) != 0xe6 || !bit(leaf7[1], 16) || !bit(leaf7[1], 17) || !bit(leaf7[1], 30) ||
      !bit(leaf7[1], 31)) {
    return Level::avx2;
  }
  return bit(leaf7[2], 11) ? Level::avx512_vnni : Level::avx512;
#else
  return Level::portable;
#endif
}

Level highest_available() {
  static const Level processor = detect_processor();
  for (int level = static_cast<int>(processor); level > 0; --level) {
    if (is_compiled(static_cast<Level>(level))) return static_cast<Level>(level);
  }
  return Level::portable;
}

Level parse(const std::string& name) {
  if (name == "auto") return highest_available();
  std::string can;
  for (const Level level : available_levels()) {
    if (level_name(level) == name) return level;
    can += (can.empty() ? "" : ", ") + std::string(level_name(level));
  }
  throw std::invalid_argument("SIMD level: expected one of auto, " + can + ", got '" + name + "'");
}

// -1: not decided yet. The environment is read at the first use, not when the library is loaded,
// so that a wrong value is an error with a sentence instead of a failed import.
std::atomic<int> g_level{-1};

}  // namespace

std::string_view level_name(Level level) { return kNames[static_cast<std::size_t>(level)]; }

std::vector<Level> available_levels() {
  std::vector<Level> levels;
  for (int level = 0; level <= static_cast<int>(highest_available()); ++level) {
    if (is_compiled(static_cast<Level>(level))) levels.push_back(static_cast<Level>(level));
  }
  return levels;
}

Level active_level() {
  int level = g_level.load(std::memory_order_relaxed);
  if (level < 0) {
    const char* wanted = std::getenv("FASTGAN_SIMD_LEVEL");
    level = static_cast<int>(wanted != nullptr && *wanted != '\0' ? parse(wanted)
                                                                  : highest_available());
    g_level.store(level, std::memory_order_relaxed);
  }
  return static_cast<Level>(level);
}

void force_level(const std::string& name) {
  g_level.store(static_cast<int>(parse(name)), std::memory_order_relaxed);
}

}  // namespace fastgan
