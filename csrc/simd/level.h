// SIMD levels: what this build holds, what this processor has, and which one is in force.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastgan {

// Ascending: a level includes everything below it.
enum class Level { portable = 0, avx2 = 1, avx512 = 2, avx512_vnni = 3 };

std::string_view level_name(Level level);

// Levels that are compiled in and that this processor (and its operating system) can run.
std::vector<Level> available_levels();

// The level in force: the highest available one, unless the environment variable
// FASTGAN_SIMD_LEVEL or force_level() says otherwise.
Level active_level();

// Throws std::invalid_argument, with the names that can be had, for a level that is unknown or
// cannot run here. "auto" goes back to the highest available one.
void force_level(const std::string& name);

}  // namespace fastgan
