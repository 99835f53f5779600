"""How far any float32 step may end from the exact one: a bound, computed and not guessed.

Every number of a step is carried as (value, error): the value that exact arithmetic gives (here
float64, whose own rounding is 2^29 times smaller) and a bound of what a float32 step may have there
instead. The rules are the textbook ones (Higham, *Accuracy and Stability of Numerical Algorithms*,
sections 2.2 and 3.1), with u = 2^-24:

- an operation on given numbers rounds once: |fl(x) - x| <= u |x|, or 2^-126 where that is more
  (a number below the normal ones may be flushed to 0);
- a sum of k products, in any order, with or without fused multiply-adds, is off by at most
  gamma_k sum |a| |b|, gamma_k = k u / (1 - k u);
- errors of the operands pass through: e_a |b| + |a| e_b + e_a e_b for a product, and by the largest
  derivative within reach for a function;
- which piece wins, and whether a ReLU is open, may come out otherwise where the margin is within
  the errors: there the whole derivative is in doubt, and it counts as error in each piece that can
  win.

The step is free to sum in any order and to scale by n, 1 / include probability, the learning rate
and a row's share at any place: ``N_SCALINGS`` roundings are allowed for these in all.
"""

import math

import torch

from fastgan.reference import training_step as specification
from fastgan.streams import Passage

U = 2.0**-24
TINY = 2.0**-126
N_SCALINGS = 8
# exp within 2 units in the last place (4 u), 1 + it, the quotient, and the rounding of -x.
N_SIGMOID = 8


def gamma(n):
    return n * U / (1 - n * U)


class Bounded:
    """A float64 tensor of exact values and one of bounds of a float32 step's errors."""

    def __init__(self, value, error=None):
        self.value = value
        self.error = torch.zeros_like(value) if error is None else error

    def __getitem__(self, index):
        return Bounded(self.value[index], self.error[index])

    def rounded(self, n=1):
        """Add the errors of n roundings, relative to the largest value within reach; 0 stays 0."""
        reach = self.value.abs() + self.error
        return Bounded(self.value, self.error + gamma(n) * reach + TINY * (reach > 0))

    def __add__(self, other):
        return Bounded(self.value + other.value, self.error + other.error).rounded()

    def __mul__(self, other):
        a, b = self.value.abs(), other.value.abs()
        error = self.error * b + a * other.error + self.error * other.error
        return Bounded(self.value * other.value, error).rounded()

    def times(self, factor, n_roundings=1):
        """Multiply by known numbers that float32 has to within n_roundings - 1 roundings."""
        factor = torch.as_tensor(factor, dtype=torch.float64)
        return Bounded(self.value * factor, self.error * factor.abs()).rounded(n_roundings)

    @property
    def T(self):  # noqa: N802
        return Bounded(self.value.T, self.error.T)

    def __matmul__(self, other):
        n_terms = self.value.shape[-1]
        a, b = self.value.abs(), other.value.abs()
        passed = self.error @ b + a @ other.error + self.error @ other.error
        reach = (a + self.error) @ (b + other.error)
        error = passed + gamma(n_terms) * reach + n_terms * TINY * (reach > 0)
        return Bounded(self.value @ other.value, error)

    def sum_of_rows(self):
        reach = (self.value.abs() + self.error).sum(dim=0)
        error = self.error.sum(dim=0) + gamma(len(self.value)) * reach
        return Bounded(self.value.sum(dim=0), error)

    def sigmoid(self):
        value = torch.sigmoid(self.value)
        # s' = s (1 - s) grows by at most exp(e) within e
        slope = value * torch.sigmoid(-self.value) * torch.exp(self.error)
        return Bounded(value, self.error * slope).rounded(N_SIGMOID)


def concatenate(first, second):
    return Bounded(torch.cat((first.value, second.value)), torch.cat((first.error, second.error)))


def linear(inputs, weight, bias):
    products = inputs @ weight.T
    sums = products + bias
    # A sum that starts from the bias rounds it with every term; but b + 0 is b, so that the pieces
    # of a row whose inputs are all dropped are the biases, and may be equal in truth.
    sums.error += gamma(len(weight.value.T)) * (bias.value.abs() + bias.error)
    nothing = (products.value == 0) & (products.error == 0)
    return Bounded(sums.value, torch.where(nothing, bias.error, sums.error))


class BoundedStep:
    """One step of the specification on bounded numbers; ``state`` holds Bounded tensors after it.

    Attributes
    ----------
    state : dict of str to Bounded
        Parameters and velocities after the step.
    logits : dict of str to Bounded
        Of ``real`` and ``fake`` images before it, and of the pass that decides G's cost.
    """

    def __init__(self, recipe, state, batch):
        self.recipe = recipe
        self.update, self.epoch = int(state["update"]), int(state["epoch"])
        self.state = {k: Bounded(v.double()) for k, v in state.items() if v.is_floating_point()}
        batch = Bounded(batch.double())
        n = len(batch.value)
        values = self.generator(n, Passage.FAKE)
        real, fake = self.logits_of(batch, Passage.REAL), self.logits_of(values[-1], Passage.FAKE)
        self.logits = {"real": real[0], "fake": fake[0], "generator": fake[0]}
        # Both terms in one pass over 2 n rows: no order of summing them has more roundings.
        of_real = Bounded(-real[0].value, real[0].error).sigmoid().times(-0.5 / n, N_SCALINGS)
        of_fake = fake[0].sigmoid().times(0.5 / n, N_SCALINGS)
        both = [
            [concatenate(a, b) for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(real[1:3], fake[1:3], strict=True)
        ]
        scales = [torch.cat(pair) for pair in zip(real[3], fake[3], strict=True)]
        of_discriminator, _ = self.back_through_discriminator(
            (None, *both, scales), concatenate(of_real, of_fake)
        )
        if recipe.schedule == "simultaneous":
            of_generator = self.of_generator(values, fake)
            self.move(of_discriminator, 2 * n)
            self.move(of_generator, n)
        else:
            self.move(of_discriminator, 2 * n)
            if (self.update + 1) % recipe.k == 0:
                values = self.generator(n, Passage.GENERATOR)
                fresh = self.logits_of(values[-1], Passage.GENERATOR)
                self.logits["generator"] = fresh[0]
                self.move(self.of_generator(values, fresh), n)

    def layer(self, name):
        return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

    def generator(self, n, passage):
        like = torch.empty(0, dtype=torch.float64)
        z = specification.latent(self.recipe, n, self.recipe.seed, self.update, passage, like)
        # normal numbers come within 2 units in the last place: 4 u; the uniform ones within 3 u
        values = [Bounded(z).rounded(4)]
        for index, layer in enumerate(self.recipe.dense_layers):
            sums = linear(values[-1], *self.layer(f"generator.layers.{index}"))
            if layer.activation == "relu":
                shut = sums.value + sums.error <= 0  # however it rounds: 0 exactly
                sums = Bounded(sums.value.clamp(min=0), sums.error.masked_fill(shut, 0.0))
            elif layer.activation == "sigmoid":
                sums = sums.sigmoid()
            values.append(sums)
        return values

    def logits_of(self, values, passage):
        """Return logits, the inputs of each layer, the pieces of each, and the scales of each."""
        inputs, pieces, scales = [], [], []
        for index, layer in enumerate(self.recipe.maxout_layers):
            scales.append(self.scale(index, passage, values.value))
            inputs.append(values.times(scales[-1], 2))
            sums = linear(inputs[-1], *self.layer(f"discriminator.layers.{index}"))
            shape = (len(sums.value), layer.n_units, layer.n_pieces)
            pieces.append(Bounded(sums.value.reshape(shape), sums.error.reshape(shape)))
            values = Bounded(pieces[-1].value.amax(dim=2), pieces[-1].error.amax(dim=2))
        scales.append(self.scale(len(pieces), passage, values.value))
        inputs.append(values.times(scales[-1], 2))
        logits = linear(inputs[-1], *self.layer("discriminator.output"))
        return logits[:, 0], inputs, pieces, scales

    def scale(self, layer, passage, like):
        return specification.dropout_scale(
            self.recipe, layer, self.recipe.seed, self.update, passage, like
        )

    def back_through_discriminator(self, passed, of_logits):
        _, inputs, pieces, scales = passed
        delta = Bounded(of_logits.value.unsqueeze(1), of_logits.error.unsqueeze(1))
        name = "discriminator.output"
        gradients = {f"{name}.weight": delta.T @ inputs[-1], f"{name}.bias": delta.sum_of_rows()}
        delta = (delta @ self.state[f"{name}.weight"]).times(scales[-1], 2)
        for index in reversed(range(len(pieces))):
            delta = through_winner(delta, pieces[index])
            name = f"discriminator.layers.{index}"
            gradients[f"{name}.weight"] = delta.T @ inputs[index]
            gradients[f"{name}.bias"] = delta.sum_of_rows()
            delta = (delta @ self.state[f"{name}.weight"]).times(scales[index], 2)
        return gradients, delta

    def of_generator(self, values, passed):
        logits = passed[0]
        sign = -1.0 if self.recipe.cost == "non_saturating" else 1.0
        of_logits = Bounded(sign * logits.value, logits.error).sigmoid()
        of_logits = of_logits.times(-1.0 / len(logits.value), N_SCALINGS)
        _, delta = self.back_through_discriminator(passed, of_logits)
        gradients = {}
        for index in reversed(range(len(self.recipe.dense_layers))):
            delta = through_activation(
                delta, values[index + 1], self.recipe.dense_layers[index].activation
            )
            name = f"generator.layers.{index}"
            gradients[f"{name}.weight"] = delta.T @ values[index]
            gradients[f"{name}.bias"] = delta.sum_of_rows()
            delta = delta @ self.state[f"{name}.weight"]
        return gradients

    def move(self, gradients, n_terms):
        """Update; a gradient may be summed straight into the velocity, which rounds n_terms times.

        Learning rate, momentum and limit round to float32 too.
        """
        lr, momentum = specification.rates(self.recipe, self.update, self.epoch)
        for name, gradient in gradients.items():
            kept = self.state[f"velocity.{name}"].times(momentum, 2 + n_terms)
            velocity = kept + gradient.times(-lr, 2)
            weight = self.state[name] + velocity
            if self.recipe.max_norm is not None and weight.value.ndim == 2:
                weight = limited(weight, self.recipe.max_norm)
            self.state[f"velocity.{name}"], self.state[name] = velocity, weight


def through_winner(delta, pieces):
    """Return delta by the pieces: all of it in doubt for each that may win by its bound."""
    winner = pieces.value.argmax(dim=2, keepdim=True)  # the lowest of equal ones
    lowest_of_best = (pieces.value - pieces.error).amax(dim=2, keepdim=True)
    may_win = pieces.value + pieces.error >= lowest_of_best
    certain = (pieces.error == 0).all(dim=2, keepdim=True)
    in_doubt = may_win & (may_win.sum(dim=2, keepdim=True) > 1) & ~certain
    value, error = delta.value.unsqueeze(2), delta.error.unsqueeze(2)
    wins = torch.zeros_like(pieces.value).scatter_(2, winner, 1.0)
    errors = torch.where(in_doubt, value.abs() + error, wins * error)
    return Bounded((wins * value).flatten(1), errors.flatten(1))


def through_activation(delta, after, activation):
    if activation == "linear":
        return delta
    if activation == "relu":
        is_open = after.value > 0
        in_doubt = (after.value <= after.error) & (after.error > 0)
        errors = torch.where(in_doubt, delta.value.abs() + delta.error, is_open * delta.error)
        return Bounded(delta.value * is_open, errors)
    y, e = after.value, after.error
    slope = Bounded(y * (1 - y), e * (1 - 2 * y).abs() + e * e).rounded(2)
    return delta * slope


def limited(weight, max_norm):
    """Return w min(|w|, c) / (1e-7 + |w|): the factor has a slope of at most its value / |w|."""
    n_columns = weight.value.shape[1]
    norm = weight.value.norm(dim=1, keepdim=True)
    # squares, their sum, the root
    error = weight.error.norm(dim=1, keepdim=True)
    error = error + gamma(n_columns + 2) * (norm + error)
    factor = norm.clamp(max=max_norm) / (1e-7 + norm)
    relative = torch.expm1(error / (norm - error).clamp(min=math.ulp(0.0)))
    return weight * Bounded(factor, relative * factor).rounded(4)
