#include "costs/costs.h"
#include "maxout_linear/maxout_linear.h"
#include "momentum_sgd/momentum_sgd.h"
#include "tests/check.h"
#include "tests/plain.h"

namespace fastgan::tests {
namespace {

constexpr PhiloxDraw kDraw{5, 1, 2};

template <class T>
double epsilon() {
  return static_cast<double>(std::numeric_limits<T>::epsilon());
}

template <class T>
void check_maxout(std::size_t n_rows, std::size_t n_units, std::size_t n_pieces, bool masked) {
  const MaxoutShape shape{n_rows, n_units, n_pieces};
  const std::uint64_t first = 11;
  const DropoutMask mask = dropout_mask(kDraw, masked ? 0.5 : 1.0);
  const std::vector<T> products = numbers<T>(n_rows * shape.n_columns(), 1);
  const std::vector<T> bias = numbers<T>(shape.n_columns(), 2);
  std::vector<T> values(n_rows * n_units);
  std::vector<std::uint8_t> winner(values.size());
  maxout_forward(shape, products.data(), bias.data(), mask, first, values.data(), winner.data(), 2);
  const auto kept = [&](std::size_t i) {
    return plain_word(kDraw, first + i) < mask.threshold ? static_cast<T>(mask.scale) : T{0};
  };
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::size_t best = 0;
    const auto piece = [&](std::size_t p) {
      return products[i * n_pieces + p] + bias[i % n_units * n_pieces + p];
    };
    for (std::size_t p = 1; p < n_pieces; ++p) best = piece(p) > piece(best) ? p : best;
    CHECK(winner[i] == best);
    CHECK(values[i] == piece(best) * kept(i));
  }
  const std::vector<T> gradient = numbers<T>(values.size(), 3);
  for (const std::size_t stride : {n_units, std::size_t{0}}) {  // a row each, or one for all
    std::vector<T> delta(products.size(), T{99}), bias_gradient(bias.size(), T{99});
    maxout_backward(shape, gradient.data(), stride, winner.data(), mask, first, delta.data(),
                    bias_gradient.data(), 2);
    std::vector<double> sums(bias.size(), 0.0);
    for (std::size_t i = 0; i < delta.size(); ++i) {
      const std::size_t at = i / n_pieces, row = at / n_units;
      const bool won = winner[at] == i % n_pieces;
      const T expected = won ? gradient[row * stride + at % n_units] * kept(at) : T{0};
      CHECK(delta[i] == expected);
      sums[i % sums.size()] += static_cast<double>(expected);
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      CHECK(close(static_cast<double>(bias_gradient[i]), sums[i],
                  epsilon<T>() * (std::abs(sums[i]) + 1.0)));
    }
  }
}

EACH_LEVEL(maxout_picks_winners_and_sends_gradients_to_them) {
  for (const std::size_t n_rows : {0, 1, 37}) {
    for (const std::size_t n_units : {1, 3, 65, 240}) {
      for (const std::size_t n_pieces : {1, 2, 5, 7}) {
        check_maxout<float>(n_rows, n_units, n_pieces, n_units % 2 == 1);
        check_maxout<double>(n_rows, n_units, n_pieces, n_units % 2 == 0);
      }
    }
  }
}

template <class T>
void check_momentum(std::size_t n_rows, std::size_t n_columns, double max_norm) {
  const std::size_t n = n_rows * n_columns;
  const std::vector<T> gradient = numbers<T>(n, 3);
  std::vector<T> weight = numbers<T>(n, 1), velocity = numbers<T>(n, 2);
  const std::vector<T> weight_before = weight, velocity_before = velocity;
  momentum_sgd({0.1, 0.7, max_norm}, n_rows, n_columns, weight.data(), velocity.data(),
               gradient.data(), 2);
  std::vector<T> by_halves = weight_before;
  move_weight(max_norm, n_rows, n_columns, by_halves.data(), velocity.data(), 2);
  CHECK(by_halves == weight);
  for (std::size_t row = 0; row < n_rows; ++row) {
    double squares = 0.0;
    for (std::size_t i = row * n_columns; i < (row + 1) * n_columns; ++i) {
      CHECK(velocity[i] ==
            static_cast<T>(0.7) * velocity_before[i] - static_cast<T>(0.1) * gradient[i]);
      const double moved = static_cast<double>(weight_before[i] + velocity[i]);
      squares += moved * moved;
    }
    const double norm = std::sqrt(squares);
    const double factor = std::isinf(max_norm) ? 1.0 : std::min(norm, max_norm) / (1e-7 + norm);
    for (std::size_t i = row * n_columns; i < (row + 1) * n_columns; ++i) {
      const double moved = static_cast<double>(weight_before[i] + velocity[i]);
      CHECK(close(static_cast<double>(weight[i]), moved * factor,
                  2.0 * epsilon<T>() * std::abs(moved)));
    }
  }
}

EACH_LEVEL(momentum_moves_weights_and_limits_norms) {
  for (const std::size_t n_rows : {0, 1, 9}) {
    for (const std::size_t n_columns : {1, 15, 16, 17, 1000}) {
      for (const double max_norm : {kInfinity, 1.9}) {
        check_momentum<float>(n_rows, n_columns, max_norm);
        check_momentum<double>(n_rows, n_columns, max_norm);
      }
    }
  }
}

template <class T>
void check_costs(std::size_t n, std::size_t n_whole, bool saturating) {
  const std::vector<T> logits = numbers<T>(2 * n, 1);
  std::vector<T> of_discriminator(2 * n), of_generator(n);
  const BatchCosts costs = batch_costs(n, n_whole, logits.data(), saturating,
                                       of_discriminator.data(), of_generator.data());
  const double rows = static_cast<double>(n_whole), tolerance = 4.0 * epsilon<T>();
  double discriminator = 0.0, generator = 0.0, real = 0.0, fake = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    const double x = 1.0 / (1.0 + std::exp(-static_cast<double>(logits[i])));
    const double y = 1.0 / (1.0 + std::exp(-static_cast<double>(logits[n + i])));
    discriminator -= 0.5 * (std::log(x) + std::log(1.0 - y)) / rows;
    generator += (saturating ? std::log(1.0 - y) : -std::log(y)) / rows;
    real += x / rows;
    fake += y / rows;
    CHECK(close(static_cast<double>(of_discriminator[i]), (x - 1.0) / (2.0 * rows), tolerance));
    CHECK(close(static_cast<double>(of_discriminator[n + i]), y / (2.0 * rows), tolerance));
    CHECK(
        close(static_cast<double>(of_generator[i]), (saturating ? -y : y - 1.0) / rows, tolerance));
  }
  CHECK(close(costs.discriminator, discriminator, 1e-12));
  CHECK(close(costs.generator, generator, 1e-12));
  CHECK(close(costs.real_probability, real, 1e-12));
  CHECK(close(costs.fake_probability, fake, 1e-12));
}

TEST(costs_and_their_derivatives_follow_the_formula) {
  for (const std::size_t n : {1, 2, 17, 1000}) {
    for (const bool saturating : {false, true}) {
      for (const std::size_t n_whole : {n, 3 * n + 1}) {
        check_costs<float>(n, n_whole, saturating);
        check_costs<double>(n, n_whole, saturating);
      }
    }
  }
}

}  // namespace
}  // namespace fastgan::tests
