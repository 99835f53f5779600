"""Every reader of files, and the contract that it holds for any bytes whatever.

It returns an object that is right, or raises ValueError or OSError with the path: no other
exception, no more memory than the file or a stated limit, no hang.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import valid_files

from fastgan import best_weights, cli_shared
from fastgan.checkpoints import load_checkpoint, read_status
from fastgan.data import arrays, cifar10, faces, idx, load, tfd
from fastgan.data.locate import Search
from fastgan.kept_evaluation import read_evaluation, read_model_name
from fastgan.parzen_stream import ParzenStream
from fastgan.recipe_files import read_recipe
from fastgan.runs import read_metrics


class Reader(NamedTuple):
    """A reader: the name of its file, and how it is read."""

    file_name: str
    read: Callable[[Path], Any]


def _idx(path: Path) -> object:
    found = []
    for n_dimensions in (1, 3):
        try:
            found.append(idx.read_idx(path, n_dimensions))
        except ValueError as error:
            _names(error, path)
    return load.load_dataset(path) if found else None


def _cifar_batch(path: Path) -> object:
    records = np.empty((valid_files.RECORDS, cifar10.RECORD_BYTES), np.uint8)
    cifar10.read_batch(path, records)
    return records


def _cifar_archive(path: Path) -> object:
    cifar10.RECORDS_A_FILE = valid_files.RECORDS
    try:
        return cifar10.read(Search((path,), ()), 0)
    finally:
        cifar10.RECORDS_A_FILE = 10_000


def _npy(path: Path) -> object:
    try:
        cli_shared.read_samples(path)
    except ValueError as error:
        _names(error, path)
    return arrays.load_npy(path)


def _mat(path: Path) -> object:
    return tfd.read_folds(Search((path,), ()))


def _checkpoint(path: Path) -> object:
    found = load_checkpoint(path)
    return found, found.update, found.epoch, read_status(path)


def _best_weights(path: Path) -> object:
    return best_weights.load_best(path.parent)


def _parzen_stream(path: Path) -> object:
    stream = ParzenStream.load(path)
    if not stream.n_samples or (stream.exclude_self and stream.n_samples != len(stream._queries)):
        return stream  # a right one, which has no answer yet
    return stream.log_likelihood(), stream.bound(), stream.curve(), stream.block_log_sums()


def _evaluation(path: Path) -> object:
    other = path.with_name("nothing.json")
    found = []
    for paths in ((path, other), (other, path)):
        try:
            found.append(read_evaluation(*paths))
        except ValueError as error:
            _names(error, path)
    return [str(each) for each in found]


def _model_name(path: Path) -> object:
    name = read_model_name(path.parent)
    return None if name is None else name.encode()


READERS = {
    "idx": Reader("images", _idx),
    "cifar_batch": Reader("data_batch_1.bin", _cifar_batch),
    "cifar_archive": Reader(cifar10.ARCHIVE, _cifar_archive),
    "npy": Reader("a.npy", _npy),
    "npz": Reader("a.npz", arrays.load_npz),
    "faces": Reader("fer2013.npz", lambda path: faces.read_folds(Search((path,), ()))),
    "mat": Reader("TFD_48x48.mat", _mat),
    "checkpoint": Reader("checkpoint.safetensors", _checkpoint),
    "best_weights": Reader(best_weights.BEST, _best_weights),
    "parzen_stream": Reader("stream.safetensors", _parzen_stream),
    "recipe": Reader("recipe.toml", read_recipe),
    "metrics": Reader("metrics.jsonl", read_metrics),
    "evaluation": Reader("evaluation.json", _evaluation),
    "model_name": Reader("model.json", _model_name),
}


def check_contract(name: str, path: Path) -> Any:
    """Read a file; what it holds, or None where it was refused as it must be."""
    torch.set_num_threads(1)
    try:
        return READERS[name].read(path)
    except (ValueError, OSError) as error:
        _names(error, path)
        return None


def _names(error: ValueError | OSError, path: Path) -> None:
    if str(path) not in str(error):
        raise AssertionError(f"an error without the path: {error!r}") from error
