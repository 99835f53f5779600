#include <numeric>

#include "dropout/dropout.h"
#include "philox/philox.h"
#include "tests/check.h"
#include "tests/plain.h"

namespace fastgan::tests {
namespace {

constexpr std::size_t kSizes[] = {0, 1, 3, 4, 5, 17, 64, 1000, 4097};
constexpr PhiloxDraw kDraw{0x123456789ABCDEF0u, 3, 9};

EACH_LEVEL(philox_words_are_those_of_the_paper) {
  for (const std::size_t n : kSizes) {
    for (const std::uint64_t first :
         {std::uint64_t{0}, std::uint64_t{5}, (std::uint64_t{1} << 34) - 2}) {
      std::vector<std::uint32_t> words(n);
      philox_words(kDraw, first, n, words.data(), 2);
      for (std::size_t i = 0; i < n; ++i) CHECK(words[i] == plain_word(kDraw, first + i));
    }
  }
  std::uint32_t block[4];
  philox_block(kDraw, ~std::uint64_t{0}, block);
  CHECK(std::equal(block, block + 4, plain_philox(kDraw, ~std::uint64_t{0}).begin()));
}

template <class T>
void check_uniform_and_normal() {
  for (const std::size_t n : kSizes) {
    for (const std::uint64_t first : {0, 3}) {
      std::vector<T> uniform(n), normal(n);
      philox_uniform(kDraw, first, n, uniform.data(), 2);
      philox_normal(kDraw, first, n, normal.data(), 2);
      for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t at = first + i;
        CHECK(uniform[i] == static_cast<T>(plain_word(kDraw, at) >> 8) * static_cast<T>(0x1p-24));
        const double u1 = ((plain_word(kDraw, at / 2 * 2) >> 8) + 1) * 0x1p-24;
        const double u2 = (plain_word(kDraw, at / 2 * 2 + 1) >> 8) * 0x1p-24;
        const double angle = 2.0 * std::acos(-1.0) * u2;
        const double expected =
            std::sqrt(-2.0 * std::log(u1)) * (at % 2 == 0 ? std::cos(angle) : std::sin(angle));
        const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
        CHECK(
            close(static_cast<double>(normal[i]), expected, epsilon * std::abs(expected) + 1e-14));
      }
    }
  }
}

EACH_LEVEL(uniform_and_normal_numbers_follow_their_formulas) {
  check_uniform_and_normal<float>();
  check_uniform_and_normal<double>();
}

TEST(permutation_is_the_stable_order_of_its_keys) {
  for (const std::size_t n : kSizes) {
    std::vector<std::int64_t> order(n), expected(n);
    philox_permutation(kDraw, n, order.data(), 2);
    const auto key = [](std::int64_t i) {
      const auto at = static_cast<std::uint64_t>(2 * i);
      return std::uint64_t{plain_word(kDraw, at + 1)} << 32 | plain_word(kDraw, at);
    };
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(),
                     [&](std::int64_t a, std::int64_t b) { return key(a) < key(b); });
    CHECK(order == expected);
  }
}

template <class T>
void check_dropout() {
  for (const std::size_t n : kSizes) {
    for (const double probability : {0.0, 0.5, 0.8, 1.0}) {
      const DropoutMask mask = dropout_mask(kDraw, probability);
      const std::vector<T> input = numbers<T>(n, 1);
      std::vector<T> output(n), in_place = input;
      dropout(mask, 7, n, input.data(), output.data(), 2);
      dropout(mask, 7, n, in_place.data(), in_place.data(), 1);
      for (std::size_t i = 0; i < n; ++i) {
        const bool kept = plain_word(kDraw, 7 + i) < std::nearbyint(probability * 0x1p32);
        CHECK(output[i] == (kept ? input[i] * static_cast<T>(1.0 / probability) : T{0}));
      }
      CHECK(in_place == output);
    }
  }
}

EACH_LEVEL(dropout_keeps_what_its_mask_says) {
  check_dropout<float>();
  check_dropout<double>();
}

}  // namespace
}  // namespace fastgan::tests
