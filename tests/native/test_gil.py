"""Every native call lets other Python threads go on while it computes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from fastgan import _core


def zeros(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


def calls() -> dict[str, Callable[[], object]]:
    """Return a call of every function that computes, each of some 10 ms or more."""
    many, wide = zeros(8_000_000), zeros(4_000, 1_000)
    words, order = zeros(8_000_000, dtype=np.uint32), zeros(1_000_000, dtype=np.int64)
    batch, weight, output = zeros(2_000, 500), zeros(500, 500), zeros(2_000, 500)
    delta, velocity, bias = zeros(2_000, 500) + 1, zeros(500, 500), zeros(500)
    short, winner = zeros(2_000, 100) + 1, zeros(2_000, 100, dtype=np.uint8)
    pieces, of_pieces = zeros(4_000, 5_000), zeros(5_000)
    values, won = zeros(4_000, 1_000), zeros(4_000, 1_000, dtype=np.uint8)
    logits = zeros(400_000, 1)
    rows = np.random.default_rng(0).standard_normal((3_000, 100)).astype(np.float32)
    near, which = zeros(3_000, 1, dtype=np.float64), zeros(3_000, 1, dtype=np.int64)
    distances, bounds = zeros(3_000, 3_000, dtype=np.float64), zeros(3_000, 3_000, dtype=np.float64)
    radii, counts = np.full(3_000, 200.0), zeros(3_000, dtype=np.int64)
    sums, dropped = zeros(1, 1, 3_000, dtype=np.float64), zeros(1, 1, 3_000, dtype=np.float64)
    parts, merged = zeros(200, 1, 30_000, dtype=np.float64), zeros(1, 30_000, dtype=np.float64)
    least, met = np.full(3_000, np.inf), zeros(1, 3_000, dtype=np.float64)
    sigma = np.ones(1)
    frame = _core.Frame(rows, 1)
    queries, samples = (_core.Sketch(frame, rows, role, 1) for role in ("queries", "samples"))
    mask, move = (0.5, 0, 0, 0), (0.1, 0.5, np.inf, 1)

    def fresh(call: Callable[..., object]) -> Callable[[], object]:
        def with_no_answer_yet() -> object:
            near.fill(np.inf)
            which.fill(-1)
            return call(queries, samples, None, 0, 1, near, which)

        return with_no_answer_yet

    return {
        "philox_words": lambda: _core.philox_words(words, 0, 0, 0, 0, 1),
        "philox_uniform": lambda: _core.philox_uniform(many, 0, 0, 0, 0, 1),
        "philox_normal": lambda: _core.philox_normal(many, 0, 0, 0, 0, 1),
        "philox_permutation": lambda: _core.philox_permutation(order, 0, 0, 0, 1),
        "dropout": lambda: _core.dropout(many, many, *mask, 0, 1),
        "maxout_forward": lambda: _core.maxout_forward(
            pieces, of_pieces, values, won, 5, *mask, 0, 1
        ),
        "maxout_backward": lambda: _core.maxout_backward(
            values, won, pieces, of_pieces, 5, *mask, 0, 1
        ),
        "momentum_sgd": lambda: _core.momentum_sgd(wide, wide + 0, wide + 0, *move),
        "move_weight": lambda: _core.move_weight(wide, wide + 0, np.inf, 1),
        "batch_costs": lambda: _core.batch_costs(logits, False, zeros(400_000), zeros(200_000)),
        "linear_forward": lambda: _core.linear_forward(batch, weight, None, "sigmoid", output, 1),
        "linear_input_gradient": lambda: _core.linear_input_gradient(delta, weight, output, 1),
        "linear_update": lambda: _core.linear_update(
            delta, None, batch, weight, velocity, bias, bias + 0, *move
        ),
        "maxout_input_gradient": lambda: _core.maxout_input_gradient(
            short, winner, 5, weight, output, 1
        ),
        "maxout_update": lambda: _core.maxout_update(
            short, winner, 5, None, batch, weight, velocity, bias, bias + 0, *move
        ),
        "activation_delta": lambda: _core.activation_delta(
            wide, None, *mask, "sigmoid", values, values, 1
        ),
        "approximate_distances": lambda: _core.approximate_distances(
            rows, rows, False, distances, bounds
        ),
        "nearest_neighbors": lambda: _core.nearest_neighbors(rows, rows, False, 1, near, which),
        "count_within": lambda: _core.count_within(rows, rows, radii, None, 1, counts, counts + 0),
        "parzen_log_sums": lambda: _core.parzen_log_sums(
            rows, rows, sigma, 3_000, None, "auto", 1, sums
        ),
        "merge_log_sums": lambda: _core.merge_log_sums(parts, merged),
        "Frame": lambda: _core.Frame(rows, 1),
        "Sketch": lambda: _core.Sketch(frame, rows, "samples", 1),
        "index_nearest_neighbors": fresh(_core.index_nearest_neighbors),
        "index_count_within": lambda: _core.index_count_within(
            queries, samples, radii, None, 1, counts, counts + 0
        ),
        "index_parzen_log_sums": lambda: _core.index_parzen_log_sums(
            queries, samples, sigma, 20.0, least, 3_000, None, 1, sums, dropped, met
        ),
        "index_lower_bounds": lambda: _core.index_lower_bounds(queries, samples, distances, bounds),
        "index_probe": lambda: _core.index_probe(frame, rows, 1.0, 1),
    }


# They read or set a number.
SHORT = {"simd_level", "simd_levels", "force_simd_level", "philox_block", "run_tasks"}


def test_other_threads_go_on_during_every_call() -> None:
    named = calls()
    functions = {name for name in dir(_core) if not name.startswith("_")}
    assert set(named) == functions - SHORT, "a function is missing here"
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(0.001):
            ticks.append(time.monotonic())

    def goes_on(call: Callable[[], object]) -> bool:
        """Whether the other thread ran well within the call: not just before or after it."""
        begin = time.monotonic()
        call()
        seconds = time.monotonic() - begin
        return any(0.25 < (at - begin) / seconds < 0.75 for at in ticks[-1000:])

    other = threading.Thread(target=tick)
    other.start()
    try:
        held = [name for name, call in named.items() if not any(goes_on(call) for _ in range(20))]
    finally:
        stop.set()
        other.join()
    assert not held


@pytest.mark.parametrize("n_callers", [2, 8])
def test_callers_at_once(n_callers: int) -> None:
    """Different operations at once, of all numbers of threads."""
    rows = np.random.default_rng(1).standard_normal((300, 40)).astype(np.float32)

    def answer(which: int, n_threads: int) -> bytes:
        if which % 3 == 0:
            order = np.empty(40_000, np.int64)
            _core.philox_permutation(order, which, 0, 0, n_threads)
            return order.tobytes()
        if which % 3 == 1:
            near, indices = np.empty((300, 2)), np.empty((300, 2), np.int64)
            _core.nearest_neighbors(rows, rows, True, n_threads, near, indices)
            return near.tobytes() + indices.tobytes()
        sums = np.empty((3, 2, 300))
        _core.parzen_log_sums(rows, rows, np.array([0.3, 2.0]), 128, 0, "auto", n_threads, sums)
        return sums.tobytes()

    expected = [answer(which, 1) for which in range(n_callers)]
    wrong = []

    def call(which: int) -> None:
        if any(answer(which, 1 + which % 4) != expected[which] for _ in range(20)):
            wrong.append(which)

    callers = [threading.Thread(target=call, args=(which,)) for which in range(n_callers)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong
