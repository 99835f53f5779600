"""Maxout layers of random and of exact numbers, and the masks that are drawn of them."""

import torch

SEED, STEP = torch.tensor(-3), torch.tensor(4)
DRAW = {"include_probability": 0.5, "seed": SEED, "step": STEP, "stream": 5, "first_row": 6}


def layer(
    n: int, n_features: int, n_units: int, n_pieces: int, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(n + 10 * n_features + 100 * n_units)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)

    return [
        randn(n, n_features),
        randn(n_units * n_pieces, n_features) / n_features**0.5,
        randn(n_units * n_pieces),
    ]


def integer_layer(n: int, n_features: int, n_units: int, n_pieces: int, dtype: torch.dtype):
    """Small integers: every sum is exact in any order, so results must be equal in every bit."""
    generator = torch.Generator().manual_seed(n_units)
    return [
        torch.randint(-3, 4, shape, generator=generator).to(dtype)
        for shape in ((n, n_features), (n_units * n_pieces, n_features), (n_units * n_pieces,))
    ]


def drawn_on(device: torch.device) -> dict[str, object]:
    return {**DRAW, "seed": SEED.to(device), "step": STEP.to(device)}
