"""Training the pair of Figure 1, with the library's own networks and step, and looking on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch

from fastgan.checks import check_integer
from fastgan.figure_1_pair import P_DATA, RECIPE, CosineBumps, prepare
from fastgan.figure_1_snapshot import Snapshot, take_snapshot
from fastgan.recipes import Recipe
from fastgan.steps import make_step

N_ALONE = 10_000  # updates of D before G first moves: the paper's panel (b)
COOLING = 20.0  # by which the learning rate falls in that time; then it is the recipe's again
N_TOGETHER = 60_000  # updates of D after that, every k-th with one of G
N_SNAPSHOTS = 80
TRAINING_PASSAGE = 1  # of the stream FIGURES: x that train


def train_pair(
    seed: int = 0,
    *,
    recipe: Recipe = RECIPE,
    p_data: CosineBumps = P_DATA,
    n_alone: int = N_ALONE,
    n_together: int = N_TOGETHER,
    n_snapshots: int = N_SNAPSHOTS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Snapshot]:
    """Train D alone for a while, then the pair by Algorithm 1, and return what was seen.

    Every batch of x is drawn anew from p_data: there is no training set to know by heart.

    Parameters
    ----------
    seed : int
        Key of everything random: weights, x, z.
    recipe : Recipe
        Of one latent and one output number, alternating, without dropout.
    p_data : CosineBumps
    n_alone, n_together : int
        Updates of D before G first moves, and after.
    n_snapshots : int
        How many moments are measured, evenly in the logarithm of the time since the start and,
        from G's first update on, since then. The first and the last are among them, and the
        moment before G first moves.
    progress : callable, optional
        Takes (updates done, of all).

    Returns
    -------
    list of Snapshot
        In order of time.

    Raises
    ------
    ValueError
        If the recipe is not of one dimension or does not alternate, a count is too small, or the
        pair diverges.
    """
    if recipe.n_latent != 1 or recipe.n_features != 1 or recipe.latent != "uniform":
        raise ValueError(
            "recipe: expected one latent number, uniform, and one output number, got "
            f"{recipe.n_latent} ({recipe.latent}) and {recipe.n_features}"
        )
    if recipe.schedule != "alternating":
        raise ValueError(f"recipe: expected schedule 'alternating', got {recipe.schedule!r}")
    check_integer("seed", seed, 0)
    check_integer("n_alone", n_alone, 1)
    check_integer("n_together", n_together, recipe.k)
    check_integer("n_snapshots", n_snapshots, 4)
    moments = snapshot_moments(n_alone, n_together, n_snapshots)
    found = []
    with _one_thread():
        # The same recipe, but G does not move before D has had its n_alone batches, and the rate
        # falls: at a rate of .07 the noise of batches alone kept D .054 from D* on one seed of six.
        cooling = max(recipe.learning_rate_decay, COOLING ** (1.0 / n_alone))
        alone = recipe.replace(k=n_alone + 1, learning_rate_decay=cooling)
        step = make_step(alone, seed=seed)
        prepare(step.generator, step.discriminator, seed)
        n_generator_updates = 0
        for update in range(n_alone + n_together + 1):
            if update == n_alone:
                state = step.state_dict()
                step = make_step(
                    recipe, seed=seed, generator=step.generator, discriminator=step.discriminator
                )
                step.load_state_dict(state)
            if update in moments:
                found.append(take_snapshot(step, p_data, seed, n_generator_updates))
            if progress is not None and (update in moments or update % 500 == 0):
                progress(update, n_alone + n_together)
            if update < n_alone + n_together:
                batch = p_data.draw(recipe.batch_size, seed, update, passage=TRAINING_PASSAGE)
                step(batch)
                n_generator_updates += update >= n_alone and (update + 1) % recipe.k == 0
    return found


def snapshot_moments(n_alone: int, n_together: int, n_snapshots: int) -> frozenset[int]:
    """Return the updates before which a snapshot is taken, ``n_snapshots`` of them at most.

    A quarter lie in D's time alone and the others after it, each evenly in the logarithm of the
    updates since its start; moments that fall together are one.
    """
    n_first = max(2, n_snapshots // 4)  # with 0 and n_alone
    first = np.geomspace(1, n_alone, n_first)[1:].round()
    then = n_alone + np.geomspace(min(50, n_together), n_together, n_snapshots - n_first).round()
    return frozenset(int(moment) for moment in (0, *first, *then))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Give torch one thread: products this small lose by a second one, and the bits stay."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
