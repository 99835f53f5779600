from __future__ import annotations

import io
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
import torch

from fastgan.data import UNIT_SIGMA_GRID, load_dataset

GENERATOR = np.random.Generator(np.random.Philox(7))
IMAGES = GENERATOR.integers(0, 256, (25, 4, 6), np.uint8)


CODES = "expected 0 train, 1 validation and 2 test, each at least once"


def save(path, array=None, **arrays):
    if arrays:
        np.savez(path, **arrays)
    else:
        np.save(path, array)
    return path


def refused(path, sentence, kind=ValueError):
    with pytest.raises(kind, match=re.escape(sentence)) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)


def test_uint8_is_divided_and_split_by_position(tmp_path):
    path = save(tmp_path / "my images.npy", IMAGES)
    dataset = load_dataset(path)
    rows = torch.from_numpy(IMAGES.reshape(25, 24)).to(torch.float32) / 255.0
    assert torch.equal(dataset.train, rows[:21])
    assert torch.equal(dataset.validation, rows[21:23])
    assert torch.equal(dataset.test, rows[23:])
    assert dataset.name == "my images"
    assert dataset.image_shape == (4, 6, 1)
    assert dataset.sigma_images == 2
    assert dataset.comparable_to is None
    assert "split by position (last tenth test, the tenth before it validation)" in dataset.source
    assert dataset.train_labels is None


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((5, 4, 6), (4, 6, 1)),
        ((5, 4, 6, 1), (4, 6, 1)),
        ((5, 4, 6, 3), (4, 6, 3)),
        ((5, 49), (7, 7, 1)),
        ((5, 50), (1, 50, 1)),
        ((5, 1), (1, 1, 1)),
    ],
)
def test_shapes(tmp_path, shape, image_shape):
    array = GENERATOR.random(shape, np.float32)
    dataset = load_dataset(save(tmp_path / "a.npy", array))
    assert dataset.image_shape == image_shape
    assert torch.equal(dataset.train, torch.from_numpy(array.reshape(5, -1)[:3]))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", "g", "?"])
def test_floats_and_booleans_are_taken_as_they_are(tmp_path, dtype):
    array = (GENERATOR.random((6, 2, 2)) < 0.5).astype(dtype)
    for path in (save(tmp_path / "a.npy", array), save(tmp_path / "a.npz", images=array)):
        dataset = load_dataset(path)
        assert dataset.train.tolist() == array[:4].reshape(4, 4).astype(float).tolist()
        assert dataset.sigma_grid == UNIT_SIGMA_GRID
        assert dataset.pixel_range == (0.0, 1.0)


def test_fortran_order(tmp_path):
    array = np.asfortranarray(IMAGES)
    expected = load_dataset(save(tmp_path / "c.npy", IMAGES))
    for path in (save(tmp_path / "f.npy", array), save(tmp_path / "f.npz", images=array)):
        assert torch.equal(load_dataset(path).train, expected.train)


def test_floats_outside_the_unit_interval(tmp_path):
    array = np.linspace(-3.0, 5.0, 8 * 4, dtype=np.float64).reshape(8, 2, 2)
    array[6:] = 100.0  # held-out images must not set the range
    dataset = load_dataset(save(tmp_path / "a.npy", array))
    low, high = dataset.pixel_range
    assert (low, high) == (dataset.train.min().item(), dataset.train.max().item())
    assert dataset.sigma_grid == pytest.approx([s * (high - low) for s in UNIT_SIGMA_GRID])
    assert dataset.to_pixels(dataset.train).min() == 0.0
    assert dataset.to_pixels(dataset.train).max() == 1.0
    assert dataset.to_pixels(dataset.test).unique().tolist() == [1.0]


def test_floats_below_zero_alone(tmp_path):
    array = np.linspace(-0.5, 0.5, 16, dtype=np.float32).reshape(4, 4)
    dataset = load_dataset(save(tmp_path / "a.npy", array))
    assert dataset.pixel_range == (-0.5, dataset.train.max().item())


@pytest.mark.parametrize(("n_images", "n_held_out"), [(3, 1), (9, 1), (19, 1), (20, 2), (29, 2)])
def test_tenths(tmp_path, n_images, n_held_out):
    array = np.arange(n_images, dtype=np.uint8)[:, None]
    dataset = load_dataset(save(tmp_path / "a.npy", array))
    got = [(rows * 255).round().ravel().tolist() for rows in (dataset.validation, dataset.test)]
    numbers = list(range(n_images))
    assert got == [numbers[-2 * n_held_out : -n_held_out], numbers[-n_held_out:]]
    assert len(dataset.train) == n_images - 2 * n_held_out


def test_constant_images_outside_the_unit_interval(tmp_path):
    refused(
        save(tmp_path / "a.npy", np.full((5, 2, 2), 3.0)),
        "expected images that vary, got 3.0 everywhere in train",
    )


def test_the_file_may_go_after_reading(tmp_path):
    path = save(tmp_path / "a.npy", GENERATOR.random((5, 2, 2), np.float32))
    dataset = load_dataset(path)
    before = dataset.train.clone()
    dataset.train.mul_(1.0)  # writable, and not a view of the file
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(dataset.train, before)


def test_split_and_labels_of_an_npz(tmp_path):
    split = np.array([2, 0, 1, 0, 2, 0, 1, 0])
    labels = np.arange(8, dtype=np.uint8)
    for shaped in (labels, labels[:, None]):
        path = save(tmp_path / "a.npz", images=IMAGES[:8], split=split, labels=shaped, row=labels)
        dataset = load_dataset(path)
        assert dataset.train_labels.tolist() == [1, 3, 5, 7]
        assert dataset.validation_labels.tolist() == [2, 6]
        assert dataset.test_labels.tolist() == [0, 4]
        expected = torch.from_numpy(IMAGES[[2, 6]].reshape(2, 24)).to(torch.float32) / 255.0
        assert torch.equal(dataset.validation, expected)
        assert "split as the file says" in dataset.source


def test_npz_compressed(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    expected = load_dataset(save(tmp_path / "a.npy", IMAGES))
    assert torch.equal(load_dataset(tmp_path / "a.npz").train, expected.train)


def test_npz_with_a_single_array_of_any_name(tmp_path):
    np.savez(tmp_path / "a.npz", IMAGES)
    assert load_dataset(tmp_path / "a.npz").image_shape == (4, 6, 1)


def test_npz_without_images(tmp_path):
    refused(
        save(tmp_path / "a.npz", x_train=IMAGES, y_train=IMAGES),
        "expected an array named images, got: x_train, y_train",
    )
    refused(save(tmp_path / "b.npz", labels=np.zeros(5, int)), "labels: expected shape (n, height")
    with zipfile.ZipFile(tmp_path / "c.npz", "w"):
        pass
    refused(tmp_path / "c.npz", "expected an array named images, got: nothing")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_objects_are_refused_and_never_unpickled(tmp_path, suffix):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was read",))

    array = np.array([Trap(), Trap(), Trap()], dtype=object)
    path = tmp_path / f"a.{suffix}"
    (np.savez if suffix == "npz" else np.save)(path, array)
    refused(path, "expected numbers, got an array of Python objects, which is a pickle and never")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5, 2, 2), np.int64), "expected uint8 (0 to 255), floating or bool images, got"),
        (np.zeros((5, 2, 2), np.uint16), "floating or bool images, got uint16"),
        (np.zeros((5, 2, 2), complex), "expected real numbers, got dtype complex128"),
        (np.zeros((5, 2, 2), "U3"), "expected real numbers, got dtype <U3"),
        (np.zeros((5, 2), "M8[s]"), "expected real numbers, got dtype datetime64[s]"),
        (np.zeros(5, [("a", "u1")]), "expected real numbers, got dtype [('a', '|u1')]"),
        (np.zeros(5), "expected shape (n, height, width), (n, height, width, channels)"),
        (np.float64(3), "or (n, n_features), got ()"),
        (np.zeros((5, 2, 2, 2)), "1 or 3 channels, or (n, n_features), got (5, 2, 2, 2)"),
        (np.zeros((5, 3, 8, 8)), "got (5, 3, 8, 8); move the channels to the end"),
        (np.zeros((5, 1, 2, 2, 3)), "got (5, 1, 2, 2, 3)"),
        (np.zeros((2, 2, 2)), "expected at least 3 images (train, validation, test), got 2"),
        (np.full((5, 2), [0.0, np.nan]), "got nan in image 0 (5 of 10 values)"),
        (np.array([[0.0], [1.0], [-np.inf]]), "got -inf in image 2 (1 of 3 values)"),
        (np.array([[0.0], [1e39], [1.0]]), "in the range of float32, got 1e+39 in image 1"),
    ],
)
def test_arrays_that_are_not_images(tmp_path, suffix, array, sentence):
    path = tmp_path / f"a.{suffix}"
    refused(save(path, images=array) if suffix == "npz" else save(path, array), sentence)


@pytest.mark.parametrize("shape", [(0, 2, 2), (5, 0), (5, 2, 0)])
def test_empty_arrays(tmp_path, shape):
    refused(save(tmp_path / "a.npy", np.zeros(shape)), "expected at least one image")
    refused(save(tmp_path / "a.npz", images=np.zeros(shape)), "expected at least one image")


@pytest.mark.parametrize(
    ("others", "sentence"),
    [
        (
            {"labels": np.zeros(24, int)},
            "labels: expected 25 labels, one an image, got shape (24,)",
        ),
        ({"labels": np.zeros((25, 2), int)}, "labels: expected 25 labels, one an image, got shape"),
        ({"labels": np.zeros(25)}, "labels: expected whole numbers, got float64"),
        ({"split": np.zeros(24, int)}, "split: expected shape (25,) of whole numbers, got (24,)"),
        ({"split": np.zeros(25)}, "split: expected shape (25,) of whole numbers, got (25,) of flo"),
        ({"split": np.zeros(25, int)}, f"split: {CODES}, got [0]"),
        ({"split": np.arange(25) % 4}, f"split: {CODES}, got [0, 1, 2, 3]"),
    ],
)
def test_labels_and_split_that_do_not_fit(tmp_path, others, sentence):
    refused(save(tmp_path / "a.npz", images=IMAGES, **others), f"images: {sentence}")


def test_npy_of_wrong_length(tmp_path):
    path = save(tmp_path / "a.npy", IMAGES)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    refused(
        path,
        "expected shape (25, 4, 6) of uint8 = 600 bytes after the header, got 599: the file is "
        "cut short",
    )
    path.write_bytes(content + b"\0")
    refused(path, "got 601: the file is too long")


def header(shape):
    stream = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue()


def test_lying_headers(tmp_path):
    for shape in ((2**40, 2**10), (-5, -2)):
        (tmp_path / "a.npy").write_bytes(header(shape) + bytes(80))
        refused(tmp_path / "a.npy", f"expected shape {shape} of float64")
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("images.npy", header(shape) + bytes(80))
        refused(tmp_path / "a.npz", f"images: expected shape {shape} of float64")


def test_not_npy(tmp_path):
    for content in (b"", b"\x93NUMPY", b"\x93NUMPY\1\0\xff\xff{", pickle.dumps([1])):
        (tmp_path / "a.npy").write_bytes(content)
        refused(tmp_path / "a.npy", "expected an array in NumPy's .npy format, version 1.0 or 2.0")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x07\0" + bytes(100))
    refused(tmp_path / "a.npy", "format version (7, 0)")


def test_npz_cut_short_anywhere(tmp_path):
    content = save(tmp_path / "a.npz", images=IMAGES[:4, :2, :2]).read_bytes()
    for n_bytes in range(0, len(content), 7):
        (tmp_path / "b.npz").write_bytes(content[:n_bytes])
        refused(
            tmp_path / "b.npz", "expected a whole npz file (a zip of .npy arrays), got one that"
        )


def test_npz_with_flipped_bits(tmp_path):
    content = save(tmp_path / "a.npz", images=IMAGES).read_bytes()
    place = content.index(IMAGES.tobytes()) + 100
    damaged = bytearray(content)
    damaged[place] ^= 1
    (tmp_path / "b.npz").write_bytes(damaged)
    refused(tmp_path / "b.npz", "damaged or of another kind (Bad CRC-32 for file 'images.npy')")


def test_npz_whose_directory_lies_about_the_length(tmp_path):
    content = save(tmp_path / "a.npz", images=IMAGES[:3]).read_bytes()
    # uncompressed size in the central directory, 24 bytes after its signature
    place = content.index(b"PK\1\2") + 24
    (size,) = struct.unpack_from("<I", content, place)
    damaged = bytearray(content)
    struct.pack_into("<I", damaged, place, size + 4096)
    (tmp_path / "b.npz").write_bytes(damaged)
    refused(tmp_path / "b.npz", "images: the archive promises 4,296 bytes of 200 in a file of 338")


def test_npz_with_a_password(tmp_path):
    content = bytearray(save(tmp_path / "a.npz", images=IMAGES[:3]).read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1  # the flag "encrypted"
    (tmp_path / "b.npz").write_bytes(content)
    refused(tmp_path / "b.npz", "is encrypted, password required")


def test_missing_file(tmp_path):
    refused(tmp_path / "none.npy", "no such file or folder", FileNotFoundError)
