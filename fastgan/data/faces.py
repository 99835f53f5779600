"""The data set ``faces``: FER2013's stand-in for TFD, cut as TFD's experiment needs it.

One training set, so that one model is trained, and five folds of the images held out. In TFD the
folds are given; here they are a fixed Philox shuffle. Scores of this data set cannot be set beside
the paper's TFD column: it is other images.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fastgan.data import fer2013
from fastgan.data.dataset import Dataset
from fastgan.data.locate import Search

FILES = fer2013.FILES
N_FOLDS = 5
_SPLIT_SEED = 0


def read(found: Search, fold: int) -> Dataset:
    """Read one fold.

    Raises
    ------
    ValueError
        If ``fold`` is not 0 to 4, the file is not what :func:`fastgan.data.fer2013.read` expects,
        or fewer than five images are held out.
    """
    _check_fold(fold)
    whole, parts = _cut(found)
    return _fold(whole, parts, fold, found)


def read_folds(found: Search) -> tuple[Dataset, ...]:
    """Read all five folds, which share one training tensor; errors as :func:`read`."""
    whole, parts = _cut(found)
    return tuple(_fold(whole, parts, fold, found) for fold in range(N_FOLDS))


def _check_fold(fold: int) -> None:
    if not 0 <= fold < N_FOLDS:
        raise ValueError(f"fold: expected 0 to {N_FOLDS - 1}, got {fold}")


def _cut(found: Search) -> tuple[Dataset, tuple[Tensor, ...]]:
    """Return the file's own sets, and each fold's rows among the images held out.

    These are the file's validation images followed by its test images, in a Philox order of seed
    0, step 0, stream SPLIT: the same on every machine. Consecutive fifths of it are the folds.
    """
    from fastgan.ops.philox import permutation
    from fastgan.streams import Kind, stream

    whole = fer2013.read(found, 0)
    n_held_out = len(whole.validation) + len(whole.test)
    if n_held_out < N_FOLDS:
        raise ValueError(
            f"{found.paths[0]}: split: expected at least {N_FOLDS} validation and test images "
            f"together, one a fold, got {n_held_out}"
        )
    order = permutation(n_held_out, _SPLIT_SEED, 0, stream(Kind.SPLIT)).cpu()
    return whole, order.tensor_split(N_FOLDS)


def _fold(whole: Dataset, parts: tuple[Tensor, ...], fold: int, found: Search) -> Dataset:
    tested = parts[fold]
    rest = torch.cat([part for number, part in enumerate(parts) if number != fold])
    rows = torch.cat([whole.validation, whole.test])
    labels = None
    if whole.validation_labels is not None and whole.test_labels is not None:
        labels = torch.cat([whole.validation_labels, whole.test_labels])
    return replace(
        whole,
        name="faces",
        validation=rows[rest],
        test=rows[tested],
        validation_labels=None if labels is None else labels[rest],
        test_labels=None if labels is None else labels[tested],
        sigma_images=0,  # all of them
        source=(
            "FER2013, a stand-in for TFD whose scores cannot be set beside the paper's: fold "
            f"{fold} of {N_FOLDS} of {found.paths[0]}, {len(tested):,} images to test, the other "
            f"{len(rest):,} held out choose sigma"
        ),
    )
