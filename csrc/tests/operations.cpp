#include "tests/operations.h"

#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "costs/costs.h"
#include "distances/approximate.h"
#include "distances/centre.h"
#include "dropout/dropout.h"
#include "index/passes.h"
#include "linear/linear.h"
#include "maxout_linear/maxout_linear.h"
#include "neighbors/neighbors.h"
#include "parzen/parzen.h"
#include "philox/philox.h"
#include "tests/plain.h"

namespace fastgan::tests {
namespace {

using Bytes = std::vector<std::byte>;

template <class... T>
Bytes bytes_of(const std::vector<T>&... arrays) {
  Bytes all(((arrays.size() * sizeof(T)) + ...));
  std::byte* to = all.data();
  ((std::memcpy(to, arrays.data(), arrays.size() * sizeof(T)), to += arrays.size() * sizeof(T)),
   ...);
  return all;
}

// The same numbers as numbers() or sparse_numbers(), made once: what an operation is fed is no part
// of it.
template <class T>
const std::vector<T>& fed(std::size_t n, std::uint64_t seed, double share = 1.0) {
  static std::mutex mutex;
  static std::map<std::tuple<std::size_t, std::uint64_t, double>, std::vector<T>> made;
  const std::lock_guard lock(mutex);
  std::vector<T>& values = made[{n, seed, share}];
  if (values.empty()) values = sparse_numbers<T>(n, seed, share);
  return values;
}

constexpr PhiloxDraw kDraw{5, 1, 2};
constexpr std::size_t kDrawn = 70000;  // enough for several threads
constexpr double kSigmas[] = {0.5, 2.0};

template <class T, class Draw>
Bytes drawn(const Draw& draw) {
  std::vector<T> out(kDrawn);
  draw(out.data());
  return bytes_of(out);
}

Bytes run_dropout(std::size_t n_threads) {
  std::vector<float> values = fed<float>(kDrawn, 1);
  dropout(dropout_mask(kDraw, 0.5), 0, kDrawn, values.data(), values.data(), n_threads);
  return bytes_of(values);
}

Bytes run_maxout(std::size_t n_threads) {
  const MaxoutShape shape{100, 48, 5};
  const DropoutMask mask = dropout_mask(kDraw, 0.5);
  const std::vector<float>& products = fed<float>(100 * shape.n_columns(), 1);
  const std::vector<float>& bias = fed<float>(shape.n_columns(), 2);
  std::vector<float> values(100 * 48), delta(products.size()), of_bias(bias.size());
  std::vector<std::uint8_t> winner(values.size());
  maxout_forward(shape, products.data(), bias.data(), mask, 0, values.data(), winner.data(),
                 n_threads);
  maxout_backward(shape, values.data(), 48, winner.data(), mask, 0, delta.data(), of_bias.data(),
                  n_threads);
  return bytes_of(values, winner, delta, of_bias);
}

Bytes run_momentum(std::size_t n_threads) {
  const std::vector<float>& gradient = fed<float>(kDrawn, 1);
  std::vector<float> weight = fed<float>(kDrawn, 2), velocity = fed<float>(kDrawn, 3);
  momentum_sgd({0.1, 0.5, 1.9}, kDrawn / 1000, 1000, weight.data(), velocity.data(),
               gradient.data(), n_threads);
  return bytes_of(weight, velocity);
}

Bytes run_move(std::size_t n_threads) {
  const std::vector<float>& velocity = fed<float>(kDrawn, 3);
  std::vector<float> weight = fed<float>(kDrawn, 2);
  move_weight(1.9, kDrawn / 1000, 1000, weight.data(), velocity.data(), n_threads);
  return bytes_of(weight);
}

// Large enough that threads are worth their waking.
constexpr LinearShape kShape{96, 110, 120};

Bytes run_forward(std::size_t n_threads) {
  const std::vector<float>& input = fed<float>(kShape.n_rows * kShape.n_features, 1);
  const std::vector<float>& weight = fed<float>(kShape.n_units * kShape.n_features, 2);
  std::vector<float> output(kShape.n_rows * kShape.n_units);
  linear_forward(kShape, input.data(), weight.data(), {}, Activation::sigmoid, output.data(),
                 n_threads);
  return bytes_of(output);
}

Bytes run_input_gradient(double share, std::size_t n_threads) {
  const std::vector<float>& delta = fed<float>(kShape.n_rows * kShape.n_units, 1, share);
  const std::vector<float>& weight = fed<float>(kShape.n_units * kShape.n_features, 2);
  std::vector<float> gradient(kShape.n_rows * kShape.n_features);
  linear_input_gradient(kShape, delta.data(), weight.data(), gradient.data(), n_threads);
  return bytes_of(gradient);
}

struct Moved {
  std::vector<float> weight = fed<float>(kShape.n_units * kShape.n_features, 2);
  std::vector<float> velocity = fed<float>(weight.size(), 3);
  std::vector<float> bias = fed<float>(kShape.n_units, 4), bias_velocity = bias;
  Bytes bytes() const { return bytes_of(weight, velocity, bias, bias_velocity); }
};

Bytes run_update(double share, std::size_t n_threads) {
  const std::vector<float>& input = fed<float>(kShape.n_rows * kShape.n_features, 1);
  const std::vector<float>& delta = fed<float>(kShape.n_rows * kShape.n_units, 5, share);
  Moved moved;
  linear_update(kShape, delta.data(), static_cast<const float*>(nullptr), input.data(),
                {0.1, 0.5, 1.9}, moved.weight.data(), moved.velocity.data(), moved.bias.data(),
                moved.bias_velocity.data(), n_threads);
  return moved.bytes();
}

struct Winners {
  std::vector<float> values = numbers<float>(kShape.n_rows * kShape.n_units / 5, 6);
  std::vector<std::uint8_t> winner = numbers<std::uint8_t>(values.size(), 7);
  Winners() {
    for (std::uint8_t& piece : winner) piece = static_cast<std::uint8_t>(piece % 5);
  }
};

WinnerDelta<float> winner_delta() {
  static const Winners winners;
  return {winners.values.data(), winners.winner.data(), 5};
}

Bytes run_winners_input_gradient(std::size_t n_threads) {
  const std::vector<float>& weight = fed<float>(kShape.n_units * kShape.n_features, 2);
  std::vector<float> gradient(kShape.n_rows * kShape.n_features);
  maxout_input_gradient(kShape, winner_delta(), weight.data(), gradient.data(), n_threads);
  return bytes_of(gradient);
}

Bytes run_winners_update(std::size_t n_threads) {
  const std::vector<float>& input = fed<float>(kShape.n_rows * kShape.n_features, 1);
  Moved moved;
  maxout_update(kShape, winner_delta(), static_cast<const float*>(nullptr), input.data(),
                {0.1, 0.5, 1.9}, moved.weight.data(), moved.velocity.data(), moved.bias.data(),
                moved.bias_velocity.data(), n_threads);
  return moved.bytes();
}

Bytes run_activation_delta(std::size_t n_threads) {
  const std::vector<float>& gradient = fed<float>(kDrawn, 1);
  const std::vector<float>& values = fed<float>(kDrawn, 2);
  std::vector<float> delta(kDrawn);
  activation_delta(kDrawn / 1000, 1000, gradient.data(), 1000, static_cast<const float*>(nullptr),
                   dropout_mask(kDraw, 0.5), 0, Activation::sigmoid, values.data(), delta.data(),
                   n_threads);
  return bytes_of(delta);
}

Bytes run_costs(std::size_t) {
  const std::vector<float>& logits = fed<float>(200, 1);
  std::vector<float> of_discriminator(200), of_generator(100);
  const BatchCosts costs =
      batch_costs(100, 100, logits.data(), false, of_discriminator.data(), of_generator.data());
  return bytes_of(of_discriminator, of_generator,
                  std::vector{costs.discriminator, costs.generator});
}

// Queries that every thread gets some of; samples of which a task takes several tiles.
// Queries for several tasks; samples for several tiles and blocks.
constexpr std::size_t kQueries = 100, kSamples = 300;

const Points& queries() {
  static const Rows<float> rows(kQueries, 16, 1);
  return rows.points;
}

const Points& samples() {
  static const Rows<float> rows(kSamples, 16, 2);
  return rows.points;
}

Bytes run_neighbors(std::size_t n_threads) {
  std::vector<double> distances(kQueries * 3);
  std::vector<std::int64_t> indices(distances.size());
  nearest_neighbors(queries(), samples(), 3, false, n_threads, distances.data(), indices.data());
  return bytes_of(distances, indices);
}

Bytes run_count(std::size_t n_threads) {
  const std::vector<double> radii(kQueries, 1.0);
  std::vector<std::int64_t> per_query(kQueries, 0), per_row(kSamples, 0);
  count_within(queries(), samples(), radii.data(), Own{}, n_threads, per_query.data(),
               per_row.data());
  return bytes_of(per_query, per_row);
}

Bytes run_parzen(std::size_t n_threads) {
  std::vector<double> sums(2 * 2 * kQueries), merged(2 * kQueries);
  parzen_log_sums(queries(), samples(), kSigmas, 2, 256, Own{}, Precision::automatic, n_threads,
                  sums.data());
  merge_log_sums(sums.data(), 2, merged.size(), merged.data());
  return bytes_of(sums, merged);
}

struct Sketched {
  std::shared_ptr<const Frame> frame;
  SketchSet asking, asked;
  explicit Sketched(std::size_t n_threads)
      : frame(std::make_shared<const Frame>(Frame::of(samples(), n_threads))),
        asking(frame, queries(), Role::queries, n_threads),
        asked(frame, samples(), Role::samples, n_threads) {}
};

// Made once: what is asked of an index is no part of its making.
const Sketched& sketched() {
  static const Sketched sets(1);
  return sets;
}

Bytes run_index(std::size_t n_threads) {
  const Sketched sets(n_threads);
  std::vector<double> coarse(kQueries * kSamples), fine(coarse.size());
  lower_bounds(sets.asking, sets.asked, coarse.data(), fine.data());
  return bytes_of(coarse, fine);
}

Bytes run_index_probe(std::size_t n_threads) {
  const Shares shares = probe_index(sketched().frame, samples(), 1.0, n_threads);
  return bytes_of(std::vector{shares.coarse, shares.fine});
}

Bytes run_index_neighbors(std::size_t n_threads) {
  std::vector<double> distances(kQueries * 3, kInfinity);
  std::vector<std::int64_t> indices(distances.size(), -1);
  index_nearest_neighbors(sketched().asking, sketched().asked, 3, Own{}, 0, n_threads,
                          distances.data(), indices.data());
  return bytes_of(distances, indices);
}

Bytes run_index_count(std::size_t n_threads) {
  const std::vector<double> radii(kQueries, 1.0);
  std::vector<std::int64_t> per_query(kQueries, 0), per_row(kSamples, 0);
  index_count_within(sketched().asking, sketched().asked, radii.data(), Own{}, n_threads,
                     per_query.data(), per_row.data());
  return bytes_of(per_query, per_row);
}

Bytes run_index_parzen(std::size_t n_threads) {
  const std::vector<double> least(kQueries, kInfinity);
  std::vector<double> sums(2 * 2 * kQueries), dropped(sums.size()), met(2 * kQueries);
  index_parzen_log_sums(sketched().asking, sketched().asked, kSigmas, 2, 20.0, least.data(), 256,
                        Own{}, n_threads, sums.data(), dropped.data(), met.data());
  return bytes_of(sums, dropped, met);
}

Bytes run_approximate(std::size_t n_threads) {
  const std::vector<double> centre = centre_of(samples(), n_threads);
  std::vector<double> distances(kQueries * kSamples), allowances(distances.size());
  FASTGAN_DISPATCH(approximate_distances_float32)
  ({queries(), samples(), centre.data(), distances.data(), allowances.data()});
  return bytes_of(distances, allowances);
}

}  // namespace

const std::vector<Operation>& all_operations() {
  static const std::vector<Operation> operations = {
      {"philox_words", false,
       [](std::size_t n_threads) {
         return drawn<std::uint32_t>(
             [&](std::uint32_t* out) { philox_words(kDraw, 0, kDrawn, out, n_threads); });
       }},
      {"philox_uniform", false,
       [](std::size_t n_threads) {
         return drawn<float>([&](float* out) { philox_uniform(kDraw, 0, kDrawn, out, n_threads); });
       }},
      {"philox_normal", false,
       [](std::size_t n_threads) {
         return drawn<float>([&](float* out) { philox_normal(kDraw, 0, kDrawn, out, n_threads); });
       }},
      {"philox_permutation", false,
       [](std::size_t n_threads) {
         return drawn<std::int64_t>(
             [&](std::int64_t* out) { philox_permutation(kDraw, kDrawn, out, n_threads); });
       }},
      {"dropout", false, run_dropout},
      {"maxout_forward, maxout_backward", false, run_maxout},
      {"momentum_sgd", true, run_momentum},
      {"move_weight", true, run_move},
      {"linear_forward", false, run_forward},
      {"linear_input_gradient, dense", false,
       [](std::size_t n_threads) { return run_input_gradient(1.0, n_threads); }},
      {"linear_input_gradient, by lists", false,
       [](std::size_t n_threads) { return run_input_gradient(0.1, n_threads); }},
      {"linear_update, dense", true,
       [](std::size_t n_threads) { return run_update(1.0, n_threads); }},
      {"linear_update, by lists", true,
       [](std::size_t n_threads) { return run_update(0.1, n_threads); }},
      {"maxout_input_gradient", false, run_winners_input_gradient},
      {"maxout_update", true, run_winners_update},
      {"activation_delta", false, run_activation_delta},
      {"batch_costs", false, run_costs},
      {"nearest_neighbors", false, run_neighbors},
      {"count_within", false, run_count},
      {"parzen_log_sums, merge_log_sums", false, run_parzen},
      {"index_nearest_neighbors", false, run_index_neighbors},
      {"index_count_within", false, run_index_count},
      {"index_parzen_log_sums", false, run_index_parzen},
      {"index_probe", false, run_index_probe},
      {"Frame, SketchSet, lower_bounds", false, run_index},
      {"approximate_distances", false, run_approximate},
  };
  return operations;
}

}  // namespace fastgan::tests
