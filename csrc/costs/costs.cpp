#include "costs/costs.h"

#include <algorithm>
#include <cmath>

namespace fastgan {
namespace {

double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

// log(1 + exp(x)) = -log sigmoid(-x)
double softplus(double x) {
  return (x > 0.0 ? x : x == x ? 0.0 : x) + std::log1p(std::exp(-std::abs(x)));
}

}  // namespace

template <class T>
BatchCosts batch_costs(std::size_t n_rows, std::size_t n_whole, const T* logits, bool saturating,
                       T* discriminator_gradient, T* generator_gradient) {
  const T* fake_logits = logits + n_rows;
  double real_cost = 0.0, fake_cost = 0.0, of_generator = 0.0, real = 0.0, fake = 0.0;
  const double n = static_cast<double>(n_whole);
  for (std::size_t row = 0; row < n_rows; ++row) {
    const double logit = static_cast<double>(logits[row]);
    real_cost += softplus(-logit);
    real += sigmoid(logit);
    discriminator_gradient[row] = static_cast<T>(-sigmoid(-logit) / (2.0 * n));
  }
  for (std::size_t row = 0; row < n_rows; ++row) {
    const double logit = static_cast<double>(fake_logits[row]);
    const double probability = sigmoid(logit);
    fake_cost += softplus(logit);
    of_generator += saturating ? -softplus(logit) : softplus(-logit);
    fake += probability;
    discriminator_gradient[n_rows + row] = static_cast<T>(probability / (2.0 * n));
    generator_gradient[row] = static_cast<T>(-(saturating ? probability : sigmoid(-logit)) / n);
  }
  return {0.5 * (real_cost / n + fake_cost / n), of_generator / n, real / n, fake / n};
}

template BatchCosts batch_costs<float>(std::size_t, std::size_t, const float*, bool, float*,
                                       float*);
template BatchCosts batch_costs<double>(std::size_t, std::size_t, const double*, bool, double*,
                                        double*);

}  // namespace fastgan
