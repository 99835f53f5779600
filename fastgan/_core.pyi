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
    bias_gradient: NDArray[Any] | None,
    n_pieces: int,
    include_probability: float,
    seed: int,
    step: int,
    stream: int,
    first: int,
    n_threads: int,
) -> None: ...
def batch_costs(
    logits: NDArray[Any],
    saturating: bool,
    discriminator_gradient: NDArray[Any],
    generator_gradient: NDArray[Any],
    n_whole: int | None = None,
) -> tuple[float, float, float, float]: ...
def linear_forward(
    input: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    activation: str,
    output: NDArray[Any],
    n_threads: int,
) -> None: ...
def linear_input_gradient(
    delta: NDArray[Any], weight: NDArray[Any], gradient: NDArray[Any], n_threads: int
) -> None: ...
def linear_update(
    delta: NDArray[Any],
    row_scale: NDArray[Any] | None,
    input: NDArray[Any],
    weight: NDArray[Any],
    velocity: NDArray[Any],
    bias: NDArray[Any] | None,
    bias_velocity: NDArray[Any] | None,
    lr: float,
    momentum: float,
    max_norm: float,
    n_threads: int,
    velocity_only: bool = False,
) -> None: ...
def maxout_input_gradient(
    delta: NDArray[Any],
    winner: NDArray[Any],
    n_pieces: int,
    weight: NDArray[Any],
    gradient: NDArray[Any],
    n_threads: int,
) -> None: ...
def maxout_update(
    delta: NDArray[Any],
    winner: NDArray[Any],
    n_pieces: int,
    row_scale: NDArray[Any] | None,
    input: NDArray[Any],
    weight: NDArray[Any],
    velocity: NDArray[Any],
    bias: NDArray[Any] | None,
    bias_velocity: NDArray[Any] | None,
    lr: float,
    momentum: float,
    max_norm: float,
    n_threads: int,
    velocity_only: bool = False,
) -> None: ...
def activation_delta(
    gradient: NDArray[Any],
    row_scale: NDArray[Any] | None,
    include_probability: float,
    seed: int,
    step: int,
    stream: int,
    activation: str,
    values: NDArray[Any],
    delta: NDArray[Any],
    n_threads: int,
    first: int = 0,
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
def move_weight(
    weight: NDArray[Any], velocity: NDArray[Any], max_norm: float, n_threads: int
) -> None: ...
def approximate_distances(
    queries: NDArray[Any],
    samples: NDArray[Any],
    in_float64: bool,
    squared_distances: NDArray[Any],
    allowances: NDArray[Any],
) -> None: ...
def count_within(
    queries: NDArray[Any],
    data: NDArray[Any],
    squared_radii: NDArray[Any],
    own_offset: int | None,
    n_threads: int,
    per_query: NDArray[Any],
    per_row: NDArray[Any],
) -> None: ...

class Frame:
    def __init__(self, points: NDArray[Any], n_threads: int) -> None: ...

class Sketch:
    n_rows: int
    def __init__(self, frame: Frame, points: NDArray[Any], role: str, n_threads: int) -> None: ...

def index_nearest_neighbors(
    queries: Sketch,
    data: Sketch,
    own_offset: int | None,
    first_index: int,
    n_threads: int,
    squared_distances: NDArray[Any],
    indices: NDArray[Any],
) -> tuple[int, int]: ...
def index_count_within(
    queries: Sketch,
    data: Sketch,
    squared_radii: NDArray[Any],
    own_offset: int | None,
    n_threads: int,
    per_query: NDArray[Any],
    per_row: NDArray[Any],
) -> tuple[int, int]: ...
def index_parzen_log_sums(
    queries: Sketch,
    samples: Sketch,
    sigmas: NDArray[Any],
    cut: float,
    least: NDArray[Any],
    block_size: int,
    own_offset: int | None,
    n_threads: int,
    log_sums: NDArray[Any],
    log_dropped: NDArray[Any],
    least_met: NDArray[Any],
) -> tuple[int, int]: ...
def index_lower_bounds(
    queries: Sketch, samples: Sketch, coarse: NDArray[Any], fine: NDArray[Any]
) -> None: ...
def index_probe(
    frame: Frame, points: NDArray[Any], width: float, n_threads: int
) -> tuple[float, float]: ...
