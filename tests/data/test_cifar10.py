from __future__ import annotations

import io
import pickle
import re
import tarfile

import numpy as np
import pytest
import torch

from fastgan.data import cifar10, load_dataset

N = 5  # records a file


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Files of 5 records: the same code with another count."""
    monkeypatch.setattr(cifar10, "RECORDS_A_FILE", N)


@pytest.fixture
def records():
    numbers = np.random.Generator(np.random.Philox(6))
    records = numbers.integers(0, 256, (6 * N, 3073), np.uint8)
    records[:, 0] %= 10
    return records


@pytest.fixture
def folder(tmp_path, records):
    for name, part in zip(cifar10.BATCHES, np.split(records, 6), strict=True):
        (tmp_path / name).write_bytes(part.tobytes())
    return tmp_path


def add(archive, name, content, kind=tarfile.REGTYPE):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_archive(path, records, *, leave_out=(), extra=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, part in zip(cifar10.BATCHES, np.split(records, 6), strict=True):
            if name not in leave_out:
                add(archive, f"cifar-10-batches-bin/{name}", part.tobytes())
        for name, content in extra:
            add(archive, name, content)
    return path


def refused(folder, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        load_dataset("cifar10", folder=folder, download=False)


def test_split_layout_and_labels(folder, records):
    dataset = load_dataset("cifar10", folder=folder)
    assert dataset.image_shape == (32, 32, 3)
    assert [len(rows) for rows in (dataset.train, dataset.validation, dataset.test)] == [20, 5, 5]
    labels = torch.from_numpy(records[:, 0].astype(np.int64))
    assert torch.equal(dataset.train_labels, labels[:20])
    assert torch.equal(dataset.validation_labels, labels[20:25])
    assert torch.equal(dataset.test_labels, labels[25:])
    # one number by hand: image 21, row 3, column 17, green
    pixels = records[21, 1:].astype(np.float64)
    contrast = np.sqrt(np.square(pixels - pixels.mean()).sum())
    expected = (pixels[1024 + 3 * 32 + 17] - pixels.mean()) * 55 / contrast
    assert dataset.validation[1].reshape(32, 32, 3)[3, 17, 1].item() == np.float32(expected)


def test_rows_are_the_normalised_bytes(folder, records):
    dataset = load_dataset("cifar10", folder=folder)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).reshape(-1, 3072)
    centred = images - images.mean(axis=1, keepdims=True)
    expected = centred * (55 / np.linalg.norm(centred, axis=1, keepdims=True))
    got = torch.cat([dataset.train, dataset.validation, dataset.test]).double().numpy()
    # half a unit of float32 in the last place, and float64's own rounding
    np.testing.assert_allclose(got, expected, rtol=2**-24 + 1e-13, atol=1e-12)


def test_not_comparable_and_its_own_grid(folder):
    dataset = load_dataset("CIFAR-10", folder=folder)
    assert dataset.comparable_to is None
    assert dataset.sigma_images == N
    assert dataset.sigma_grid == pytest.approx(np.geomspace(0.4, 1.6, 10), rel=1e-12)
    assert dataset.to_pixels(torch.zeros(1, 3072)).unique().tolist() == [0.5]


@pytest.mark.parametrize("n_bytes", [0, 1, N * 3073 - 1, N * 3073 + 1, N * 3074])
def test_wrong_length(folder, n_bytes):
    path = folder / "data_batch_3.bin"
    path.write_bytes(bytes(n_bytes))
    refused(folder, f"{path}: expected 5 records of 3,073 bytes = 15,365, got {n_bytes:,} bytes")


def test_label_above_nine(folder, records):
    part = records[:N].copy()
    part[2, 0] = 10
    path = folder / "data_batch_1.bin"
    path.write_bytes(part.tobytes())
    refused(folder, f"{path}: expected labels 0 to 9, got 10 in record 2 of data_batch_1.bin")


TAKE = (
    "expected the binary version of CIFAR-10, got the python version, which is pickled and never "
    "read, since unpickling can run code; take the binary version, cifar-10-binary.tar.gz, from "
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
)


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py", "cifar10/cifar-10-batches-py"])
def test_pickled_version(tmp_path, inside):
    folder = tmp_path / inside
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": [1]}, protocol=2))
    refused(tmp_path, f"{path.parent / path.name}: {TAKE}")
    for direct in (path, folder):
        with pytest.raises(ValueError, match=re.escape(TAKE)):
            load_dataset(direct)


def test_pickled_archive(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(b"\x1f\x8b")
    refused(tmp_path, f"{path}: {TAKE}")


def test_pickle_under_a_binary_name(folder):
    path = folder / "test_batch.bin"
    path.write_bytes(pickle.dumps({b"data": [1]}, protocol=2))
    refused(folder, f"{path}: {TAKE}")


def test_binary_version_wins_over_the_pickled_one(folder):
    (folder / "data_batch_1").write_bytes(b"\x80\x02")
    assert load_dataset("cifar10", folder=folder).name == "cifar10"


def test_archive_reads_like_the_files(tmp_path, folder, records):
    expected = load_dataset("cifar10", folder=folder)
    elsewhere = tmp_path / "cifar10"
    elsewhere.mkdir()
    for path in folder.glob("*.bin"):
        path.unlink()
    write_archive(
        elsewhere / cifar10.ARCHIVE, records, extra=[("cifar-10-batches-bin/readme", b"")]
    )
    dataset = load_dataset("cifar10", folder=tmp_path)
    for which in ("train", "validation", "test", "train_labels", "test_labels"):
        assert torch.equal(getattr(dataset, which), getattr(expected, which))
    assert [path.name for path in elsewhere.iterdir()] == [cifar10.ARCHIVE]  # nothing unpacked


def test_archive_lacks_a_file(tmp_path, records):
    path = write_archive(tmp_path / cifar10.ARCHIVE, records, leave_out=["test_batch.bin"])
    refused(
        tmp_path,
        f"{path}: expected the six files of cifar-10-batches-bin/, got none named test_batch.bin",
    )


def test_archive_with_a_path_out_of_it(tmp_path, records):
    extra = [("../data_batch_1.bin", bytes(5)), ("/cifar-10-batches-bin/test_batch.bin", b"x")]
    write_archive(tmp_path / cifar10.ARCHIVE, records, extra=extra)
    dataset = load_dataset("cifar10", folder=tmp_path)
    assert torch.equal(dataset.test_labels, torch.from_numpy(records[25:, 0].astype(np.int64)))
    assert not (tmp_path.parent / "data_batch_1.bin").exists()


def test_archive_member_that_is_a_link(tmp_path, records):
    path = tmp_path / cifar10.ARCHIVE
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.type, member.linkname = tarfile.SYMTYPE, "../../secret"
        archive.addfile(member)
    refused(tmp_path, "expected cifar-10-batches-bin/data_batch_1.bin to be a file of 5 records")


def test_archive_member_of_wrong_length(tmp_path, records):
    path = write_archive(tmp_path / cifar10.ARCHIVE, records[:24])
    refused(tmp_path, f"{path}: expected cifar-10-batches-bin/data_batch_1.bin to be a file of 5")


def test_archive_bombs(tmp_path, records):
    path = write_archive(tmp_path / cifar10.ARCHIVE, records, extra=[("big", bytes(16_000))])
    refused(tmp_path, f"{path}: expected at most 32 members of at most 15,365 bytes, got member 6")
    write_archive(path, records, extra=[(f"file {i}", b"") for i in range(40)])
    refused(tmp_path, f"{path}: expected at most 32 members of at most 15,365 bytes, got member 32")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_archive_cut_short(tmp_path, records, share):
    path = write_archive(tmp_path / cifar10.ARCHIVE, records)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(tmp_path, f"{path}: expected a whole tar.gz archive, got one that is cut short")
