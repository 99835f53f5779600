"""Pictures of images: grids of samples, the paper's Figure 2 and Figure 3.

Every pixel of an image becomes a square of whole screen pixels (nearest neighbor, never smoothed),
one fixed map from numbers to grey serves all images of a picture, and files appear whole. A number
that is not finite is painted magenta, so that a diverged generator is seen, not hidden.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from torch import Tensor, nn

from fastgan import ops
from fastgan.curves import curve_pictures, curves, sigma_curve
from fastgan.data import Dataset
from fastgan.files import write_atomically
from fastgan.streams import Kind, stream

if TYPE_CHECKING:
    from fastgan.recipes import Recipe

__all__ = [
    "curve_pictures",
    "curves",
    "figure_2",
    "figure_3",
    "sample_grid",
    "sigma_curve",
]

FIGURE_2_ROWS = 4
FIGURE_2_SAMPLES = 5  # a row; the sixth column is the nearest training image of the fifth
FRAME = (255, 255, 0)  # "yellow (1, 1, 0)": the released show_samples_*_paper.py
BACKGROUND = (43, 44, 48)  # a dark mat: images that are black or white at the rim both end on it
_NOT_FINITE = (255, 0, 255)
_CELL = 168  # an image is enlarged to about this many screen pixels: 84 points on a 2x screen
_GRID_CELL = 84  # and in a grid of many samples

Array = NDArray[Any] | Tensor


def sample_grid(
    samples: Array,
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    n_columns: int | None = None,
    scale: int | None = None,
) -> Path:
    """Write all samples as a grid, row by row, in the order given.

    Parameters
    ----------
    samples : Tensor or ndarray of shape (n_samples, n_features), floating point
        In the data set's scale.
    dataset : Dataset
        Says how rows become pixels.
    path : str or os.PathLike
        The PNG file; its folder must exist.
    n_columns : int, optional
        About the square root of the number of samples if left out.
    scale : int, optional
        Screen pixels an image pixel; enough for cells of about 84 if left out.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there are no samples, the shape does not fit the data set, or an option is below 1.
    """
    cells = image_cells(samples, dataset, scale, _GRID_CELL)
    if n_columns is None:
        n_columns = max(1, round(len(cells) ** 0.5))
    if n_columns < 1:
        raise ValueError(f"n_columns: expected at least 1, got {n_columns}")
    description = f"{len(cells)} samples drawn, not chosen; data set {dataset.name}"
    return save_picture(tile(cells, n_columns), path, "Samples", description)


def figure_2(
    samples: Array,
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    scale: int | None = None,
    impl: str = "auto",
) -> NDArray[np.int64]:
    """Write a panel of the paper's Figure 2: samples, and training images beside some of them.

    Four rows of five samples: the first twenty given, in their order, drawn and not chosen. The
    sixth column, framed in yellow, is the training image nearest to the sample left of it, by
    squared L2 distance in the space the networks were trained in.

    Parameters
    ----------
    samples : Tensor or ndarray of shape (n_samples, n_features), at least 20 rows
    dataset : Dataset
        Its training images are searched.
    path : str or os.PathLike
        The PNG file; its folder must exist.
    scale : int, optional
        Screen pixels an image pixel; enough for cells of about 168 if left out.
    impl : {"auto", "reference", "native", "triton"}

    Returns
    -------
    ndarray of shape (4,), int64
        Numbers of the four training images shown.

    Raises
    ------
    ValueError
        If there are fewer than 20 samples, their shape does not fit, or a number is not finite.
    """
    n = FIGURE_2_ROWS * FIGURE_2_SAMPLES
    rows = _rows(samples, dataset)
    if len(rows) < n:
        raise ValueError(f"samples: expected at least {n}, got {len(rows)}")
    rows = rows[:n].to(dataset.train.dtype)
    asked = rows[FIGURE_2_SAMPLES - 1 :: FIGURE_2_SAMPLES].contiguous()
    _, indices = ops.nearest_neighbors(asked, dataset.train, k=1, impl=impl)
    nearest = indices[:, 0]
    cells = image_cells(rows, dataset, scale)
    found = image_cells(dataset.train[nearest], dataset, scale)
    table = []
    for row in range(FIGURE_2_ROWS):
        first = row * FIGURE_2_SAMPLES
        table += [*cells[first : first + FIGURE_2_SAMPLES], found[row]]
    numbers: NDArray[np.int64] = nearest.numpy(force=True)
    description = (
        f"Five samples a row, drawn, not chosen; framed: the training image nearest to the fifth "
        f"({', '.join(str(number) for number in numbers)}); data set {dataset.name}"
    )
    picture = tile(table, FIGURE_2_SAMPLES + 1, framed_column=FIGURE_2_SAMPLES)
    save_picture(picture, path, "Figure 2", description)
    return numbers


@torch.no_grad()
def figure_3(
    generator: nn.Module,
    dataset: Dataset,
    path: str | os.PathLike[str],
    seed: int = 0,
    *,
    recipe: Recipe | None = None,
    n_rows: int = 5,
    n_columns: int = 11,
    scale: int | None = None,
) -> Path:
    """Write samples along straight lines in z, after the paper's Figure 3.

    ``n_rows`` points z are drawn. Row i runs in equal steps from point i to point i + 1, and the
    last row back to the first point, so that the rows read one after the other are one closed walk,
    as the printed strip 1 > 5 > 7 > 9 > 1 is.

    Parameters
    ----------
    generator : nn.Module
        A :class:`fastgan.Generator`, or any module from z to images if ``recipe`` is given.
    dataset : Dataset
    path : str or os.PathLike
        The PNG file; its folder must exist.
    seed : int
        Draws the points, from the stream FIGURES.
    recipe : Recipe, optional
        Says what z is, where the generator does not.
    n_rows, n_columns : int
        Lines, and images a line; at least 2 of each.
    scale : int, optional

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If the generator has no ``latent`` and no recipe is given.
    ValueError
        If a count is below 2, or the generator's images do not fit the data set.
    """
    for name, count in (("n_rows", n_rows), ("n_columns", n_columns)):
        if count < 2:
            raise ValueError(f"{name}: expected at least 2, got {count}")
    points = draw_points(generator, recipe, n_rows, seed)
    steps = torch.linspace(0, 1, n_columns, dtype=points.dtype, device=points.device)
    images = images_on_lines(generator, points, steps)
    description = f"Lines in z between {n_rows} drawn points, seed {seed}; data set {dataset.name}"
    picture = tile(image_cells(images, dataset, scale), n_columns)
    return save_picture(picture, path, "Figure 3", description)


@torch.no_grad()
def images_on_lines(generator: nn.Module, points: Tensor, steps: Tensor) -> Tensor:
    """Return samples on the closed path through points of z, in evaluation mode.

    ``points`` has shape (n_points, n_latent), ``steps`` (n_steps,) with the shares of the way, 0 to
    1, at which each line from a point to the next is sampled. The samples have shape
    (n_points * n_steps, n_features), line by line; the module's mode is left as found.
    """
    lines = torch.lerp(points[:, None, :], points.roll(-1, 0)[:, None, :], steps[None, :, None])
    was_training = generator.training
    generator.eval()
    try:
        images: Tensor = generator(lines.flatten(0, 1))
    finally:
        generator.train(was_training)
    return images


def draw_points(generator: nn.Module, recipe: Recipe | None, n_points: int, seed: int) -> Tensor:
    """Draw z of pictures, of shape (n_points, n_latent), from the stream FIGURES.

    More points begin with the same ones. Raises TypeError as :func:`figure_3`.
    """
    number = stream(Kind.FIGURES)
    if recipe is None and hasattr(generator, "latent"):
        latent = cast("Callable[..., Tensor]", generator.latent)
        return latent(n_points, seed, 0, number)
    if recipe is None:
        raise TypeError(
            "generator: expected a module with latent(n_rows, seed, step, stream), or a recipe "
            f"that says what z is; got {type(generator).__name__} and no recipe"
        )
    from fastgan.models import draw_latent

    weight = next(generator.parameters())
    return draw_latent(recipe, n_points, seed, 0, number, dtype=weight.dtype, device=weight.device)


def _rows(samples: Array, dataset: Dataset) -> Tensor:
    if not isinstance(samples, (Tensor, np.ndarray)):
        raise TypeError(f"samples: expected a Tensor or ndarray, got {type(samples).__name__}")
    rows = torch.tensor(samples) if isinstance(samples, np.ndarray) else samples.detach()
    if rows.ndim != 2 or rows.shape[1] != dataset.n_features:
        raise ValueError(
            f"samples: expected shape (n_samples, {dataset.n_features}), got {tuple(rows.shape)}"
        )
    if len(rows) == 0:
        raise ValueError("samples: expected at least one, got none")
    return rows.cpu()


def image_cells(
    samples: Array, dataset: Dataset, scale: int | None, size: int = _CELL
) -> NDArray[np.uint8]:
    """Return enlarged images, uint8 of shape (n, scale * height, scale * width, 3)."""
    rows = _rows(samples, dataset)
    if scale is None:
        scale = max(1, round(size / max(dataset.image_shape[:2])))
    if scale < 1:
        raise ValueError(f"scale: expected at least 1, got {scale}")
    finite = torch.isfinite(rows)
    pixels = dataset.to_pixels(torch.where(finite, rows, 0.0))
    values = (pixels * 255).round().to(torch.uint8).numpy()
    n_channels = values.shape[3]
    if n_channels not in (1, 3):
        raise ValueError(f"dataset: expected images of 1 or 3 channels, got {n_channels}")
    colours = np.repeat(values, 3, axis=3) if n_channels == 1 else values.copy()
    broken = ~finite.reshape(values.shape).all(dim=3).numpy()
    colours[broken] = _NOT_FINITE
    enlarged: NDArray[np.uint8] = colours.repeat(scale, axis=1).repeat(scale, axis=2)
    return enlarged


def tile(cells: Any, n_columns: int, framed_column: int | None = None) -> NDArray[np.uint8]:
    """Lay cells out on the mat; one column may have yellow frames, and room for them."""
    height, width = cells[0].shape[:2]
    gap = max(2, round(height / 28))
    frame = 0 if framed_column is None else gap + 1
    n_rows = -(-len(cells) // n_columns)
    # a framed cell is wider by its frame on both sides, and stands a little apart
    pitch_y = height + gap + 2 * frame
    lefts = [gap + frame + column * (width + gap) for column in range(n_columns)]
    right = lefts[-1] + width + gap
    if framed_column is not None:
        lefts = [
            left + (2 * frame + gap if column >= framed_column else 0)
            for column, left in enumerate(lefts)
        ]
        right = lefts[-1] + width + frame + gap
    canvas = np.empty((n_rows * pitch_y + gap, right, 3), dtype=np.uint8)
    canvas[:] = BACKGROUND
    for number, cell in enumerate(cells):
        row, column = divmod(number, n_columns)
        top, left = gap + frame + row * pitch_y, lefts[column]
        if column == framed_column:
            canvas[top - frame : top + height + frame, left - frame : left + width + frame] = FRAME
        canvas[top : top + height, left : left + width] = cell
    return canvas


def save_picture(
    canvas: NDArray[np.uint8], path: str | os.PathLike[str], title: str, description: str
) -> Path:
    """Write a canvas, uint8 of shape (height, width, 3), as a PNG that says what it shows."""
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Title", title)
    notes.add_text("Description", description)
    notes.add_text("Software", "fastgan")
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, format="PNG", pnginfo=notes)
    return write_atomically(path, buffer.getvalue())
