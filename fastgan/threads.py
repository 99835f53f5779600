"""Tasks whose bits must not depend on the number of threads: each is computed by one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


def each_on_one_thread(
    task: Callable[[int], None], numbers: Sequence[int], *, at_once: bool
) -> None:
    """Call ``task`` for each number, torch's operations in it on one thread of the CPU.

    A library's product may round otherwise where several threads share it.

    Parameters
    ----------
    task : callable (number)
    numbers : sequence of int
    at_once : bool
        Several tasks at a time, as many as torch has threads; else one after the other.

    Notes
    -----
    ``torch.set_num_threads`` reaches past the thread that calls it (MKL has one number for all), so
    for as long as this takes torch has one thread in every thread of the process.
    """
    n_threads = torch.get_num_threads()
    n_workers = min(n_threads, len(numbers)) if at_once else 1
    torch.set_num_threads(1)
    try:
        if n_workers <= 1:
            for number in numbers:
                task(number)
            return
        # a thread that is new to torch takes its number of threads from elsewhere
        with ThreadPoolExecutor(
            n_workers,
            thread_name_prefix="fastgan",
            initializer=torch.set_num_threads,
            initargs=(1,),
        ) as pool:
            for _ in pool.map(task, numbers):
                pass
    finally:
        torch.set_num_threads(n_threads)
