from __future__ import annotations

import gzip
import random
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgan.data import idx

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = b"\0\0\x08\x03" + b"\0\0\0\x02\0\0\0\x03\0\0\0\x04" + IMAGES.tobytes()


@pytest.fixture
def write(tmp_path):
    def write(content: bytes, name: str = "images-idx3-ubyte"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def refused(path, sentence, n_dimensions=3):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        idx.read_idx(path, n_dimensions)
    assert str(path) in str(caught.value)


def test_header_is_the_formats():
    assert idx.header((2, 3, 4)) + IMAGES.tobytes() == CONTENT


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_reads_what_was_written(write, pack):
    # the name says nothing about the compression, the content does
    images = idx.read_idx(write(pack(CONTENT)), 3)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)


def test_reads_labels(write):
    labels = idx.read_idx(write(idx.header((3,)) + b"\x07\x00\x09"), 1)
    np.testing.assert_array_equal(labels, [7, 0, 9])


def test_missing_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        idx.read_idx(tmp_path / "nothing-here", 3)


def test_wrong_magic(write):
    refused(
        write(b"\0\0\x0d\x03" + CONTENT[4:]),
        "expected an IDX file of unsigned bytes with 3 dimension(s), magic 00 00 08 03, "
        "got 00 00 0d 03",
    )


def test_labels_where_images_are_expected(write):
    refused(write(idx.header((3,)) + b"\1\2\3"), "magic 00 00 08 03, got 00 00 08 01")


def test_web_page_saved_under_the_name(write):
    refused(write(b"<!DOCTYPE html>"), "got 3c 21 44 4f")


def test_empty_file(write):
    refused(write(b""), "got an empty file")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_header_cut_short(write, pack):
    refused(write(pack(CONTENT[:9])), "expected an IDX header of 16 bytes, got 9")


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_truncated(write, pack):
    refused(
        write(pack(CONTENT[:-1])),
        "expected 2 x 3 x 4 = 24 bytes after the header, got 23: the file is cut short",
    )


def test_overlong_plain(write):
    refused(
        write(CONTENT + b"\0\0"),
        "expected 2 x 3 x 4 = 24 bytes after the header, got 26: the file is too long",
    )


def test_overlong_gzip(write):
    refused(
        write(gzip.compress(CONTENT + b"\0")),
        "expected 2 x 3 x 4 = 24 bytes after the header, got more: the file is too long",
    )


def test_no_items(write):
    refused(write(idx.header((0, 28, 28))), "expected at least one item of data, got 0 x 28 x 28")


def test_gzip_cut_short_anywhere(write):
    content = gzip.compress(CONTENT)
    for n_bytes in range(2, len(content)):  # the trailer with checksum and length too
        refused(write(content[:n_bytes]), f"got one cut short after {n_bytes} bytes")


def test_gzip_damaged(write):
    content = bytearray(gzip.compress(CONTENT))
    content[-6] ^= 1  # in the checksum
    refused(write(bytes(content)), "expected a sound gzip file, got a damaged one (CRC")


def test_gzip_with_trailing_rubbish(write):
    refused(write(gzip.compress(CONTENT) + b"rubbish"), "got a damaged one (Not a gzipped file")


LIE = idx.header((2**32 - 1, 2**32 - 1, 2**32 - 1))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (LIE + bytes(100), "got 100: the file is cut short"),
        (gzip.compress(LIE + bytes(100)), "bytes can hold"),
        # 3 GB promised by 3 MB of gzip is possible, so only reading shows the lie
        (
            gzip.compress(idx.header((3, 2**15, 2**15)) + random.Random(0).randbytes(3_200_000)),
            "cut short",
        ),
    ],
    ids=["plain", "gzip", "within the ratio"],
)
def test_lying_header_allocates_nothing(write, content, sentence):
    path = write(content)
    tracemalloc.start()
    try:
        refused(path, sentence)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 << 20


def test_gzip_bomb_stops_at_the_promise(write):
    bomb = gzip.compress(CONTENT + bytes(64 << 20))
    tracemalloc.start()
    try:
        refused(write(bomb), "got more: the file is too long")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 << 20


@settings(max_examples=100, deadline=None)
@given(
    content=st.binary(max_size=64), compressed=st.booleans(), n_dimensions=st.sampled_from([1, 3])
)
def test_any_bytes_give_an_array_or_a_value_error(
    tmp_path_factory, content, compressed, n_dimensions
):
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(content) if compressed else content)
    try:
        array = idx.read_idx(path, n_dimensions)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert idx.header(array.shape) + array.tobytes() == content
