"""``load_dataset``, ``load_folds``: from a name or a path to a :class:`Dataset`, or to folds."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastgan.data import arrays, cifar10, digits, faces, fer2013, idx, mnist, tfd
from fastgan.data.dataset import Dataset
from fastgan.data.download import DownloadError
from fastgan.data.locate import (
    CACHE,
    FileSet,
    Search,
    cache_folder,
    missing_error,
    search,
    user_folders,
)


class _Kind(NamedTuple):
    files: FileSet
    read: Callable[[Search, int], Dataset]
    download: Callable[[Path], tuple[Path, ...]] | None = None
    read_folds: Callable[[Search], tuple[Dataset, ...]] | None = None


_KINDS = {
    "mnist": _Kind(mnist.FILES, mnist.read, mnist.download),
    "cifar10": _Kind(cifar10.FILES, cifar10.read, cifar10.download),
    "tfd": _Kind(tfd.FILES, tfd.read, read_folds=tfd.read_folds),
    "fer2013": _Kind(fer2013.FILES, fer2013.read),
    "faces": _Kind(faces.FILES, faces.read, read_folds=faces.read_folds),
}
_WITH_FOLDS = " and ".join(name for name, kind in _KINDS.items() if kind.read_folds is not None)

DATASET_NAMES: tuple[str, ...] = ("digits", *_KINDS)
"""The names that :func:`load_dataset` knows."""

_PICKLE_SUFFIXES = {".pkl", ".pickle", ".pt", ".pth", ".joblib"}


def load_dataset(
    name_or_path: str | os.PathLike[str] = "digits",
    *,
    folder: str | os.PathLike[str] | None = None,
    fold: int = 0,
    download: bool = True,
) -> Dataset:
    """Load images, scaled and split as the paper's experiments have them.

    =========  =============================  ================================  ==================
    name       files                          train / validation / test         rows
    =========  =============================  ================================  ==================
    digits     bundled with scikit-learn      1,197 / 300 / 300, Philox order   8 x 8, value / 16
    mnist      4 IDX files, gzip or not       0:50000 / 50000:60000 / 10,000    28 x 28, / 255
    cifar10    the binary version             0:40000 / 40000:50000 / 10,000    32 x 32 x 3, mean
                                                                                off, L2 norm 55
    tfd        TFD_48x48.mat                  unlabeled / valid / test of fold  48 x 48, / 255
    fer2013    npz: images, labels, split     as ``split`` says (0 / 1 / 2)     48 x 48, / 255
    faces      as fer2013: a stand-in for     train of fer2013 / four fifths    48 x 48, / 255
               tfd, not comparable to it      of the rest / the fifth of fold
    a path     .npy, .npz, IDX images, or a   ``split`` if there, else the      uint8 / 255,
               folder with files as above     last tenth and the tenth before   floats as they are
    =========  =============================  ================================  ==================

    Files of a named data set are looked for in ``folder``, then in the folder named by the
    environment variable FASTGAN_DATA, each with its subfolder by name, then in the user's cache;
    mnist and cifar10 are else downloaded into the cache, and used only if their checksum is
    right. Names are told apart from paths first: write ``./mnist`` for a folder called mnist.

    Parameters
    ----------
    name_or_path : str or path, default="digits"
        One of ``fastgan.data.DATASET_NAMES``, in any case and with or without dashes, or the path
        of a file or folder.
    folder : str or path, optional
        Where to look first; only for a name.
    fold : int, default=0
        The fold of tfd or faces, 0 to 4; 0 for every other data set. :func:`load_folds` reads all.
    download : bool, default=True
        Whether a missing data set may be downloaded.

    Returns
    -------
    Dataset

    Raises
    ------
    FileNotFoundError
        If the files are nowhere and could not be downloaded; the message lists what to put where.
    NotADirectoryError
        If ``folder`` or FASTGAN_DATA is set to something that is not a folder.
    TypeError
        If an argument has the wrong type.
    ValueError
        If the name is unknown, or a file is damaged or not what it should be; the message names
        the file, what was expected and what came.

    Examples
    --------
    >>> import fastgan
    >>> fastgan.load_dataset("digits")
    Dataset('digits': 1,197 train, 300 validation, 300 test images of 8 x 8 x 1)
    """
    if not isinstance(fold, int) or isinstance(fold, bool):
        raise TypeError(f"fold: expected an int, got {type(fold).__name__}")
    name = _known_name(name_or_path)
    if name is None:
        return _load_path(_as_path(name_or_path), folder, fold)
    if name == "digits":
        _check_no_fold(fold, name)
        return digits.load()
    kind = _KINDS[name]
    if kind.read_folds is None:
        _check_no_fold(fold, name)
    return kind.read(_locate(kind, user_folders(folder), download=download), fold)


def load_folds(
    name_or_path: str | os.PathLike[str],
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> tuple[Dataset, ...]:
    """Load all folds of a data set, as :func:`fastgan.evaluation.evaluate_folds` takes them.

    One model is trained for all of them: ``train`` is ONE tensor, which the folds share (a
    gigabyte, of TFD), and only ``validation`` and ``test`` differ.

    Parameters
    ----------
    name_or_path, folder, download
        As in :func:`load_dataset`.

    Returns
    -------
    tuple of Dataset
        Five of tfd and of faces; one of every other data set.

    Raises
    ------
    ValueError
        If the folds of a TFD file do not have the same unlabeled images; else as
        :func:`load_dataset`, whose other errors these are too.
    """
    name = _known_name(name_or_path)
    if name is not None:
        kind = _KINDS.get(name)
        if kind is not None and kind.read_folds is not None:
            return kind.read_folds(_locate(kind, user_folders(folder), download=download))
    elif folder is None:
        path = _as_path(name_or_path)
        if path.is_dir():
            kind, found = _kind_in(path)
            if kind.read_folds is not None:
                return kind.read_folds(found)
        elif path.suffix.lower() == ".mat":
            return tfd.read_folds(Search((path,), ()))
    return (load_dataset(name_or_path, folder=folder, download=download),)


def _locate(kind: _Kind, named: list[tuple[Path, str]], *, download: bool) -> Search:
    cache = cache_folder(kind.files.name)
    found = search(kind.files, [*named, (cache, CACHE)])
    if found.paths:
        return found
    if kind.files is cifar10.FILES:
        pickled = search(cifar10.PICKLED_FILES, named)
        if pickled.paths:
            raise cifar10.pickled_error(pickled.paths[0])
    if kind.download is None:
        raise missing_error(kind.files, found.looked, "")
    if not download:
        raise missing_error(kind.files, found.looked, " (download=False)")
    try:
        return Search(kind.download(cache), found.looked)
    except DownloadError as error:
        reason = f", and the download failed ({error})"
        raise missing_error(kind.files, found.looked, reason) from error


def _known_name(name_or_path: str | os.PathLike[str]) -> str | None:
    if not isinstance(name_or_path, str | os.PathLike):
        raise TypeError(
            f"name_or_path: expected a name or a path, got {type(name_or_path).__name__}"
        )
    if not isinstance(name_or_path, str):
        return None
    plain = name_or_path.lower().replace("-", "").replace("_", "")
    return plain if plain in DATASET_NAMES else None


def _as_path(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(name_or_path).expanduser()
    if path.exists() and name_or_path != "":  # Path("") is the current folder
        return path
    if isinstance(name_or_path, str) and not path.suffix and len(path.parts) <= 1:
        close = difflib.get_close_matches(name_or_path.lower(), DATASET_NAMES, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"name_or_path: expected one of {', '.join(DATASET_NAMES)}, or the path of an "
            f"existing file or folder, got {name_or_path!r}{hint}"
        )
    raise FileNotFoundError(f"{path}: no such file or folder")


def _check_no_fold(fold: int, name: str) -> None:
    if fold != 0:
        raise ValueError(
            f"fold: expected 0, since only {_WITH_FOLDS} have folds, got {fold} for {name}"
        )


def _load_path(path: Path, folder: str | os.PathLike[str] | None, fold: int) -> Dataset:
    if folder is not None:
        raise ValueError(
            f"folder: expected None with a path, since only names are looked for, got {folder}"
        )
    if path.is_dir():
        return _load_folder(path, fold)
    suffix = path.suffix.lower()
    if suffix == ".mat":
        return tfd.read(Search((path,), ()), fold)
    _check_no_fold(fold, str(path))
    if suffix == ".npy":
        return arrays.load_npy(path)
    if suffix == ".npz":
        return arrays.load_npz(path)
    if suffix in _PICKLE_SUFFIXES or _starts_like_pickle(path):
        if path.name in {name.removesuffix(".bin") for name in cifar10.BATCHES}:
            raise cifar10.pickled_error(path)
        raise ValueError(
            f"{path}: expected .npy, .npz, .mat or IDX, got a pickle, which is never read, since "
            "unpickling can run code; save the images with numpy.save"
        )
    if suffix != ".bin" and idx.looks_like_idx(path):
        images = idx.read_idx(path, 3)
        return arrays.from_images(
            images, path.name.split(".")[0], f"images of {path}", where=str(path)
        )
    raise ValueError(
        f"{path}: expected a .npy, .npz, .mat (TFD) or IDX file of images, or a folder with the "
        f"files of {', '.join(_KINDS)}, got a file of another kind"
    )


def _load_folder(path: Path, fold: int) -> Dataset:
    kind, found = _kind_in(path)
    if kind.read_folds is None:
        _check_no_fold(fold, kind.files.name)
    return kind.read(found, fold)


def _kind_in(path: Path) -> tuple[_Kind, Search]:
    """Return the first known data set whose files are all in a folder, and the files."""
    for name, kind in _KINDS.items():
        here = FileSet(name, (), kind.files.alternatives, kind.files.home)
        found = search(here, [(path, "path")])
        if found.paths:
            return kind, found
    pickled = search(
        FileSet("cifar10", (), cifar10.PICKLED_FILES.alternatives, ""), [(path, "path")]
    )
    if pickled.paths:
        raise cifar10.pickled_error(pickled.paths[0])
    wanted = "; ".join(f"{name}: {kind.files.describe()}" for name, kind in _KINDS.items())
    raise ValueError(
        f"{path}: expected a folder with all files of a known data set ({wanted}), got none whole"
    )


def _starts_like_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(2)
    # protocols 2 to 5 open with the byte 0x80 and their number
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5
