"""A walk through z: samples along a closed path of straight lines, one picture for a slider.

Figure 3 of the paper shows digits "obtained by linearly interpolating between coordinates in z
space of the full model". Here every step along the lines is a sample of its own, computed, never a
blend of two pictures; beside each stands the training image nearest to it, which jumps where a
generator that does not copy moves on.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fastgan import ops
from fastgan.data import Dataset
from fastgan.figures import draw_points, image_cells, images_on_lines, save_picture
from fastgan.files import write_atomically
from fastgan.flat_json import read_fields
from fastgan.recipes import Recipe

WALK_PICTURE = "walk.png"  # in a run's folder of figures
WALK = "walk.json"
N_LINES = 8
N_STEPS = 24  # of a line


@dataclass(frozen=True)
class Walk:
    """What :data:`WALK_PICTURE` shows: ``n_lines * n_steps`` samples, one below the other.

    Sample number ``line * n_steps + step`` is G at z = (1 - step / n_steps) p + step / n_steps q,
    where p is drawn point number ``line`` and q the next, after the last the first. At its right
    is its nearest training image. Distances are Euclidean, in the scale of training.
    """

    dataset: str
    seed: int
    n_lines: int
    n_steps: int
    height: int  # of an image, in pixels: the picture is n_lines * n_steps as high, twice as wide
    width: int
    n_train: int
    nearest_images: tuple[int, ...]  # number of the training image nearest to each sample
    nearest_distances: tuple[float, ...]
    moves: tuple[float, ...]  # distance from each sample to the next, from the last to the first

    @property
    def n_samples(self) -> int:
        """Samples on the walk."""
        return self.n_lines * self.n_steps

    def to_json(self) -> str:
        """Return the walk as a JSON object, floats in full precision."""
        return json.dumps(dataclasses.asdict(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Walk:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not a walk; the message names the field.
        """
        found = cls(**read_fields(cls, text, "walk"))
        for name in ("n_lines", "n_steps", "height", "width", "n_train"):
            if getattr(found, name) < 1:
                raise ValueError(f"walk: {name}: expected at least 1, got {getattr(found, name)}")
        for name in ("nearest_images", "nearest_distances", "moves"):
            n_values = len(getattr(found, name))
            if n_values != found.n_samples:
                raise ValueError(
                    f"walk: {name}: expected a number for each of {found.n_samples} samples, "
                    f"got {n_values}"
                )
        return found


@torch.no_grad()
def write_walk(
    generator: nn.Module,
    dataset: Dataset,
    folder: str | os.PathLike[str],
    seed: int = 0,
    *,
    recipe: Recipe | None = None,
    n_lines: int = N_LINES,
    n_steps: int = N_STEPS,
    impl: str = "auto",
) -> tuple[Path, Path]:
    """Write ``walk.png`` and ``walk.json``, which a run's report makes a slider of.

    Parameters
    ----------
    generator : nn.Module
        A :class:`fastgan.Generator`, or any module from z to images if ``recipe`` is given.
    dataset : Dataset
        Its training images are searched.
    folder : str or os.PathLike
        Where to write; it must exist.
    seed : int
        Draws the points, from the stream FIGURES: the first ones are those of
        :func:`fastgan.figures.figure_3`.
    recipe : Recipe, optional
        Says what z is, where the generator does not.
    n_lines, n_steps : int
        Lines of the closed path, at least 2, and samples a line, at least 1.
    impl : {"auto", "reference", "native", "triton"}

    Returns
    -------
    tuple of Path
        The picture, and what it shows (:class:`Walk`).

    Raises
    ------
    TypeError
        If the generator has no ``latent`` and no recipe is given.
    ValueError
        If a count is too low, the samples do not fit the data set, or one is not finite.
    OSError
        If a file cannot be written.
    """
    for name, count, least in (("n_lines", n_lines, 2), ("n_steps", n_steps, 1)):
        if count < least:
            raise ValueError(f"{name}: expected at least {least}, got {count}")
    points = draw_points(generator, recipe, n_lines, seed)
    steps = torch.arange(n_steps, dtype=points.dtype, device=points.device) / n_steps
    images = images_on_lines(generator, points, steps)
    samples = images.detach().to(device="cpu", dtype=dataset.train.dtype).contiguous()
    cells = image_cells(samples, dataset, scale=1)
    squared, nearest = ops.nearest_neighbors(samples, dataset.train.cpu(), k=1, impl=impl)
    beside = image_cells(dataset.train[nearest[:, 0]], dataset, scale=1)
    picture = np.concatenate([np.concatenate(list(part)) for part in (cells, beside)], axis=1)
    moves = (samples.double() - samples.double().roll(-1, 0)).norm(dim=1)
    walk = Walk(
        dataset=dataset.name,
        seed=seed,
        n_lines=n_lines,
        n_steps=n_steps,
        height=cells.shape[1],
        width=cells.shape[2],
        n_train=len(dataset.train),
        nearest_images=tuple(nearest[:, 0].tolist()),
        nearest_distances=tuple(squared[:, 0].sqrt().tolist()),
        moves=tuple(moves.tolist()),
    )
    target = Path(folder)
    description = (
        f"{walk.n_samples} samples along {n_lines} lines in z, seed {seed}, and at their right the "
        f"nearest training images; data set {dataset.name}"
    )
    shown = save_picture(picture, target / WALK_PICTURE, "A walk through z", description)
    return shown, write_atomically(target / WALK, walk.to_json().encode())
