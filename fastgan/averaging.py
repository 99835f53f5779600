"""An exponential average of the generator's weights, kept beside training and untouched by it.

A departure of ours from the paper, in recipes that name it. The steps of simultaneous gradient
descent circle around where they go; the average of the weights lies nearer to it than any one of
them (Yazici et al., *The Unusual Effectiveness of Averaging in GAN Training*, 2019, section 3).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fastgan.checks import check_state

PREFIX = "average."  # of the average's tensors in a checkpoint


class WeightAverage:
    """A generator whose weights are the exponential average of those of another.

    After every ``every``-th update of training, average <- decay average + (1 - decay) weights, for
    each parameter. Up to the first of these the average is the weights themselves. Buffers (running
    means of a normalisation, say) are taken over as they are.

    Parameters
    ----------
    generator : nn.Module
        The generator that is trained. It is read, never written.
    decay : float
        In (0, 1).
    every : int
        Updates between two steps of the average, at least 1.

    Attributes
    ----------
    generator : nn.Module
        A copy with the averaged weights, in evaluation mode, asking for no gradient.

    Raises
    ------
    ValueError
        If ``decay`` or ``every`` is out of its range.
    """

    def __init__(self, generator: nn.Module, decay: float, every: int) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"decay: expected a number between 0 and 1, got {decay}")
        if every < 1:
            raise ValueError(f"every: expected an integer of at least 1, got {every}")
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        self._decay = decay
        self._every = every
        self._weights: list[Tensor] = list(generator.parameters())
        self._averages: list[Tensor] = list(self.generator.parameters())
        self._buffers = list(zip(self.generator.buffers(), generator.buffers(), strict=True))

    @torch.no_grad()
    def update(self, n_updates: int) -> None:
        """Take the weights in; call it after every update, with how many there have been so far.

        One pass over the weights, in place, every ``every`` updates: nothing is allocated.
        """
        if n_updates <= self._every:
            for average, weight in zip(self._averages, self._weights, strict=True):
                average.copy_(weight)
        elif n_updates % self._every == 0:
            torch._foreach_lerp_(self._averages, self._weights, 1.0 - self._decay)
        else:
            return
        for own, theirs in self._buffers:
            own.copy_(theirs)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged generator's tensors, keys ``average.*``; they share its memory."""
        return {f"{PREFIX}{key}": value for key, value in self.generator.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put a state in place; nothing is changed if a tensor is missing, unknown or misshapen.

        Raises ValueError with the tensor's name, what was expected and what came.
        """
        own = self.state_dict()
        check_state(state, own)
        for name, value in own.items():
            value.copy_(state[name])
