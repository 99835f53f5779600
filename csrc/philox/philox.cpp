#include "philox/philox.h"

#include <array>
#include <memory>
#include <type_traits>
#include <utility>

#include "common/cancel.h"
#include "common/thread_pool.h"

namespace fastgan {
namespace {

// Below this a thread costs more (5 to 10 us to wake) than it takes over.
constexpr std::size_t kElementsPerThread = 32768;
constexpr std::size_t kNormalsPerThread = 4096;

struct Entry {
  std::uint64_t key;
  std::int64_t index;
};

// Calls body(i) for i < n, and looks at the flag now and then.
template <class Body>
void for_each(std::size_t n, const Body& body) {
  constexpr std::size_t kBetweenChecks = 1 << 18;
  for (std::size_t i = 0; i < n; ++i) {
    if (i % kBetweenChecks == 0) check_cancelled();
    body(i);
  }
}

// Least significant byte first; each pass is stable, so equal keys stay in the order of their
// index.
void radix_sort(std::unique_ptr<Entry[]>& entries, std::size_t n) {
  constexpr std::size_t n_digits = 8, n_values = 256;
  std::array<std::array<std::size_t, n_values>, n_digits> counts{};
  for_each(n, [&](std::size_t i) {
    for (std::size_t digit = 0; digit < n_digits; ++digit) {
      ++counts[digit][entries[i].key >> (8 * digit) & 0xFF];
    }
  });
  auto other = std::make_unique_for_overwrite<Entry[]>(n);
  for (std::size_t digit = 0; digit < n_digits; ++digit) {
    std::size_t start = 0;
    for (std::size_t& count : counts[digit]) start += std::exchange(count, start);
    for_each(n, [&](std::size_t i) {
      other[counts[digit][entries[i].key >> (8 * digit) & 0xFF]++] = entries[i];
    });
    entries.swap(other);
  }
}

}  // namespace

void philox_words(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, std::uint32_t* out,
                  std::size_t n_threads) {
  const auto kernel = FASTGAN_DISPATCH(philox_words);
  parallel_rows(n, kElementsPerThread, n_threads, [&](std::size_t begin, std::size_t end) {
    kernel(draw, first + begin, end - begin, out + begin);
  });
}

void philox_block(const PhiloxDraw& draw, std::uint64_t block, std::uint32_t* out) {
  FASTGAN_DISPATCH(philox_block)(draw, block, out);
}

template <class T>
void philox_uniform(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, T* out,
                    std::size_t n_threads) {
  const auto run = [&](auto kernel) {
    parallel_rows(n, kElementsPerThread, n_threads, [&](std::size_t begin, std::size_t end) {
      kernel(draw, first + begin, end - begin, out + begin);
    });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(philox_uniform_float));
  } else {
    run(FASTGAN_DISPATCH(philox_uniform_double));
  }
}

template <class T>
void philox_normal(const PhiloxDraw& draw, std::uint64_t first, std::size_t n, T* out,
                   std::size_t n_threads) {
  const auto run = [&](auto kernel) {
    parallel_rows(n, kNormalsPerThread, n_threads, [&](std::size_t begin, std::size_t end) {
      kernel(draw, first + begin, end - begin, out + begin);
    });
  };
  if constexpr (std::is_same_v<T, float>) {
    run(FASTGAN_DISPATCH(philox_normal_float));
  } else {
    run(FASTGAN_DISPATCH(philox_normal_double));
  }
}

void philox_permutation(const PhiloxDraw& draw, std::size_t n, std::int64_t* out,
                        std::size_t n_threads) {
  // Memory is first touched where it is filled, and not at once, between two looks at the flag.
  auto words = std::make_unique_for_overwrite<std::uint32_t[]>(2 * n);
  philox_words(draw, 0, 2 * n, words.get(), n_threads);
  auto entries = std::make_unique_for_overwrite<Entry[]>(n);
  for_each(n, [&](std::size_t i) {
    entries[i] = {static_cast<std::uint64_t>(words[2 * i + 1]) << 32 | words[2 * i],
                  static_cast<std::int64_t>(i)};
  });
  radix_sort(entries, n);
  for_each(n, [&](std::size_t i) { out[i] = entries[i].index; });
}

template void philox_uniform<float>(const PhiloxDraw&, std::uint64_t, std::size_t, float*,
                                    std::size_t);
template void philox_uniform<double>(const PhiloxDraw&, std::uint64_t, std::size_t, double*,
                                     std::size_t);
template void philox_normal<float>(const PhiloxDraw&, std::uint64_t, std::size_t, float*,
                                   std::size_t);
template void philox_normal<double>(const PhiloxDraw&, std::uint64_t, std::size_t, double*,
                                    std::size_t);

}  // namespace fastgan
