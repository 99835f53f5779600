"""Headers cut at every byte, a lie in each field, and bombs."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
import valid_files
from hostile_readers import READERS, check_contract

from fastgan.data import arrays, cifar10, idx, matlab, tar
from fastgan.data.locate import Search
from fastgan.safetensors_files import read_safetensors

HEADER_BYTES = 300


def read_mat(path):
    return matlab.read_numbers(path, ("images",))


def refused(path, content, read, sentence=""):
    """Whatever this file says, it is refused by its name, and no room is made for what it says."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.bin") as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
    assert sentence in str(caught.value)


# Where nothing says how long a file is (a recipe, lines of metrics), a part may be a whole.
@pytest.mark.parametrize("name", sorted(READERS))
def test_cut_at_every_byte_of_the_header(name, tmp_path):
    content = valid_files.seeds()[name][0]
    path = tmp_path / READERS[name].file_name
    path.write_bytes(content)
    ends_told = name not in ("metrics", "recipe", "model_name")
    assert check_contract(name, path) is not None
    end = len(content) - 1  # some end in a line's end, which may be missing
    for n_bytes in (*range(min(HEADER_BYTES, end)), *range(HEADER_BYTES, min(end, 3000), 101)):
        path.write_bytes(content[:n_bytes])
        found = check_contract(name, path)
        refused = found is None or (isinstance(found, list) and not found)
        assert refused or not ends_told, n_bytes


IDX = idx.header(valid_files.IMAGES.shape) + valid_files.IMAGES.tobytes()
BIG = (0, 1, 7, 2**16, 2**31, 2**32 - 1)


def changed(content, place, value, form):
    content = bytearray(content)
    struct.pack_into(form, content, place, value)
    return bytes(content)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx(tmp_path, pack):
    def read(path):
        return idx.read_idx(path, 3)

    for place in range(4):
        for value in (0, 1, 2, 3, 8, 9, 255):
            if IDX[place] != value:
                lie = changed(IDX, place, value, "B")
                refused(tmp_path / "a.bin", pack(lie), read, "magic 00 00 08 03")
    for dimension in range(3):
        for size in BIG:
            lie = changed(IDX, 4 + 4 * dimension, size, ">I")
            refused(tmp_path / "a.bin", pack(lie), read)


NPY_LIES = [
    (b"'<f8'", b"'<f4'"),
    (b"'<f8'", b"'<c8'"),
    (b"'<f8'", b"'|O8'"),
    (b"'<f8'", b"'<U2'"),
    (b"'<f8'", b"'<M8'"),
    (b"'<f8'", b"'V80'"),
    (b"'<f8'", b"'=f9'"),
    (b"'<f8'", b"[('a', '<f8')]"),
    (b"False", b"0"),
    (b"False", b"None"),
    (b"False", b"print(1)"),
    (b"(2, 5)", b"(2, 6)"),
    (b"(2, 5)", b"(-2, -5)"),
    (b"(2, 5)", b"(2.0, 5)"),
    (b"(2, 5)", b"[2, 5]"),
    (b"(2, 5)", b"(2,, 5)"),
    (b"(2, 5)", b"(2**1, 5)"),
    (b"(2, 5)", b"(9223372036854775808, 2)"),
    (b"(2, 5)", b"(18446744073709551616, 18446744073709551616)"),
    (b"(2, 5)", b"(0, 5)"),
    (b"(2, 5)", b"(2, 5, " + b"1, " * 40 + b")"),
    (b"(2, 5)", b"(" * 5000 + b")" * 5000),
    (b"'shape'", b"'shapes'"),
    (b"'shape'", b"'descr'"),
    (b"}", b"'more': 1, }"),
]


def npy_header(text, version=b"\1\0"):
    return b"\x93NUMPY" + version + struct.pack("<H" if version[0] == 1 else "<I", len(text)) + text


@pytest.mark.parametrize(("true", "lie"), NPY_LIES)
def test_npy(tmp_path, true, lie):
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 5), }\n"
    path = tmp_path / "a.bin"
    path.write_bytes(npy_header(text) + bytes(80))
    assert arrays.map_npy(path).shape == (2, 5)
    assert text.count(true) == 1
    content = npy_header(text.replace(true, lie)) + bytes(80)
    refused(path, content, arrays.map_npy)
    refused(path, zipped(content), arrays.load_npz)


@pytest.mark.parametrize("n_bytes", [0, 1, 59, 61, 141, 2**16 - 1])
def test_the_length_of_an_npy_header(tmp_path, n_bytes):
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 5), }\n"
    content = changed(npy_header(text) + bytes(80), 8, n_bytes, "<H")
    refused(tmp_path / "a.bin", content, arrays.map_npy)


def zipped(content, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(zipfile.ZipInfo("images.npy"), content, compression)
    return stream.getvalue()


# the offsets of the directory's entry: its checksum, its sizes, its name's length, its place
@pytest.mark.parametrize("offset", [16, 20, 24, 28, 42])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_directory_of_an_npz(tmp_path, offset, compression):
    content = zipped(valid_files.npy(valid_files.IMAGES), compression)
    place = content.index(b"PK\1\2") + offset
    form = "<H" if offset == 28 else "<I"
    (true,) = struct.unpack_from(form, content, place)
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    truth = arrays.load_npz(path)
    for lie in (1, 5, true + 1, 2**16 - 1, *(() if offset == 28 else (2**31, 2**32 - 1))):
        if lie != true:
            path.write_bytes(changed(content, place, lie, form))
            try:
                found = arrays.load_npz(path)
            except ValueError as error:
                assert str(path) in str(error)  # noqa: PT017
            else:  # more bytes than the stream needs: it tells its own end, and has a checksum
                assert offset in (20, 28)
                assert torch.equal(found.train, truth.train)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_of_an_npz(tmp_path, compression):
    content = zipped(valid_files.npy(np.zeros((9, 1 << 20), np.uint8)), compression)
    refused(tmp_path / "a.bin", content, arrays.load_npz, "a plain or a deflated array")


MAT = valid_files.mat({"images": np.arange(6.0).reshape(2, 3)})
# where the numbers of a MATLAB file stand, and what is true of them
MAT_FIELDS = {
    "type of variable": 128,
    "bytes of variable": 132,
    "type of flags": 136,
    "bytes of flags": 140,
    "class and flags": 144,
    "type of shape": 152,
    "bytes of shape": 156,
    "rows": 160,
    "columns": 164,
    "type of name": 168,
    "bytes of name": 172,
    "type of numbers": 184,
    "bytes of numbers": 188,
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("field", MAT_FIELDS)
def test_mat(tmp_path, field, compressed):
    place = MAT_FIELDS[field]
    path = tmp_path / "a.bin"
    path.write_bytes(MAT)
    assert read_mat(path)[0]["images"].tolist() == [[0, 1, 2], [3, 4, 5]]
    (true,) = struct.unpack_from("<I", MAT, place)
    for lie in (0, 1, 3, 5, 17, 2**16 + 5, 2**31, 2**32 - 8, 2**32 - 1):
        if lie == true:
            continue
        content = changed(MAT, place, lie, "<I")
        if compressed:
            content = valid_files.deflated_mat(content[128:])
        path.write_bytes(content)
        tracemalloc.start()
        try:
            found, _ = read_mat(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:  # another name, or a length that a compressed stream does not need
            assert "images" not in found or (compressed and field == "bytes of variable")
            assert all(array.tolist() == [[0, 1, 2], [3, 4, 5]] for array in found.values())
        finally:
            peak_bytes = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak_bytes < 4 * 2**20


def tensors(header, n_bytes=24, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(n_bytes)


TRUE = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    "lie",
    [
        *({"dtype": value} for value in ("F64", "F8_E4M3", "O", "", None, 3, ["F32"], {})),
        *({"shape": value} for value in ([2, 4], [-2, -3], [2.0, 3], [True, 6], "23", None, 6)),
        *({"shape": value} for value in ([2**63, 2], [2**32, 2**32], [[2], 3], [1] * 40 + [6])),
        *(
            {"data_offsets": value}
            for value in ([0, 23], [1, 25], [24, 0], [-24, 0], [0], [0, 24, 1])
        ),
        *({"data_offsets": value} for value in ([0, 2**64], [0.0, 24.0], None, "ab")),
        {"more": 1},
    ],
    ids=str,
)
def test_safetensors(tmp_path, lie):
    path = tmp_path / "a.bin"
    path.write_bytes(tensors({"a": TRUE}))
    assert read_safetensors(path)[1]["a"].shape == (2, 3)
    refused(path, tensors({"a": TRUE | lie}), read_safetensors, "not a whole safetensors file")


def test_safetensors_as_a_whole(tmp_path):
    sound = tensors({"a": TRUE})
    n_header = len(sound) - 32
    for length in (
        0,
        1,
        n_header - 1,
        n_header + 1,
        n_header + 24,
        n_header + 25,
        2**63,
        2**64 - 1,
    ):
        refused(tmp_path / "a.bin", tensors({"a": TRUE}, length=length), read_safetensors)
    overlap = {"a": TRUE, "b": TRUE}
    gap = {"a": TRUE, "b": TRUE | {"data_offsets": [25, 49]}}
    twice = b'{"a": %b, "a": %b}' % ((json.dumps(TRUE).encode(),) * 2)
    bools = {"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}
    content = tensors(bools, 0) + b"\2"
    for lie in (
        *(tensors(overlap), tensors(overlap, 48), tensors(gap, 49), tensors(twice), content),
        *(tensors({"a": TRUE}, 23), tensors({"a": TRUE}, 25), tensors([1]), tensors(b"\xff")),
        *(tensors({"__metadata__": {"a": 1}}, 0), tensors({"__metadata__": []}, 0)),
        tensors(b'{"a":' * 100_000, 0),
    ):
        refused(tmp_path / "a.bin", lie, read_safetensors, "not a whole safetensors file")


def read_tar(path):
    with path.open("rb") as stream:
        return list(tar.members(stream, str(path), 8, 2**20))


def tar_of(size, *, sound=True):
    block = bytearray(valid_files.tar({"a": b"content"})[:512])
    block[124:136] = size
    if sound:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"content".ljust(512, b"\0") + bytes(1024)


def test_sizes_of_tar(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(tar_of(b"00000000007\0"))
    ((member, content),) = read_tar(path)
    assert (member.n_bytes, content) == (7, b"content")
    for size in (
        *(b"77777777777\0", b"00001000000\0", b"00000000009\0", b"-0000000007\0", b"0x000000007\0"),
        *(b"\x80" + bytes(3) + b"\xff" * 8, b"\xff" * 12, b"\x80" + bytes(9) + b"\x10\0"),
    ):
        path.write_bytes(tar_of(size))
        tracemalloc.start()
        with pytest.raises((ValueError, EOFError)):  # the archive's reader adds the path
            read_tar(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
        tracemalloc.stop()
    path.write_bytes(tar_of(b"00000000006\0", sound=False))
    with pytest.raises(ValueError, match="checksum"):
        read_tar(path)


def test_labels_of_cifar10(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS_A_FILE", valid_files.RECORDS)
    for wrong in range(6):
        for number, name in enumerate(cifar10.BATCHES):
            content = bytearray(valid_files.cifar_batch())
            if number == wrong:
                content[cifar10.RECORD_BYTES] = 10
            (tmp_path / name).write_bytes(content)
        found = Search(tuple(tmp_path / name for name in cifar10.BATCHES), ())
        with pytest.raises(
            ValueError, match="expected labels 0 to 9, got 10 in record 1"
        ) as caught:
            cifar10.read(found, 0)
        assert str(tmp_path / cifar10.BATCHES[wrong]) in str(caught.value)


@pytest.mark.parametrize("module", [idx, arrays, matlab])
def test_bombs_stop_at_the_limit(tmp_path, monkeypatch, module):
    monkeypatch.setattr(module, "MOST_UNPACKED_BYTES", 2**20)
    shape = (3, 1024, 1024)
    zeros = np.zeros(shape, np.uint8)
    content, read = {
        idx: (gzip.compress(idx.header(shape) + zeros.tobytes()), lambda p: idx.read_idx(p, 3)),
        arrays: (zipped(valid_files.npy(zeros)), arrays.load_npz),
        matlab: (valid_files.mat({"images": zeros}, compressed=True), read_mat),
    }[module]
    assert len(content) < 10_000
    refused(tmp_path / "a.bin", content, read, "1,048,576")


def test_bombs_stop_at_the_promise(tmp_path):
    variable = valid_files.mat({"images": np.zeros((1, 9), np.uint8)})[128:]
    bomb = valid_files.deflated_mat(variable + bytes(32 << 20))
    refused(tmp_path / "a.bin", bomb, read_mat, "got more")
    member = valid_files.npy(np.zeros((3, 3, 3), np.uint8))
    bomb = bytearray(zipped(member + bytes(32 << 20)))
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", bomb, bomb.index(signature) + offset, len(member))
    refused(tmp_path / "a.bin", bytes(bomb), arrays.load_npz)
