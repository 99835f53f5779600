"""The sentences of the shared checks that the operations' own tests do not reach."""

import re

import numpy as np
import pytest
import torch

from fastgan import checks


@pytest.mark.parametrize(
    ("check", "error", "sentence"),
    [
        (
            lambda: checks.check_matrix("samples", np.zeros((3, 4, 5)), "n_samples", "n_features"),
            ValueError,
            "samples: expected 2 dimensions (n_samples, n_features), got shape (3, 4, 5)",
        ),
        (
            lambda: checks.check_dimensions("sigmas", torch.ones(2, 2), ("n_sigmas",)),
            ValueError,
            "sigmas: expected 1 dimension (n_sigmas,), got shape (2, 2)",
        ),
        (
            lambda: checks.check_same_dtype(
                "samples", np.zeros(1, np.uint8), "queries", np.zeros(1, np.float32)
            ),
            TypeError,
            "samples: expected dtype float32 like queries, got uint8",
        ),
        (
            lambda: checks.check_integer("k", 0, 1),
            ValueError,
            "k: expected an integer of at least 1, got 0",
        ),
        (
            lambda: checks.check_integer("k", np.float64(2), 1),
            TypeError,
            "k: expected an integer, got",
        ),
        (
            lambda: checks.check_positive("sigma", -1.0),
            ValueError,
            "sigma: expected a number above 0, got -1.0",
        ),
        (
            lambda: checks.check_positive("sigma", np.float32("nan")),
            ValueError,
            "sigma: expected a finite number, got nan",
        ),
        (
            lambda: checks.check_number("sigma", torch.tensor(1.0)),
            TypeError,
            "sigma: expected a number, got tensor(1.)",
        ),
        (
            lambda: checks.check_number("sigma", 1j),
            TypeError,
            "sigma: expected a number, got 1j",
        ),
    ],
)
def test_sentences(check, error, sentence) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        check()


def test_numpys_numbers_are_numbers() -> None:
    checks.check_integer("k", np.int32(3), 1, 5)
    checks.check_number("sigma", np.float32(0.5))
    checks.check_positive("sigma", 1)
    checks.check_probability("p", np.float64(0.5))
