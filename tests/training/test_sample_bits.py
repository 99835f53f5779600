"""Samples have the same bits for any number of torch's threads."""

from __future__ import annotations

import pytest
import torch

from fastgan.models import Generator, sample_from
from fastgan.recipes import MNIST, DenseLayer, Recipe, TransposedConvolutionLayer

CONVOLUTIONAL = MNIST.replace(
    n_latent=20,
    generator=(
        DenseLayer(12 * 12 * 16, "relu", initial_range=0.3),
        TransposedConvolutionLayer(12, 16, 1, 5, 2, activation="sigmoid", initial_range=0.3),
    ),
)


class Own(torch.nn.Module):
    """A module of the user's, whose blocks are drawn one after the other."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)


@pytest.mark.parametrize("recipe", [MNIST, CONVOLUTIONAL], ids=["mnist", "convolutional"])
@pytest.mark.parametrize("wrap", [lambda generator: generator, Own], ids=["ours", "own"])
def test_samples_do_not_depend_on_threads(recipe: Recipe, wrap) -> None:
    generator = wrap(Generator(recipe))
    before = torch.get_num_threads()
    drawn = []
    try:
        for n_threads in (1, 2, 3, 7):
            torch.set_num_threads(n_threads)
            drawn.append(sample_from(generator, recipe, 2_300, 1, first_row=450))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert drawn[0].std() > 0.01
    assert all(torch.equal(samples, drawn[0]) for samples in drawn[1:])
