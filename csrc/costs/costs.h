// The two costs of a batch and their derivatives by each logit.
#pragma once

#include <cstddef>

namespace fastgan {

struct BatchCosts {
  double discriminator;     // 1/2 [CE(1, D(x)) + CE(0, D(G(z)))]
  double generator;         // CE(1, D(G(z))), or log(1 - D(G(z))) if saturating
  double real_probability;  // D(x)
  double fake_probability;  // D(G(z))
};

// logits: n_rows of real images, then n_rows of fake ones; n_rows is at least 1. They are n_rows of
// the n_whole that the batch has: what is returned is their part of the means over all of these,
// summed in double, in order. discriminator_gradient (2 n_rows) and generator_gradient (n_rows)
// receive the derivatives of the two costs by each logit, and by each fake logit.
template <class T>
BatchCosts batch_costs(std::size_t n_rows, std::size_t n_whole, const T* logits, bool saturating,
                       T* discriminator_gradient, T* generator_gradient);

}  // namespace fastgan
