from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

__version__: str

def simd_level() -> str: ...
def simd_levels() -> list[str]: ...
def force_simd_level(name: str) -> None: ...
def parzen_log_sums(
    queries: NDArray[Any],
    samples: NDArray[Any],
    sigmas: NDArray[Any],
    block_size: int,
    own_offset: int | None,
    precision: str,
    n_threads: int,
    out: NDArray[Any],
) -> str: ...
def merge_log_sums(log_sums: NDArray[Any], out: NDArray[Any]) -> None: ...
def nearest_neighbors(
    queries: NDArray[Any],
    data: NDArray[Any],
    exclude_self: bool,
    n_threads: int,
    squared_distances: NDArray[Any],
    indices: NDArray[Any],
) -> None: ...
def run_tasks(n_tasks: int, n_threads: int, task: Callable[[int], object]) -> None: ...
def philox_block(out: NDArray[Any], seed: int, step: int, stream: int, block: int) -> None: ...
def philox_words(
    out: NDArray[Any], seed: int, step: int, stream: int, first: int, n_threads: int
) -> None: ...
def philox_uniform(
    out: NDArray[Any], seed: int, step: int, stream: int, first: int, n_threads: int
) -> None: ...
def philox_normal(
    out: NDArray[Any], seed: int, step: int, stream: int, first: int, n_threads: int
) -> None: ...
def philox_permutation(
    out: NDArray[Any], seed: int, step: int, stream: int, n_threads: int
) -> None: ...
def dropout(
    input: NDArray[Any],
    output: NDArray[Any],
    include_probability: float,
    seed: int,
    step: int,
    stream: int,
    first: int,
    n_threads: int,
) -> None: ...
def maxout_forward(
    products: NDArray[Any],
    bias: NDArray[Any],
    values: NDArray[Any],
    winner: NDArray[Any],
    n_pieces: int,
    include_probability: float,
    seed: int,
    step: int,
    stream: int,
    first: int,
    n_threads: int,
) -> None: ...
def maxout_backward(
    gradient: NDArray[Any],
    winner: NDArray[Any],
    delta: NDArray[Any],
    bias_gradient: NDArray[Any],
    n_pieces: int,
    include_probability: float,
    seed: int,
    step: int,
    stream: int,
    first: int,
    n_threads: int,
) -> None: ...
def momentum_sgd(
    weight: NDArray[Any],
    velocity: NDArray[Any],
    gradient: NDArray[Any],
    lr: float,
    momentum: float,
    max_norm: float,
    n_threads: int,
) -> None: ...
def approximate_distances(
    queries: NDArray[Any],
    samples: NDArray[Any],
    in_float64: bool,
    squared_distances: NDArray[Any],
    allowances: NDArray[Any],
) -> None: ...
