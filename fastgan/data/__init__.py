"""Data sets: :func:`load_dataset` (:func:`load_folds`), and what it returns, :class:`Dataset`.

One file a format: ``idx`` and ``mnist``, ``cifar10``, ``tfd``, ``arrays`` (npy, npz), ``fer2013``
and its folds ``faces``, ``digits``. ``locate`` finds files on this machine, ``download`` fetches
the ones that have a public home, ``scaling`` turns bytes into numbers. Nothing here reads a pickle.
"""

from fastgan.data.dataset import UNIT_SIGMA_GRID, Dataset
from fastgan.data.load import DATASET_NAMES, load_dataset, load_folds

__all__ = ["DATASET_NAMES", "UNIT_SIGMA_GRID", "Dataset", "load_dataset", "load_folds"]
