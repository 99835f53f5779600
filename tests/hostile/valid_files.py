"""The smallest valid files of every reader, made here: what tests and fuzzers start from."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import json
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import scipy.io
import torch

from fastgan import best_weights, recipes
from fastgan.checkpoints import Checkpoint, save_checkpoint
from fastgan.data import cifar10, idx
from fastgan.parzen_stream import ParzenStream
from fastgan.recipes import DenseLayer, MaxoutLayer, Recipe
from fastgan.scores import Evaluation, FoldEvaluation

RECORDS = 2  # a file of CIFAR-10: tests set cifar10.RECORDS_A_FILE to it

TINY = Recipe(
    name="tiny",
    dataset="none",
    n_latent=2,
    latent="uniform",
    generator=(DenseLayer(3, "relu", 0.5), DenseLayer(4, "sigmoid", 0.5)),
    discriminator=(MaxoutLayer(3, 2, include_probability=0.8, initial_range=0.3),),
    output_include_probability=0.5,
    output_initial_range=0.3,
    batch_size=10,
    learning_rate=0.1,
    n_epochs=4,
    evaluate_every=2,
    n_samples=1000,
    seed=3,
)

IMAGES = (np.arange(6 * 3 * 2) * 7 % 256).astype(np.uint8).reshape(6, 3, 2)
SPLIT = np.array([0, 0, 1, 1, 2, 2])
LABELS = np.arange(6)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def npz(compression: int = zipfile.ZIP_DEFLATED, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(array), compression)
    return stream.getvalue()


def tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def mat(fields: dict[str, np.ndarray] | None = None, *, compressed: bool = False) -> bytes:
    if fields is None:
        folds = np.array([[0] * 5, [0] * 5, [2] * 5, [3] * 5], np.uint8)
        images = np.arange(4 * 48 * 48).reshape(4, 48, 48).astype(np.uint8)
        fields = {"folds": folds, "labs_ex": np.array([[-1], [1], [2], [7]], np.int16)}
        fields["images"] = images
    stream = io.BytesIO()
    scipy.io.savemat(stream, fields, do_compression=compressed)
    return stream.getvalue()


def mat_element(kind: int, content: bytes) -> bytes:
    return np.array([kind, len(content)], "<u4").tobytes() + content


def deflated_mat(content: bytes) -> bytes:
    """Return a MATLAB file whose one element is compressed."""
    return mat({})[:128] + mat_element(15, zlib.compress(content, 1))


@functools.cache
def written(name: str) -> bytes:
    """Return what the library itself writes: a checkpoint, best weights or a Parzen stream."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        weights = {
            "generator.weight": torch.arange(6.0).reshape(2, 3),
            "update": torch.tensor(40),
            "epoch": torch.tensor(5),
            "flags": torch.tensor([True, False]),
        }
        if name == "checkpoint.safetensors":
            save_checkpoint(
                path,
                Checkpoint(
                    recipe=TINY,
                    state=weights,
                    position=3,
                    sums=(0.5, 1.25),
                    seconds=7.5,
                    status="running",
                    data_digest="0" * 32,
                    n_threads=1,
                    torch_version="2",
                ),
            )
        elif name == best_weights.BEST:
            record = {"epoch": 1, "step": 4, "validation_log_likelihood": -3.5, "sigma": 0.2}
            assert best_weights.keep_best(Path(folder), torch.nn.Linear(2, 3), [record])
            best_weights.settle_best(Path(folder), 4)
        else:
            stream = ParzenStream(np.eye(3, 4), 0.5, counts=(2,), block_size=4)
            stream.update(np.arange(24.0).reshape(6, 4) / 24)
            stream.save(path)
        return path.read_bytes()


def evaluation(seed: int = 0) -> Evaluation:
    return Evaluation(
        **{
            field.name: _value(str(field.type), field.name, seed)
            for field in dataclasses.fields(Evaluation)
        }
    )


def _value(kind: str, name: str, seed: int) -> object:
    if kind.startswith("tuple"):
        return (1, 2) if "int" in kind else (0.5, 0.25)
    if "None" in kind:
        return None
    values = {"str": "text", "int": 10 + seed, "bool": True, "float": 0.5 + seed}
    return 10 if name == "n_samples" else values[kind]


def cifar_batch() -> bytes:
    records = np.arange(RECORDS * cifar10.RECORD_BYTES).astype(np.uint8)
    records[:: cifar10.RECORD_BYTES] = (3, 9)
    return records.tobytes()


def cifar_tar() -> bytes:
    names = (f"cifar-10-batches-bin/{name}" for name in cifar10.BATCHES)
    return tar({name: cifar_batch() for name in names} | {"readme": b"text"})


METRICS = b"".join(
    json.dumps({"epoch": epoch, "step": 4 * epoch, "seconds": 0.5, "real": None}).encode() + b"\n"
    for epoch in (1, 2)
)


@functools.cache
def seeds() -> dict[str, list[bytes]]:
    """Return valid contents for each reader."""
    plain = idx.header(IMAGES.shape) + IMAGES.tobytes()
    faces = np.arange(10 * 48 * 48).reshape(10, 48, 48).astype(np.uint8)
    faces_split = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    both = FoldEvaluation.of([evaluation(), evaluation(1)])
    fortran = np.asfortranarray(IMAGES / 255.0)
    return {
        "idx": [plain, gz(plain), idx.header((3,)) + b"\1\2\3"],
        "cifar_batch": [cifar_batch()],
        "cifar_archive": [gz(cifar_tar())],
        "npy": [npy(IMAGES), npy(fortran), npy(IMAGES.astype(bool)), npy(np.eye(5, 9, dtype="f4"))],
        "npz": [
            npz(images=IMAGES, labels=LABELS, split=SPLIT),
            npz(zipfile.ZIP_STORED, images=fortran),
            npz(anything=IMAGES),
        ],
        "faces": [npz(images=faces, split=faces_split, labels=np.arange(10))],
        "mat": [mat(), mat(compressed=True)],
        "checkpoint": [written("checkpoint.safetensors")],
        "best_weights": [written(best_weights.BEST)],
        "parzen_stream": [written("stream.safetensors")],
        "recipe": [recipes.to_toml(TINY).encode(), recipes.to_toml(recipes.DIGITS).encode()],
        "metrics": [METRICS, METRICS + b'{"step"'],
        "evaluation": [evaluation().to_json().encode(), both.to_json().encode()],
        "model_name": [b'{"name": "a model"}\n'],
    }
