"""Streams that are cut and continued, and the memory they take."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch
from streaming import BLOCK, N_SAMPLES, cut, same_bits, streamed

from fastgan import parzen_log_likelihood
from fastgan.batches import RowBuffer
from fastgan.ops.parzen_sums import ParzenSums
from fastgan.parzen_of_stream import parzen_log_likelihood_of_stream
from fastgan.parzen_stream import ParzenStream

# cut and continued


@pytest.mark.parametrize("cut_at", [0, 1, 31, 32, 33, 64, 100, 210, 211])
@pytest.mark.parametrize("kind", ["ndarray", "tensor"])
def test_cut_and_continued_with_the_same_bits(queries, drawn, tmp_path, cut_at, kind, strategy):
    given = [part.numpy() if kind == "ndarray" else part for part in (queries, drawn)]
    options = {"counts": [20, 70, 150], "n_samples": N_SAMPLES, "strategy": strategy}
    whole = streamed(given[0], [given[1]], [0.1, 0.3], **options)
    part = streamed(given[0], [given[1][:cut_at]], [0.1, 0.3], **options)
    path = part.save(tmp_path / "stream.safetensors")
    resumed = ParzenStream.load(path)
    assert resumed.n_samples == cut_at
    resumed.update(given[1][cut_at:])
    assert type(resumed.log_likelihood()) is type(whole.log_likelihood())
    assert resumed.curve().keys() == whole.curve().keys()
    for count, values in whole.curve().items():
        assert same_bits(resumed.log_likelihood(count), values)
        assert same_bits(resumed.bound(count), whole.bound(count))
    assert [path.name for path in tmp_path.iterdir()] == ["stream.safetensors"]


@pytest.mark.parametrize(
    "options",
    [
        {"each_block": True, "tolerance": 1e-3},
        {"strategy": "dense", "impl": "reference"},
        {"exclude_self": True},
        {"strategy": "pruned"},
    ],
)
def test_options_are_kept(drawn, tmp_path, options):
    rows = drawn[:70].double()
    whole = streamed(rows, [rows], **options)
    path = streamed(rows, [rows[:40]], **options).save(tmp_path / "stream")
    resumed = ParzenStream.load(path)
    resumed.update(rows[40:])
    assert same_bits(resumed.log_likelihood(), whole.log_likelihood())
    assert resumed.log_likelihood().shape == (70,)
    assert resumed.save(tmp_path / "again").read_bytes() == whole.save(path).read_bytes()


def test_an_interrupted_block_is_worked_through_again(queries, drawn, monkeypatch):
    expected = streamed(queries, [drawn]).log_likelihood()
    add, calls = ParzenSums.add, []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt
        return add(self, *arguments)

    monkeypatch.setattr(ParzenSums, "add", interrupted)
    stream = ParzenStream(queries, 0.3, block_size=BLOCK)
    n_interruptions = 0
    while stream.n_samples < N_SAMPLES:
        try:
            stream.update(drawn[stream.n_samples : stream.n_samples + 41])
        except KeyboardInterrupt:
            n_interruptions += 1
    assert n_interruptions == 2
    assert same_bits(stream.log_likelihood(), expected)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "not a whole safetensors file"),
        (lambda path: path.write_bytes(b""), "not a whole safetensors file"),
        (
            lambda path: safetensors.torch.save_file({"a": torch.zeros(1)}, path),
            r"expected a 'fastgan parzen stream 1', got metadata \[\]",
        ),
    ],
)
def test_a_damaged_file_is_told(queries, drawn, tmp_path, damage, sentence):
    path = streamed(queries, [drawn]).save(tmp_path / "stream")
    damage(path)
    with pytest.raises(ValueError, match=sentence):
        ParzenStream.load(path)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("log_sums", None, "the tensor 'log_sums' is missing"),
        ("buffer", torch.zeros(3, 11), r"buffer: expected shape \(3, 12\) of torch.float32"),
        ("log_dropped", torch.zeros(5, 1, 37).double(), r"log_dropped: expected shape \(6, 1, 37"),
        ("log_sums", torch.zeros(6, 1, 37), "log_sums: expected shape .* of torch.float64"),
        ("kept.40", torch.zeros(2, 1, 36).double(), r"kept.40: expected shape \(2, 1, 37\)"),
        ("sigmas", torch.tensor([-1.0]).double(), "sigma: expected positive finite numbers"),
        ("queries", torch.zeros(37), "queries: expected 2 dimensions"),
    ],
)
def test_tensors_that_do_not_fit_are_told(queries, drawn, tmp_path, name, value, sentence):
    path = streamed(queries, [drawn], counts=[40]).save(tmp_path / "stream")
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load(path.read_bytes())
    assert name in tensors
    del tensors[name]
    if value is not None:
        tensors[name] = value
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match=sentence):
        ParzenStream.load(path)


# memory


def test_whole_blocks_are_read_where_they_lie(queries, drawn, tmp_path, monkeypatch):
    path = tmp_path / "samples.npy"
    np.save(path, drawn.numpy())
    mapped = np.load(path, mmap_mode="r")
    add, seen = ParzenSums.add, []

    def spy(self, samples, first_sample, block_size):
        seen.append(samples.data_ptr())
        return add(self, samples, first_sample, block_size)

    monkeypatch.setattr(ParzenSums, "add", spy)
    stream = streamed(queries.numpy(), [mapped[:100], mapped[100:]])
    address = mapped.__array_interface__["data"][0]
    n_bytes = BLOCK * 12 * 4
    assert seen[:3] == [address, address + n_bytes, address + 2 * n_bytes]
    assert len(seen) == 6
    assert stream.n_samples == N_SAMPLES


def test_a_memory_mapped_array_and_its_batches_agree(queries, drawn, tmp_path):
    for dtype in (np.uint8, np.float32):
        rows = [(200 * part.numpy()).astype(dtype) for part in (queries, drawn)]
        np.save(tmp_path / "samples.npy", rows[1])
        mapped = np.load(tmp_path / "samples.npy", mmap_mode="r")
        expected = parzen_log_likelihood(rows[0], rows[1], [20.0, 60.0], return_bound=True)
        found = parzen_log_likelihood_of_stream(rows[0], mapped, [20.0, 60.0], return_bound=True)
        assert same_bits(found[0], expected[0])
        assert same_bits(found[1], expected[1])


def test_a_buffer_takes_what_comes(uniform):
    buffer = RowBuffer(torch.zeros(0, 2, 3), n_expected=4)
    rows = uniform(60, 3, 0).view(30, 2, 3)
    for n in range(30):
        assert len(buffer.fill(rows[n : n + 1])) == 0
        assert torch.equal(buffer.rows, rows[: n + 1])
    buffer.keep(40)
    assert len(buffer) == 30


def test_sums_stay_in_one_piece_of_memory(queries, drawn):
    stream = ParzenStream(queries, 0.3, block_size=BLOCK, n_samples=N_SAMPLES)
    addresses = set()
    for batch in cut(drawn, [BLOCK] * 6):
        stream.update(batch)
        addresses.add(stream._blocks.log_sums.data_ptr())
    assert len(addresses) == 1


def test_a_buffer_grows_with_its_rows(uniform):
    buffer = RowBuffer(torch.zeros(0, 3), 50)
    rows = uniform(70, 3, 0)
    taken = 0
    for n in (1, 0, 9, 30):
        assert len(buffer.fill(rows[taken : taken + n])) == 0
        taken += n
        assert torch.equal(buffer.rows, rows[:taken])
    assert torch.equal(buffer.fill(rows[40:]), rows[50:])
    assert len(buffer) == 50
    buffer.keep(20)
    assert torch.equal(buffer.rows, rows[:20])
    buffer.keep(0)
    assert len(buffer) == 0
    assert len(buffer.fill(rows[:5])) == 0
    assert torch.equal(buffer.rows, rows[:5])
