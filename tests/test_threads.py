"""The native pool: forks, exceptions, concurrent and nested callers, sleep, whose core is whose."""

import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fastgan import _core

N = 1 << 18


def drawn(seed: int, n_threads: int) -> np.ndarray:
    out = np.empty(N, np.uint32)
    _core.philox_words(out, seed, 0, 0, 0, n_threads)
    return out


def run(program: str) -> None:
    """Run a program in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


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

    for _ in range(50):  # helpers may come late where cores are few and busy
        seen.clear()
        _core.run_tasks(20, 3, task)
        assert 1 <= len(seen) <= 3
        if len(seen) > 1:
            break
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
    run(program)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_fork_while_another_thread_is_inside_the_pool() -> None:
    """The child has neither that thread nor the helpers, and whatever lock they held is left."""
    program = """
        import os, threading
        import numpy as np
        from fastgan import _core

        def drawn(n_threads):
            out = np.empty(1 << 18, np.uint32)
            _core.philox_words(out, 5, 0, 0, 0, n_threads)
            return out

        expected = drawn(1)
        inside, stop = threading.Event(), threading.Event()

        def keep_inside():
            long = np.empty(1 << 22, np.float32)
            while not stop.is_set():
                inside.set()
                _core.philox_normal(long, 0, 0, 0, 0, 3)

        other = threading.Thread(target=keep_inside)
        other.start()
        inside.wait()
        for _ in range(10):
            child = os.fork()
            if child == 0:
                os._exit(0 if (drawn(4) == expected).all() else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        other.join()
        assert (drawn(4) == expected).all()
    """
    run(program)


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    """A pool of processes, started when the native pool had its threads."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import multiprocessing, sys
            import numpy as np
            from fastgan import _core

            def drawn(seed, n_threads=3):
                out = np.empty(1 << 18, np.uint32)
                _core.philox_words(out, seed, 0, 0, 0, n_threads)
                return out.tobytes()

            if __name__ == "__main__":
                expected = [drawn(seed, 1) for seed in range(4)]
                assert [drawn(seed) for seed in range(4)] == expected
                with multiprocessing.get_context(sys.argv[1]).Pool(2) as processes:
                    assert processes.map(drawn, range(4)) == expected
            """
        )
    )
    subprocess.run([sys.executable, "-W", "ignore", program, method], check=True, timeout=120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_products_survive_a_fork_and_one_core() -> None:
    """Sparse and dense products, whose lists belong to a thread, before and after; then pinned."""
    program = """
        import os
        import numpy as np
        from fastgan import _core

        random = np.random.default_rng(0)
        weight = random.standard_normal((120, 257)).astype(np.float32)
        dense = random.standard_normal((100, 120)).astype(np.float32)
        sparse = dense * (random.random(dense.shape) < .1)

        def products(n_threads):
            made = []
            for delta in (dense, sparse):
                made.append(np.empty((100, 257), np.float32))
                _core.linear_input_gradient(delta, weight, made[-1], n_threads)
            return [array.tobytes() for array in made]

        expected = products(1)
        assert products(5) == expected
        child = os.fork()
        if child == 0:
            assert products(5) == expected
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert products(5) == expected
        if hasattr(os, "sched_setaffinity"):
            allowed = os.sched_getaffinity(0)
            for core in sorted(allowed)[:2]:  # helpers were placed for another core before
                os.sched_setaffinity(0, {core})
                assert [products(n) for n in (2, 5)] == [expected] * 2
                child = os.fork()  # its helpers are born on one core
                if child == 0:
                    assert [products(n) for n in (2, 5)] == [expected] * 2
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            os.sched_setaffinity(0, allowed)
            assert products(5) == expected
    """
    run(program)


def test_concurrent_callers_of_products() -> None:
    """Each with lists of its own, of other lengths and values."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((120, 257)).astype(np.float32)
    deltas = [
        (random.standard_normal((n, 120)) * (random.random((n, 120)) < share)).astype(np.float32)
        for n, share in [(100, 0.1), (60, 0.3), (110, 1.0), (80, 0.05)]
    ]

    def product(delta: np.ndarray, n_threads: int) -> bytes:
        gradient = np.full((len(delta), 257), np.nan, np.float32)
        _core.linear_input_gradient(delta, weight, gradient, n_threads)
        return gradient.tobytes()

    expected = [product(delta, 1) for delta in deltas]
    wrong = []

    def call(index: int) -> None:
        if any(product(deltas[index], 1 + index) != expected[index] for _ in range(100)):
            wrong.append(index)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(sys.platform != "linux", reason="threads are placed on Linux alone")
def test_helpers_are_kept_off_the_callers_core() -> None:
    """Which cores they may run on, not where they happen to: that is the scheduler's."""
    program = """
        import ctypes, os, sys
        from fastgan import _core

        here = ctypes.CDLL(None).sched_getcpu
        cores = os.sched_getaffinity(0)
        if len(cores) < 2:
            sys.exit(0)  # nothing to keep apart
        before = set(os.listdir("/proc/self/task"))
        _core.run_tasks(3, 3, lambda index: None)
        helpers = [int(thread) for thread in set(os.listdir("/proc/self/task")) - before]
        assert len(helpers) == 2, helpers
        for core in sorted(cores)[:3]:
            for attempt in range(100):
                os.sched_setaffinity(0, {core})  # moves there,
                os.sched_setaffinity(0, cores)  # and is free to go on
                came_from = here()
                _core.run_tasks(3, 3, lambda index: None)
                masks = [os.sched_getaffinity(helper) for helper in helpers]
                assert masks[0] == masks[1] and masks[0] < cores and len(masks[0]) == len(cores) - 1
                if came_from == here() == core:
                    # it moved away and back within a call, if at all: not a hundred times
                    if masks[0] == cores - {core}:
                        break
            else:
                raise AssertionError(f"helpers may run on {masks[0]}, the caller runs on {core}")
            assert os.sched_getaffinity(0) == cores, "the caller's own cores were changed"
        os.sched_setaffinity(0, {min(cores)})
        _core.run_tasks(3, 3, lambda index: None)
        os.sched_setaffinity(0, {max(cores)})  # one core: the helpers must share it
        _core.run_tasks(3, 3, lambda index: None)
        masks = [os.sched_getaffinity(helper) for helper in helpers]
        assert masks == [{max(cores)}] * 2, masks
    """
    run(program)
