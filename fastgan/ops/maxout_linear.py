"""A dense layer of maxout units: product, bias, maximum over pieces, winner, dropout."""

from __future__ import annotations

from torch import Tensor

from fastgan import backends
from fastgan.checks import (
    check_floating,
    check_integer,
    check_matrix,
    check_probability,
    check_same_device,
    check_same_dtype,
    check_shape,
)
from fastgan.ops._draw import check_draw, check_span
from fastgan.reference.maxout_linear import maxout_linear as reference_maxout_linear

N_PIECES_MAX = 256  # the winner is a uint8


def maxout_linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    n_pieces: int,
    *,
    include_probability: float = 1.0,
    seed: int | Tensor | None = None,
    step: int | Tensor | None = None,
    stream: int | None = None,
    first_row: int = 0,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Return the maximum of each unit's linear pieces, and which piece it was.

    ``values[i, u] = max over j of input[i] . weight[u * n_pieces + j] + bias[u * n_pieces + j]``,
    followed by dropout of the values where ``include_probability`` is below 1 (the next layer's
    input dropout, see :func:`fastgan.ops.dropout`). Of equal pieces the lowest wins; a NaN wins
    over numbers. The gradient flows through the values, to the winning piece alone.

    Parameters
    ----------
    input : Tensor of shape (n, n_features), float32 or float64
    weight : Tensor of shape (n_units * n_pieces, n_features)
        Unit u owns the rows u * n_pieces to u * n_pieces + n_pieces - 1.
    bias : Tensor of shape (n_units * n_pieces,)
    n_pieces : int
        1 to 256.
    include_probability : float
        The probability of KEEPING a value, above 0 and at most 1.
    seed, step, stream : optional
        What the mask is drawn from, as in :func:`fastgan.ops.dropout`; needed where
        ``include_probability`` is below 1.
    first_row : int
        The number of the first row within the whole batch.
    impl : str
        ``auto``, ``reference`` or ``native``.

    Returns
    -------
    values : Tensor of shape (n, n_units)
    winner : Tensor of shape (n, n_units), uint8
        The winning piece, of dropped units too.

    Raises
    ------
    TypeError
        If a tensor is not of float32 or float64, or not all are of one dtype.
    ValueError
        If shapes do not fit, a number is out of its range, or seed, step or stream is missing.

    Notes
    -----
    Source: Goodfellow et al., *Maxout Networks*, ICML 2013.
    """
    check_floating("input", input)
    check_matrix("input", input, "n", "n_features")
    for name, value in (("weight", weight), ("bias", bias)):
        check_floating(name, value)
        check_same_dtype(name, value, "input", input)
        check_same_device(name, value, "input", input)
    n, n_features = input.shape
    check_matrix("weight", weight, "n_units * n_pieces", "n_features")
    check_integer("n_pieces", n_pieces, 1, N_PIECES_MAX)
    if n_features == 0:
        raise ValueError(f"input: expected at least 1 feature, got shape {tuple(input.shape)}")
    if weight.shape[0] == 0 or weight.shape[0] % n_pieces != 0:
        raise ValueError(
            f"weight: expected a multiple of n_pieces = {n_pieces} rows, "
            f"got shape {tuple(weight.shape)}"
        )
    check_shape("weight", weight, (weight.shape[0], n_features), "(n_units * n_pieces, n_features)")
    check_shape("bias", bias, (weight.shape[0],), "(n_units * n_pieces,)")
    check_probability("include_probability", include_probability)
    if include_probability < 1:
        for name, given in (("seed", seed), ("step", step), ("stream", stream)):
            if given is None:
                raise ValueError(
                    f"{name}: expected a value as include_probability is below 1, got None"
                )
        check_draw(seed, step, stream, first_row, input.device)
        check_span(first_row, n, weight.shape[0] // n_pieces)
    backends.resolve_impl("maxout_linear", impl, input.device)
    return reference_maxout_linear(
        input,
        weight,
        bias,
        n_pieces,
        include_probability=include_probability,
        seed=seed,
        step=step,
        stream=stream,
        first_row=first_row,
    )
