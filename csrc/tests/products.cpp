#include <optional>

#include "linear/linear.h"
#include "tests/check.h"
#include "tests/plain.h"

namespace fastgan::tests {
namespace {

constexpr PhiloxDraw kDraw{5, 1, 2};
constexpr MomentumSgd kMove{0.1, 0.5, 3.0};

// A sum of n products, none above `largest`, is off by this at most, whatever the order.
template <class T>
double error_of_sum(std::size_t n, double largest = 2.0) {
  return static_cast<double>(n + 4) * largest *
         static_cast<double>(std::numeric_limits<T>::epsilon());
}

double plain_activation(Activation activation, double x) {
  if (activation == Activation::relu) return std::max(x, 0.0);
  return activation == Activation::sigmoid ? 1.0 / (1.0 + std::exp(-x)) : x;
}

// sum_l a[l] b[l] for l < n, the two stride_a and stride_b apart.
template <class T>
double plain_product(const T* a, std::size_t stride_a, const T* b, std::size_t stride_b,
                     std::size_t n) {
  double sum = 0.0;
  for (std::size_t l = 0; l < n; ++l) {
    sum += static_cast<double>(a[l * stride_a]) * static_cast<double>(b[l * stride_b]);
  }
  return sum;
}

template <class T>
void check_forward(const LinearShape& shape) {
  const std::vector<T> input = numbers<T>(shape.n_rows * shape.n_features, 1);
  const std::vector<T> weight = numbers<T>(shape.n_units * shape.n_features, 2);
  const std::vector<T> bias = numbers<T>(shape.n_units, 3);
  for (const auto activation : {Activation::linear, Activation::relu, Activation::sigmoid}) {
    for (const T* added : {bias.data(), static_cast<const T*>(nullptr)}) {
      std::vector<T> output(shape.n_rows * shape.n_units, T{99});
      linear_forward(shape, input.data(), weight.data(), added, activation, output.data(), 2);
      for (std::size_t i = 0; i < output.size(); ++i) {
        const std::size_t row = i / shape.n_units, unit = i % shape.n_units;
        const double sum = plain_product(&input[row * shape.n_features], 1,
                                         &weight[unit * shape.n_features], 1, shape.n_features) +
                           (added == nullptr ? 0.0 : static_cast<double>(added[unit]));
        CHECK(close(static_cast<double>(output[i]), plain_activation(activation, sum),
                    error_of_sum<T>(shape.n_features)));
      }
    }
  }
}

// What a training step hands back: a delta, in full, and the same as winners where units are
// pieces.
template <class T>
struct Delta {
  std::vector<T> full, values;
  std::vector<std::uint8_t> winner;
  std::size_t n_pieces;

  Delta(const LinearShape& shape, std::size_t n_pieces_, double share)
      : full(shape.n_rows * shape.n_units, T{0}),
        values(sparse_numbers<T>(full.size() / n_pieces_, 4, share)),
        winner(values.size()),
        n_pieces(n_pieces_) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      // sometimes beyond the pieces: belongs to none
      winner[i] = static_cast<std::uint8_t>(plain_word({6, 0, 0}, i) % (n_pieces + (i % 9 == 0)));
      if (winner[i] < n_pieces) full[i * n_pieces + winner[i]] = values[i];
    }
  }
  WinnerDelta<T> winners() const { return {values.data(), winner.data(), n_pieces}; }
};

template <class T>
void check_input_gradient(const LinearShape& shape, const Delta<T>& delta) {
  const std::vector<T> weight = numbers<T>(shape.n_units * shape.n_features, 2);
  std::vector<T> gradient(shape.n_rows * shape.n_features, T{99}), of_winners = gradient;
  linear_input_gradient(shape, delta.full.data(), weight.data(), gradient.data(), 2);
  maxout_input_gradient(shape, delta.winners(), weight.data(), of_winners.data(), 2);
  CHECK(gradient == of_winners);
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const std::size_t row = i / shape.n_features, feature = i % shape.n_features;
    const double sum = plain_product(&delta.full[row * shape.n_units], 1, &weight[feature],
                                     shape.n_features, shape.n_units);
    CHECK(close(static_cast<double>(gradient[i]), sum, error_of_sum<T>(shape.n_units)));
  }
}

template <class T>
struct Parameters {
  std::vector<T> weight, velocity, bias, bias_velocity;

  explicit Parameters(const LinearShape& shape)
      : weight(numbers<T>(shape.n_units * shape.n_features, 2)),
        velocity(numbers<T>(weight.size(), 7)),
        bias(numbers<T>(shape.n_units, 3)),
        bias_velocity(numbers<T>(shape.n_units, 8)) {}
  bool operator==(const Parameters&) const = default;
};

template <class T>
void check_update(const LinearShape& shape, const Delta<T>& delta, bool has_bias) {
  const std::vector<T> input = numbers<T>(shape.n_rows * shape.n_features, 1);
  const std::vector<T> scale = numbers<T>(shape.n_rows, 9);
  const Parameters<T> before(shape);
  Parameters<T> moved(shape), by_winners(shape);
  const auto bias = [&](std::vector<T>& values) { return has_bias ? values.data() : nullptr; };
  linear_update(shape, delta.full.data(), scale.data(), input.data(), kMove, moved.weight.data(),
                moved.velocity.data(), bias(moved.bias), bias(moved.bias_velocity), 2);
  maxout_update(shape, delta.winners(), scale.data(), input.data(), kMove, by_winners.weight.data(),
                by_winners.velocity.data(), bias(by_winners.bias), bias(by_winners.bias_velocity),
                2);
  CHECK(moved == by_winners);
  Parameters<T> in_halves(shape);
  MomentumSgd half = kMove;
  half.velocity_only = true;
  linear_update(shape, delta.full.data(), scale.data(), input.data(), half, in_halves.weight.data(),
                in_halves.velocity.data(), bias(in_halves.bias), bias(in_halves.bias_velocity), 2);
  CHECK(in_halves.weight == before.weight && in_halves.bias == before.bias);
  CHECK(in_halves.velocity == moved.velocity && in_halves.bias_velocity == moved.bias_velocity);
  const double error = error_of_sum<T>(shape.n_rows, 4.0);
  const std::vector<T> ones(shape.n_rows, T{1});
  for (std::size_t unit = 0; unit < shape.n_units; ++unit) {
    std::vector<T> scaled(shape.n_rows);
    for (std::size_t row = 0; row < shape.n_rows; ++row) {
      scaled[row] = scale[row] * delta.full[row * shape.n_units + unit];
    }
    const auto velocity_of = [&](const T* column, std::size_t stride, T velocity) {
      return 0.5 * static_cast<double>(velocity) -
             0.1 * plain_product(scaled.data(), 1, column, stride, shape.n_rows);
    };
    double squares = 0.0;
    std::vector<double> weight(shape.n_features);
    for (std::size_t j = 0; j < shape.n_features; ++j) {
      const std::size_t at = unit * shape.n_features + j;
      const double v = velocity_of(input.data() + j, shape.n_features, before.velocity[at]);
      CHECK(close(static_cast<double>(moved.velocity[at]), v, error));
      weight[j] = static_cast<double>(before.weight[at]) + v;
      squares += weight[j] * weight[j];
    }
    const double norm = std::sqrt(squares), factor = std::min(norm, 3.0) / (1e-7 + norm);
    for (std::size_t j = 0; j < shape.n_features; ++j) {
      CHECK(close(static_cast<double>(moved.weight[unit * shape.n_features + j]),
                  weight[j] * factor, 2.0 * error));
    }
    const double v = velocity_of(ones.data(), 1, before.bias_velocity[unit]);
    const double bias_after = static_cast<double>(before.bias[unit]) + v;
    CHECK(!has_bias || close(static_cast<double>(moved.bias[unit]), bias_after, 2.0 * error));
    CHECK(has_bias || moved.bias[unit] == before.bias[unit]);
  }
}

constexpr LinearShape kShapes[] = {{0, 5, 10},  {1, 1, 10},    {3, 7, 5},     {13, 16, 10},
                                   {9, 17, 45}, {30, 100, 85}, {4, 1030, 20}, {16, 35, 290}};

template <class T>
void check_products() {
  for (const LinearShape& shape : kShapes) {
    check_forward<T>(shape);
    for (const double share : {0.1, 0.5, 1.0}) {  // by lists, and densely
      for (const std::size_t n_pieces : {1, 5}) {
        const Delta<T> delta(shape, n_pieces, share);
        check_input_gradient(shape, delta);
        check_update(shape, delta, share < 1.0);
      }
    }
  }
}

EACH_LEVEL(linear_products_in_float32) { check_products<float>(); }
EACH_LEVEL(linear_products_in_float64) { check_products<double>(); }

// Batches past a block of rows are cut; the bits are those of the rows alone.
TEST(linear_products_of_many_rows) {
  const LinearShape shape{8011, 24, 10}, tail{11, 24, 10};
  const std::size_t at = 8000;
  const std::vector<float> input = numbers<float>(shape.n_rows * shape.n_features, 1);
  const std::vector<float> weight = numbers<float>(shape.n_units * shape.n_features, 2);
  std::vector<float> output(shape.n_rows * shape.n_units), of_tail(tail.n_rows * tail.n_units);
  linear_forward(shape, input.data(), weight.data(), {}, Activation::linear, output.data(), 2);
  linear_forward(tail, &input[at * tail.n_features], weight.data(), {}, Activation::linear,
                 of_tail.data(), 1);
  CHECK(std::equal(of_tail.begin(), of_tail.end(), output.begin() + at * tail.n_units));
  for (const double share : {0.1, 1.0}) {
    const Delta<float> delta(shape, 5, share);
    std::vector<float> gradient(input.size()), end(tail.n_rows * tail.n_features), of_winners = end;
    linear_input_gradient(shape, delta.full.data(), weight.data(), gradient.data(), 2);
    linear_input_gradient(tail, &delta.full[at * tail.n_units], weight.data(), end.data(), 1);
    CHECK(std::equal(end.begin(), end.end(), gradient.begin() + at * tail.n_features));
    maxout_input_gradient(shape, delta.winners(), weight.data(), gradient.data(), 2);
    CHECK(std::equal(end.begin(), end.end(), gradient.begin() + at * tail.n_features));
  }
}

template <class T>
void check_activation_delta(std::size_t n_rows, std::size_t n_columns, Activation activation) {
  const DropoutMask mask = dropout_mask(kDraw, 0.5);
  const std::uint64_t first = 9;
  const std::vector<T> values = numbers<T>(n_rows * n_columns, 1);
  const std::vector<T> gradient = numbers<T>(values.size(), 2), scale = numbers<T>(n_rows, 3);
  for (const std::size_t stride : {n_columns, std::size_t{0}}) {
    std::vector<T> delta(values.size());
    activation_delta(n_rows, n_columns, gradient.data(), stride, scale.data(), mask, first,
                     activation, values.data(), delta.data(), 2);
    for (std::size_t i = 0; i < delta.size(); ++i) {
      const std::size_t row = i / n_columns;
      const T kept = plain_word(kDraw, first + i) < mask.threshold ? T{2} : T{0};
      const T y = values[i], outer = gradient[row * stride + i % n_columns] * kept * scale[row];
      const T expected = activation == Activation::relu      ? (y <= T{0} ? T{0} : outer)
                         : activation == Activation::sigmoid ? outer * ((T{1} - y) * y)
                                                             : outer;
      CHECK(delta[i] == expected);
    }
  }
}

EACH_LEVEL(activation_delta_is_masked_and_scaled) {
  for (const auto activation : {Activation::linear, Activation::relu, Activation::sigmoid}) {
    for (const std::size_t n_columns : {1, 17, 200}) {
      check_activation_delta<float>(7, n_columns, activation);
      check_activation_delta<double>(60, n_columns, activation);
    }
  }
}

}  // namespace
}  // namespace fastgan::tests
