"""The native pool: forks, exceptions, concurrent and nested callers, sleep between calls."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from fastgan import _core

N = 1 << 18


def drawn(seed: int, n_threads: int) -> np.ndarray:
    out = np.empty(N, np.uint32)
    _core.philox_words(out, seed, 0, 0, 0, n_threads)
    return out


@pytest.mark.parametrize("n_threads", [1, 2, 5, 64])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 7, 1000])
def test_every_task_runs_once(n_tasks: int, n_threads: int) -> None:
    counts = [0] * n_tasks

    def task(index: int) -> None:
        counts[index] += 1

    _core.run_tasks(n_tasks, n_threads, task)
    assert counts == [1] * n_tasks


def test_at_most_n_threads_take_part() -> None:
    _core.run_tasks(8, 8, lambda index: time.sleep(0.001))  # the pool now has seven threads
    seen = set()

    def task(index: int) -> None:
        seen.add(threading.get_ident())
        time.sleep(0.002)

    _core.run_tasks(20, 3, task)
    assert 1 <= len(seen) <= 3
    assert len(seen) > 1


def test_exception_of_a_task_reaches_the_caller_and_the_pool_goes_on() -> None:
    ran = []

    def task(index: int) -> None:
        ran.append(index)
        if index == 3:
            raise KeyError("task three")
        time.sleep(0.001)  # gives up the GIL: task three fails long before a thousand of these end

    for _ in range(20):
        ran.clear()
        with pytest.raises(KeyError, match="task three"):
            _core.run_tasks(1000, 4, task)
        assert len(ran) < 1000, "tasks that had not started should have been skipped"
    np.testing.assert_array_equal(drawn(1, 4), drawn(1, 1))


def test_call_from_inside_a_task_runs_on_its_thread() -> None:
    same = []

    def outer(index: int) -> None:
        here = threading.get_ident()
        _core.run_tasks(3, 4, lambda inner: same.append(threading.get_ident() == here))

    _core.run_tasks(6, 4, outer)
    assert same == [True] * 18


def test_concurrent_callers() -> None:
    expected = {seed: drawn(seed, 1) for seed in range(4)}
    wrong = []

    def call(seed: int) -> None:
        same = all(np.array_equal(drawn(seed, 3), expected[seed]) for _ in range(25))
        if not same:
            wrong.append(seed)

    callers = [threading.Thread(target=call, args=(seed,)) for seed in expected]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_threads_sleep_between_calls() -> None:
    drawn(0, 8)
    before = time.process_time()
    time.sleep(0.5)
    used_seconds = time.process_time() - before
    assert used_seconds < 0.05, "a spinning thread would have used half a second"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_survives_a_fork() -> None:
    program = """
        import os
        import numpy as np
        from fastgan import _core

        def drawn(n_threads):
            out = np.empty(1 << 18, np.uint32)
            _core.philox_words(out, 5, 0, 0, 0, n_threads)
            return out

        expected = drawn(1)
        assert (drawn(4) == expected).all()  # the pool has its threads
        for generation in range(3):
            child = os.fork()
            if child == 0:
                assert (drawn(4) == expected).all()
                if generation < 2 and os.fork() == 0:  # a fork of a fork
                    assert (drawn(4) == expected).all()
                    os._exit(0)
                if generation < 2:
                    assert os.wait()[1] == 0
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert (drawn(4) == expected).all()
    """
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], check=True, timeout=60
    )
