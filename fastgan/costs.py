"""The costs of the two networks, on logits: log(sigmoid(.)) would end in NaN.

Source: section 3 and Algorithm 1 of the paper, and the released recipes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fastgan.recipes import Cost


class Costs(NamedTuple):
    """What a step says about the batch: means over it, 0-d tensors, taken before the update."""

    discriminator: Tensor  # 1/2 [CE(1, D(x)) + CE(0, D(G(z)))]
    generator: Tensor
    real_probability: Tensor  # D(x)
    fake_probability: Tensor  # D(G(z))


def discriminator_cost(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return 1/2 [CE(1, D(x)) + CE(0, D(G(z)))], mean over the batch (the released recipes)."""
    # logsigmoid, as F.softplus drops a term of 2e-9 above 20
    return -0.5 * (F.logsigmoid(real_logits).mean() + F.logsigmoid(-fake_logits).mean())


def generator_cost(fake_logits: Tensor, cost: Cost) -> Tensor:
    """Return what G minimises, mean over the batch.

    ``non_saturating``: CE(1, D(G(z))) = -log D(G(z)) (section 3). ``saturating``: log(1 - D(G(z)))
    (equation 1, Algorithm 1).
    """
    if cost == "non_saturating":
        return -F.logsigmoid(fake_logits).mean()
    return F.logsigmoid(-fake_logits).mean()


def cost_ratio(fake_logits: Tensor, cost: Cost) -> Tensor:
    """Return, for each sample, d(G's cost)/d(logit) over d(D's cost)/d(logit), of shape (n,).

    D's fake term has the derivative sigmoid(l) / (2 n); G's cost has -sigmoid(-l) / n
    (non-saturating) or -sigmoid(l) / n.
    """
    if cost == "non_saturating":
        return -2.0 * torch.exp(-fake_logits)
    return torch.full_like(fake_logits, -2.0)


def logit_gradients(real_logits: Tensor, fake_logits: Tensor, cost: Cost) -> tuple[Tensor, Tensor]:
    """Return the derivative of each cost by each logit.

    D's cost by the real logits and then the fake ones, of shape (2 n,), and G's cost by the fake
    ones, of shape (n,). (D's is (sigmoid(l) - 1) / (2 n) and sigmoid(l) / (2 n); G's
    -sigmoid(-l) / n, or -sigmoid(l) / n if saturating.)
    """
    n = len(fake_logits)
    fake = torch.sigmoid(fake_logits)
    of_discriminator = torch.cat((torch.sigmoid(-real_logits).neg_(), fake)).div_(2 * n)
    of_generator = torch.sigmoid(-fake_logits) if cost == "non_saturating" else fake
    return of_discriminator, of_generator.div(-n)
