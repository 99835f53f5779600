"""Ctrl-C during a native call: whose call it ends, how soon, and what works afterwards."""

from __future__ import annotations

import signal
import sys
import textwrap
import time

import pytest
from children import run, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")

LONGEST_SECONDS = 0.5

COMMON = """
import os, signal, sys, threading, time
import numpy as np, torch
import fastgan
from fastgan import _core, ops

n_threads = int(sys.argv[1])
torch.set_num_threads(n_threads)
noise = np.frombuffer(np.random.default_rng(0).bytes(60_000 * 784), np.uint8).reshape(-1, 784)
few = noise[:5]

def say(*words):
    print(*words, time.monotonic(), flush=True)

def works():
    squared, nearest = fastgan.nearest_neighbors(few, noise[:40], strategy="dense")
    return (squared == 0).all() and (nearest.ravel() == np.arange(5)).all()
"""

# Each lasts for seconds at least: minutes, most of them.
CALLS = """
numbers = np.empty(400_000_000, np.float32)
order = np.empty(50_000_000, np.int64)
rows = np.zeros((2_000_000, 784), np.uint8)
batch = np.zeros((400_000, 256), np.float32)
weight, output = np.zeros((1200, 256), np.float32), np.empty((400_000, 1200), np.float32)
frame = _core.Frame(noise, n_threads)
calls = {
    "nearest_neighbors, dense": lambda: fastgan.nearest_neighbors(noise, noise, strategy="dense"),
    "nearest_neighbors, pruned": lambda: fastgan.nearest_neighbors(noise, noise, strategy="pruned"),
    "parzen, dense": lambda: fastgan.parzen_log_likelihood(noise, noise, 9.0, strategy="dense"),
    "parzen, pruned": lambda: fastgan.parzen_log_likelihood(noise, noise, 9.0, strategy="pruned"),
    "count_within": lambda: ops.count_within(noise, noise, np.full(len(noise), 9.0)),
    "building an index": lambda: _core.Sketch(frame, rows, "samples", n_threads),
    "philox_normal": lambda: _core.philox_normal(numbers, 0, 0, 0, 0, n_threads),
    "philox_permutation": lambda: _core.philox_permutation(order, 0, 0, 0, n_threads),
    "linear_forward": lambda: _core.linear_forward(
        batch, weight, None, "linear", output, n_threads
    ),
}
for name, call in calls.items():
    try:
        say("begins", name.replace(" ", "_"))
        call()
        say("ended")
    except KeyboardInterrupt:
        say("interrupted")
    assert works()
"""


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_ends_every_long_call(n_threads: int) -> None:
    late_seconds: dict[str, float] = {}
    with start(COMMON + CALLS, n_threads) as child:
        for line in child.stdout:
            said, name, _ = line.split(" ", 2)
            assert said == "begins", line + child.stdout.read()
            time.sleep(0.3)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            said, came = child.stdout.readline().split()
            assert said == "interrupted", name
            late_seconds[name] = float(came) - sent
    assert child.returncode == 0
    assert len(late_seconds) == 9
    assert max(late_seconds.values()) < LONGEST_SECONDS, late_seconds


def test_a_handler_that_returns_lets_the_call_go_on() -> None:
    """As the training loop's does at the first Ctrl-C; it may even call, on the same thread."""
    program = """
    asked = []

    def handler(number, frame):
        asked.append(works())
        say("handled")

    signal.signal(signal.SIGINT, handler)
    queries = noise[:4_000]
    expected = fastgan.nearest_neighbors(queries, noise[:20_000], strategy="dense")
    for n in (1, 2):
        torch.set_num_threads(n)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        while True:
            found = fastgan.nearest_neighbors(queries, noise[:20_000], strategy="dense")
            assert all((a == b).all() for a, b in zip(found, expected))
            if len(asked) == n:
                break
            assert time.monotonic() < begun + 60
    assert asked == [True, True]
    """
    run(COMMON + textwrap.dedent(program), 1)


def test_ctrl_c_is_meant_for_the_main_thread_alone() -> None:
    program = """
    expected = fastgan.nearest_neighbors(noise[:4_000], noise[:20_000], strategy="dense")
    found, begun = [], threading.Event()

    def call():
        begun.set()
        found.append(fastgan.nearest_neighbors(noise[:4_000], noise[:20_000], strategy="dense"))

    other = threading.Thread(target=call)
    other.start()
    begun.wait()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        fastgan.nearest_neighbors(noise, noise, strategy="dense")
        raise SystemExit("it was not interrupted")
    except KeyboardInterrupt:
        pass
    other.join()
    assert all((a == b).all() for a, b in zip(found[0], expected))
    """
    run(COMMON + textwrap.dedent(program), 2)


def test_what_another_handler_raises_comes_out() -> None:
    program = """
    class TooLate(Exception):
        pass

    def handler(number, frame):
        raise TooLate("the time is up")

    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        fastgan.nearest_neighbors(noise, noise, strategy="dense")
        raise SystemExit("it was not interrupted")
    except TooLate as error:
        assert str(error) == "the time is up"
    assert works()
    """
    run(COMMON + textwrap.dedent(program), 2)


def test_an_update_in_place_is_finished() -> None:
    """No weights of which a part has moved: Ctrl-C comes out after the update."""
    program = """
    weight = np.zeros((2_000, 50_000), np.float32)
    velocity, gradient = np.zeros_like(weight), np.ones_like(weight)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        while True:
            _core.momentum_sgd(weight, velocity, gradient, 1.0, 0.0, np.inf, n_threads)
    except KeyboardInterrupt:
        pass
    assert weight.min() == weight.max() <= -1, (weight.min(), weight.max())
    assert (velocity == -1).all()
    """
    run(COMMON + textwrap.dedent(program), 2)
