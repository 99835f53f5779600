"""Whatever the bytes: a right object, or a ValueError or OSError with the path."""

from __future__ import annotations

import os
import struct
import tracemalloc

import pytest
import valid_files
from hostile_readers import READERS, check_contract
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastgan.data import arrays, matlab
from fastgan.reading import open_regular
from fastgan.safetensors_files import read_safetensors

NAMES = sorted(READERS)


@pytest.mark.parametrize("name", NAMES)
def test_valid_files_are_read(name, tmp_path):
    path = tmp_path / READERS[name].file_name
    path.write_bytes(valid_files.seeds()[name][0])
    assert check_contract(name, path) is not None


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_files_keep_the_contract(name, tmp_path, data):
    content = bytearray(data.draw(st.sampled_from(valid_files.seeds()[name])))
    header = min(len(content), 256)
    for _ in range(data.draw(st.integers(1, 3))):
        change = data.draw(st.sampled_from(["cut", "flip", "number", "junk"]))
        place = data.draw(st.integers(0, max(0, min(header, len(content)) - 1)))
        if change == "cut":
            del content[place:]
        elif change == "flip" and content:
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        elif change == "number":
            lie = data.draw(st.sampled_from([0, 1, 2**16, 2**31, 2**32 - 1, 2**60, 2**64 - 1]))
            order = data.draw(st.sampled_from("<>"))
            content[place : place + 8] = struct.pack(f"{order}Q", lie)
        else:
            content += data.draw(st.binary(max_size=20))
    path = tmp_path / READERS[name].file_name
    path.write_bytes(content)
    check_contract(name, path)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_file(name, tmp_path):
    path = tmp_path / READERS[name].file_name
    path.write_bytes(b"")
    check_contract(name, path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: expected a regular file, got a named pipe"):
        open_regular(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError, match="expected a file, got a folder"):
        open_regular(tmp_path)


HEADER_OF_MANY = b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + b"{"
TENSORS_OF_MANY = struct.pack("<Q", 2**60) + b"{}"
VARIABLE_OF_MANY = valid_files.mat({})[:128] + struct.pack("<II", 14, 2**32 - 1)


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (HEADER_OF_MANY, arrays.map_npy),
        (TENSORS_OF_MANY, read_safetensors),
        (VARIABLE_OF_MANY, lambda path: matlab.read_numbers(path, ("images",))),
    ],
    ids=["npy", "safetensors", "mat"],
)
def test_a_lying_length_makes_no_room(content, read, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a\.bin"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
