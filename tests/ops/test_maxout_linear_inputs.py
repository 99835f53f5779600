"""maxout_linear's arguments: what is refused, and in what words."""

import re

import pytest
import torch

from fastgan import ops


def good() -> dict[str, object]:
    return {
        "input": torch.ones(2, 3),
        "weight": torch.ones(8, 3),
        "bias": torch.ones(8),
        "n_pieces": 4,
    }


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"input": None}, TypeError, "input: expected a torch.Tensor, got NoneType"),
        (
            {"input": torch.ones(2, 3).half()},
            TypeError,
            "input: expected dtype float32 or float64, got float16",
        ),
        (
            {"input": torch.ones(3)},
            ValueError,
            "input: expected 2 dimensions (n, n_features), got shape (3,)",
        ),
        (
            {"input": torch.ones(2, 0), "weight": torch.ones(8, 0)},
            ValueError,
            "input: expected at least 1 feature, got shape (2, 0)",
        ),
        (
            {"weight": torch.ones(8, 3).double()},
            TypeError,
            "weight: expected dtype float32 like input, got float64",
        ),
        (
            {"weight": torch.ones(8, 3, device="meta")},
            ValueError,
            "weight: expected device cpu like input, got meta",
        ),
        (
            {"weight": torch.ones(8)},
            ValueError,
            "weight: expected 2 dimensions (n_units * n_pieces, n_features), got shape (8,)",
        ),
        (
            {"weight": torch.ones(8, 2)},
            ValueError,
            "weight: expected shape (n_units * n_pieces, n_features) = (8, 3), got shape (8, 2)",
        ),
        (
            {"weight": torch.ones(0, 3)},
            ValueError,
            "weight: expected a multiple of n_pieces = 4 rows, got shape (0, 3)",
        ),
        (
            {"n_pieces": 3},
            ValueError,
            "weight: expected a multiple of n_pieces = 3 rows, got shape (8, 3)",
        ),
        ({"n_pieces": 0}, ValueError, "n_pieces: expected an integer from 1 to 256, got 0"),
        ({"n_pieces": 257}, ValueError, "n_pieces: expected an integer from 1 to 256, got 257"),
        ({"n_pieces": 2.0}, TypeError, "n_pieces: expected an integer, got 2.0"),
        (
            {"bias": torch.ones(7)},
            ValueError,
            "bias: expected shape (n_units * n_pieces,) = (8,), got shape (7,)",
        ),
        ({"bias": None}, TypeError, "bias: expected a torch.Tensor, got NoneType"),
        (
            {"include_probability": -0.5},
            ValueError,
            "include_probability: expected a probability above 0 and at most 1, got -0.5",
        ),
        (
            {"include_probability": 0.5, "step": 1, "stream": 1},
            ValueError,
            "seed: expected a value as include_probability is below 1, got None",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "stream": 1},
            ValueError,
            "step: expected a value as include_probability is below 1, got None",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "step": 1},
            ValueError,
            "stream: expected a value as include_probability is below 1, got None",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "step": -1, "stream": 1},
            ValueError,
            "step: expected an integer from 0 to 4294967295, got -1",
        ),
        (
            {"include_probability": 0.5, "seed": 1, "step": 1, "stream": 1, "first_row": 2**62},
            ValueError,
            "first_row: expected (first_row + n_rows) * n_columns of at most",
        ),
        (
            {"impl": "cuda"},
            ValueError,
            "impl: expected one of auto, reference, native, triton, got",
        ),
    ],
)
def test_wrong_inputs(wrong, error, sentence) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        ops.maxout_linear(**{**good(), **wrong})
