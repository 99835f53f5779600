"""One whole training step of an MLP pair, by the formulas: the specification of every step class.

Sources: Goodfellow et al., *Generative Adversarial Nets* (2014), Algorithm 1 and section 3; the
paper's released recipes for the schedule, the dropout on the inputs of D's layers, the half in D's
cost and the update; Goodfellow et al., *Maxout Networks*, ICML 2013, section 3.

No autograd, no module and no operation of the library: each derivative is written down. A state is
a dictionary of tensors under the keys of a step's ``state_dict``; the arithmetic is done in the
dtype of its weights. With n the images of the batch, l a logit and s the logistic sigmoid:

====================  ===================================  =========================
cost                  formula                              derivative by l
====================  ===================================  =========================
D, a training image   -1/(2n) log s(l)                     -s(-l) / (2n)
D, a sample           -1/(2n) log s(-l)                    s(l) / (2n)
G, non-saturating     -1/n log s(l)                        -s(-l) / n
G, saturating         1/n log s(-l)                        -s(l) / n
====================  ===================================  =========================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from fastgan.reference import philox
from fastgan.reference.momentum_sgd import NORM_EPSILON, momentum_sgd
from fastgan.streams import Kind, Passage, stream

if TYPE_CHECKING:
    from fastgan.recipes import Recipe

State = dict[str, Tensor]


class StepCosts(NamedTuple):
    """Means over the batch, 0-d, before the update: what a step's ``Costs`` holds."""

    discriminator: Tensor
    generator: Tensor
    real_probability: Tensor
    fake_probability: Tensor


class DiscriminatorPass(NamedTuple):
    """What the way back through D needs of the way forward; lists have an entry for each layer."""

    logits: Tensor  # (n,)
    inputs: list[Tensor]  # after dropout, (n, n_inputs of the layer)
    scales: list[Tensor]  # 1 / include probability where the mask keeps, 0 elsewhere
    winners: list[Tensor]  # int64 (n, n_units) for each maxout layer


@torch.no_grad()
def training_step(
    recipe: Recipe, state: Mapping[str, Tensor], batch: Tensor, *, seed: int | None = None
) -> tuple[State, StepCosts]:
    """Return the state after one batch, and the costs before the update.

    ``simultaneous``: both nets take their gradient at the old weights, and the passage FAKE (z and
    masks) serves D's fake term and G's cost. ``alternating``: D moves; after every k-th batch G
    moves too, on the passage GENERATOR (fresh z and masks) through the D just moved. G's cost is
    that of the pass that moves it, and else that of D's fake pass.

    Parameters
    ----------
    recipe : Recipe
        Layers, costs, schedule, rates and limits.
    state : mapping of str to Tensor
        Keys of ``AutogradStep.state_dict`` for the recipe's own networks: ``generator.layers.I.*``,
        ``discriminator.layers.I.*`` and ``discriminator.output.*`` (weight (n_rows, n_inputs), bias
        (n_rows,)), ``velocity.`` before each, ``update`` (from 0) and ``epoch`` (from 1). It is not
        changed.
    batch : Tensor of shape (n, n_features)
        Training images, of the dtype of the weights; n may be less than ``recipe.batch_size``.
    seed : int, optional
        Philox key of noise and masks; the recipe's by default.

    Returns
    -------
    state : dict of str to Tensor
        All keys of the state that was given, ``update`` one further.
    costs : StepCosts
    """
    new = {name: value.detach().clone() for name, value in state.items()}
    key = recipe.seed if seed is None else seed
    update = int(state["update"])
    n = len(batch)
    values = generator_forward(recipe, new, latent(recipe, n, key, update, Passage.FAKE, batch))
    real = discriminator_forward(recipe, new, batch, key, update, Passage.REAL)
    fake = discriminator_forward(recipe, new, values[-1], key, update, Passage.FAKE)
    cost_of_discriminator = -0.5 * (_log_sigmoid(real.logits) + _log_sigmoid(-fake.logits)).mean()
    cost_of_generator = generator_cost(recipe, fake.logits)

    of_real, _ = discriminator_backward(recipe, new, real, -torch.sigmoid(-real.logits) / (2 * n))
    of_fake, _ = discriminator_backward(recipe, new, fake, torch.sigmoid(fake.logits) / (2 * n))
    of_discriminator = {name: of_real[name] + of_fake[name] for name in of_real}
    if recipe.schedule == "simultaneous":
        of_generator = generator_gradients(recipe, new, fake, values)
        move(recipe, new, of_discriminator)
        move(recipe, new, of_generator)
    else:
        move(recipe, new, of_discriminator)
        if (update + 1) % recipe.k == 0:
            z = latent(recipe, n, key, update, Passage.GENERATOR, batch)
            values = generator_forward(recipe, new, z)
            fresh = discriminator_forward(recipe, new, values[-1], key, update, Passage.GENERATOR)
            cost_of_generator = generator_cost(recipe, fresh.logits)
            move(recipe, new, generator_gradients(recipe, new, fresh, values))
    new["update"] = torch.tensor(update + 1, dtype=torch.int64)
    probabilities = torch.sigmoid(real.logits).mean(), torch.sigmoid(fake.logits).mean()
    return new, StepCosts(cost_of_discriminator, cost_of_generator, *probabilities)


@torch.no_grad()
def limit_norms(recipe: Recipe, state: Mapping[str, Tensor]) -> State:
    """Return the state with every row of every weight matrix inside ``max_norm``.

    Row w becomes w min(|w|, max_norm) / (1e-7 + |w|). Where the recipe says
    ``max_norm_before_training`` this is done once before the first step.
    """
    new = {name: value.detach().clone() for name, value in state.items()}
    if recipe.max_norm is not None:
        for name, weight in new.items():
            if name.endswith(".weight") and not name.startswith("velocity."):
                norm = weight.square().sum(dim=1, keepdim=True).sqrt()
                weight *= norm.clamp(max=recipe.max_norm) / (NORM_EPSILON + norm)
    return new


def latent(
    recipe: Recipe, n: int, seed: int, update: int, passage: Passage, like: Tensor
) -> Tensor:
    """Return z of a passage, of shape (n, n_latent): U(-sqrt 3, sqrt 3) or N(0, 1).

    Drawn in float64, then rounded to the dtype of ``like``.
    """
    shape = (n, recipe.n_latent)
    number = stream(Kind.NOISE, passage)
    if recipe.latent == "normal":
        z = philox.normal(shape, seed, update, number, dtype=torch.float64)
    else:
        z = math.sqrt(3.0) * (2.0 * philox.uniform(shape, seed, update, number).double() - 1.0)
    return z.to(like.dtype)


def include_probabilities(recipe: Recipe) -> list[float]:
    """Return the probability with which each layer of D, the output unit last, keeps an input."""
    hidden = [layer.include_probability for layer in recipe.maxout_layers]
    return [*hidden, recipe.output_include_probability]


def dropout_scale(
    recipe: Recipe, layer: int, seed: int, update: int, passage: Passage, like: Tensor
) -> Tensor:
    """Return what the inputs of a layer of D are multiplied by: 1 / include probability or 0.

    Of the shape and dtype of ``like``, the inputs. With include probability 1 nothing is drawn.
    """
    include = include_probabilities(recipe)[layer]
    if include == 1.0:
        return torch.ones_like(like)
    number = stream(Kind.DROPOUT, passage, layer)
    kept = philox.keep(0, like.numel(), include, seed, update, number).reshape(like.shape)
    return kept.to(like.dtype) / include


def generator_forward(recipe: Recipe, state: Mapping[str, Tensor], z: Tensor) -> list[Tensor]:
    """Return z and the values of every layer of G; the last are the images (n, n_features)."""
    values = [z]
    for index, layer in enumerate(recipe.dense_layers):
        name = f"generator.layers.{index}"
        sums = values[-1] @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        if layer.activation == "relu":
            sums = sums.clamp(min=0.0)
        elif layer.activation == "sigmoid":
            sums = torch.sigmoid(sums)
        values.append(sums)
    return values


def discriminator_forward(
    recipe: Recipe,
    state: Mapping[str, Tensor],
    images: Tensor,
    seed: int,
    update: int,
    passage: Passage,
) -> DiscriminatorPass:
    """Return logits and what the way back needs, for images of shape (n, n_features).

    Unit u of a maxout layer is the maximum of its pieces u k, ..., u k + k - 1. Of equal pieces the
    lowest wins.
    """
    inputs, scales, winners = [], [], []
    values = images
    for index, layer in enumerate(recipe.maxout_layers):
        scales.append(dropout_scale(recipe, index, seed, update, passage, values))
        inputs.append(values * scales[-1])
        name = f"discriminator.layers.{index}"
        pieces = inputs[-1] @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        pieces = pieces.reshape(len(images), layer.n_units, layer.n_pieces)
        values, winner = pieces.max(dim=2)
        winners.append(winner)
    scales.append(dropout_scale(recipe, len(winners), seed, update, passage, values))
    inputs.append(values * scales[-1])
    logits = (
        inputs[-1] @ state["discriminator.output.weight"].T + state["discriminator.output.bias"]
    )
    return DiscriminatorPass(logits[:, 0], inputs, scales, winners)


def discriminator_backward(
    recipe: Recipe, state: Mapping[str, Tensor], passed: DiscriminatorPass, of_logits: Tensor
) -> tuple[State, Tensor]:
    """Return a cost's gradient by D's parameters, and by the images (n, n_features).

    ``of_logits`` (n,) is the cost's derivative by each logit. Only the winning piece of a unit has
    a gradient; an input that its mask drops has none.
    """
    weight = state["discriminator.output.weight"]
    delta = of_logits.unsqueeze(1)
    gradients = {
        "discriminator.output.weight": delta.T @ passed.inputs[-1],
        "discriminator.output.bias": delta.sum(dim=0),
    }
    delta = delta @ weight * passed.scales[-1]
    for index in reversed(range(len(recipe.maxout_layers))):
        n_pieces = recipe.maxout_layers[index].n_pieces
        of_pieces = delta.new_zeros((*delta.shape, n_pieces))
        of_pieces.scatter_(2, passed.winners[index].unsqueeze(2), delta.unsqueeze(2))
        delta = of_pieces.flatten(1)
        name = f"discriminator.layers.{index}"
        gradients[f"{name}.weight"] = delta.T @ passed.inputs[index]
        gradients[f"{name}.bias"] = delta.sum(dim=0)
        delta = delta @ state[f"{name}.weight"] * passed.scales[index]
    return gradients, delta


def generator_backward(
    recipe: Recipe, state: Mapping[str, Tensor], values: list[Tensor], of_images: Tensor
) -> State:
    """Return a cost's gradient by G's parameters, from its gradient by the images.

    A ReLU whose sum is 0 has the derivative 0; a sigmoid of value y has y (1 - y).
    """
    gradients = {}
    delta = of_images
    for index in reversed(range(len(recipe.dense_layers))):
        activation = recipe.dense_layers[index].activation
        value = values[index + 1]
        if activation == "relu":
            delta = delta * (value > 0)
        elif activation == "sigmoid":
            delta = delta * (value * (1.0 - value))
        name = f"generator.layers.{index}"
        gradients[f"{name}.weight"] = delta.T @ values[index]
        gradients[f"{name}.bias"] = delta.sum(dim=0)
        delta = delta @ state[f"{name}.weight"]
    return gradients


def generator_cost(recipe: Recipe, logits: Tensor) -> Tensor:
    """Return the generator's cost, a mean over the batch, of logits of shape (n,)."""
    if recipe.cost == "non_saturating":
        return -_log_sigmoid(logits).mean()
    return _log_sigmoid(-logits).mean()


def generator_gradients(
    recipe: Recipe, state: Mapping[str, Tensor], passed: DiscriminatorPass, values: list[Tensor]
) -> State:
    """Return the gradient of G's cost by G's parameters, through D's dropout and back."""
    logits = passed.logits
    n = len(logits)
    if recipe.cost == "non_saturating":
        of_logits = -torch.sigmoid(-logits) / n
    else:
        of_logits = -torch.sigmoid(logits) / n
    _, of_images = discriminator_backward(recipe, state, passed, of_logits)
    return generator_backward(recipe, state, values, of_images)


def rates(recipe: Recipe, update: int, epoch: int) -> tuple[float, float]:
    """Return learning rate and momentum: max(floor, lr0 / decay^update), and first to last.

    The momentum grows linearly from epoch 1 to epoch ``momentum_epochs``, and then stays.
    """
    lr = max(recipe.learning_rate_floor, recipe.learning_rate / recipe.learning_rate_decay**update)
    grown = 1.0
    if recipe.momentum_epochs > 1:
        grown = min(1.0, (epoch - 1) / (recipe.momentum_epochs - 1))
    return lr, (1.0 - grown) * recipe.momentum_first + grown * recipe.momentum_last


def move(recipe: Recipe, state: State, gradients: Mapping[str, Tensor]) -> None:
    """Update parameters and velocities in place: v <- m v - lr g, w <- w + v, then max-norm."""
    lr, momentum = rates(recipe, int(state["update"]), int(state["epoch"]))
    for name, gradient in gradients.items():
        max_norm = recipe.max_norm if gradient.ndim == 2 else None
        velocity = state[f"velocity.{name}"]
        momentum_sgd(state[name], velocity, gradient, lr, momentum, max_norm)


def _log_sigmoid(logits: Tensor) -> Tensor:
    """Return log s(l) = min(l, 0) - log(1 + exp(-|l|)), which is finite for every finite l."""
    return logits.clamp(max=0.0) - torch.log1p(torch.exp(-logits.abs()))
