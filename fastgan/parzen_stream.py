"""Parzen-window log-likelihoods under samples that come batch by batch and are never held."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fastgan.batches import RowBuffer, is_array, one_row_like
from fastgan.checks import check_integer, check_number
from fastgan.ops._points import check_points
from fastgan.ops.parzen import BLOCK_SIZE, check_sigmas
from fastgan.parzen_blocks import BlockSums, BlockWork, Both, SumsOfBlocks
from fastgan.parzen_stream_files import read_stream, write_stream

_MOST_ROOM_BYTES = 2**28  # set aside at once for the sums of blocks that are foretold


class ParzenStream:
    """Log-likelihoods of some queries under a Gaussian Parzen window on a stream of samples.

    Samples come in batches of any size and are worked through in blocks counted from the first
    sample, so the bits do not depend on the batches. Memory holds one block of samples at most
    (none where batches are whole blocks) and ``16 n_blocks n_sigmas n_queries`` bytes of sums.

    Parameters
    ----------
    queries : array or tensor of shape (n_queries, n_features), uint8, float32 or float64
        The points whose likelihood is asked. uint8 means the numbers 0..255, never rescaled.
    sigma : float or sequence of floats
        Standard deviation of each Gaussian, in the units of the data; a grid is one pass.
    tolerance : float
        The most, in nats, that a value may be too low for samples left out; 0: none is left out.
    n_samples : int, optional
        How many samples there will be in all. More are refused. Where it is not given, what may be
        left out is chosen as for 2^32 samples.
    counts : sequence of int
        Numbers of samples at which the log-likelihoods are kept, for :meth:`curve`. A count within
        a block costs that part of the block once more; it changes no bit of the rest.
    block_size : int
        Samples in a block.
    each_block : bool
        The sum of each block alone is right to ``tolerance``, not only the sum of all: for blocks
        that are left out in turn (a jackknife). Less can be left out of the sums then.
    exclude_self : bool
        The queries are the samples: sample i is left out of the mean of query i. Not with
        ``counts`` or ``each_block``.
    part_of : pair of int, optional
        The queries are number ``part_of[0]``, ``part_of[0] + 1``, ... of ``part_of[1]``, which
        ``exclude_self`` asks for.
    strategy, impl : str
        As in :func:`fastgan.parzen_log_likelihood`.

    Attributes
    ----------
    note : str
        Yours, kept by :meth:`save`: what the samples are, say.
    work : BlockWork
        What works a block's sums out, here or in another process; :meth:`take_block` takes them.

    Raises
    ------
    TypeError, ValueError
        As :func:`fastgan.parzen_log_likelihood`; ValueError for options that exclude each other.

    Examples
    --------
    >>> import numpy as np
    >>> stream = ParzenStream(np.zeros((1, 2)), 1.0)
    >>> for batch in (np.zeros((3, 2)), np.zeros((1, 2))):
    ...     stream.update(batch)
    >>> stream.n_samples, stream.log_likelihood()  # -log(2 pi)
    (4, array([-1.83787707]))
    """

    def __init__(
        self,
        queries: Any,
        sigma: float | Sequence[float] | Any,
        *,
        tolerance: float = 1e-6,
        n_samples: int | None = None,
        counts: Sequence[int] = (),
        block_size: int = BLOCK_SIZE,
        each_block: bool = False,
        exclude_self: bool = False,
        part_of: Sequence[int] | None = None,
        strategy: str = "auto",
        impl: str = "auto",
    ) -> None:
        check_number("tolerance", tolerance)
        if tolerance < 0:
            raise ValueError(f"tolerance: expected a number of nats of at least 0, got {tolerance}")
        check_integer("block_size", block_size, 1)
        if n_samples is not None:
            check_integer("n_samples", n_samples, 1)
        for count in counts:
            check_integer("counts", count, 1, n_samples)
        if exclude_self and (each_block or len(counts)):
            raise ValueError("exclude_self: expected neither each_block nor counts beside it")
        points = check_points(queries, one_row_like(queries), "queries", "n_queries")
        self._queries = points.queries.clone()
        self._is_numpy = points.is_numpy
        self._sigmas, self._is_scalar = check_sigmas(sigma)
        self._first_query, self._n_all = part_of or (0, len(self._queries))
        if exclude_self and n_samples not in (None, self._n_all):
            raise ValueError(
                f"exclude_self: expected n_samples to be the {self._n_all} queries, got {n_samples}"
            )
        self.expected_n_samples = None if n_samples is None else int(n_samples)
        self.counts = tuple(sorted({int(count) for count in counts}))
        self.block_size = int(block_size)
        self.each_block = bool(each_block)
        self.exclude_self = bool(exclude_self)
        self._engine_options: dict[str, Any] = {"strategy": strategy, "impl": impl}
        self._engine_options["tolerance"] = float(tolerance)
        self.work = BlockWork(
            self._queries,
            self._sigmas,
            block_size=self.block_size,
            n_samples=self.expected_n_samples,
            counts=self.counts,
            each_block=self.each_block,
            exclude_self=self.exclude_self,
            first_query=self._first_query,
            **self._engine_options,
        )
        self.note = ""
        shape = (0, len(self._sigmas), len(self._queries))
        none = self._queries.new_empty(shape, dtype=torch.float64)
        at_once = _MOST_ROOM_BYTES // max(1, 8 * len(self._sigmas) * len(self._queries))
        n_blocks = min(at_once, -(-(n_samples or 0) // self.block_size))
        self._blocks = SumsOfBlocks(none, n_expected=n_blocks)
        self._buffer = RowBuffer(self._queries, self.block_size)
        self._rest: BlockSums | None = None  # of the buffered rows, or a short block, the last one

    @property
    def n_samples(self) -> int:
        """Samples taken so far: where an interrupted stream goes on."""
        return self.n_blocks * self.block_size + self._n_rest

    @property
    def n_blocks(self) -> int:
        """Whole blocks so far."""
        return len(self._blocks)

    @property
    def sigmas(self) -> Tensor:
        """Of shape (n_sigmas,), float64."""
        return self._sigmas

    @property
    def _n_rest(self) -> int:
        return len(self._buffer) if self._rest is None else self._rest.n_rows

    @property
    def strategy(self) -> str | None:
        """The engine of the block worked through last, "pruned" or "dense"; None before any."""
        return self.work.engine

    def update(self, batch: Any) -> None:
        """Take a batch of samples.

        Parameters
        ----------
        batch : array or tensor of shape (n, n_features)
            NumPy or torch, dtype and device as the queries; any n, 0 too. Whole blocks are read
            where they lie, a part of a memory-mapped array too.

        Raises
        ------
        TypeError, ValueError
            If it does not fit the queries, holds NaN or infinity, or brings more samples than
            ``n_samples``. Nothing of it has been taken then.
        """
        self._take(self.checked_rows(batch, self.n_samples))

    def _take(self, rows: Tensor) -> None:
        most = self._n_all if self.exclude_self else self.expected_n_samples
        n = self.n_samples + len(rows)
        if most is not None and n > most:
            raise ValueError(f"n_samples: expected at most {most} samples, got {n}")
        if self._rest is not None and len(rows):
            if self._rest.n_rows != len(self._buffer):
                raise ValueError("samples: expected none after a block that was a short one")
            self._rest = None
        while True:
            if len(self._buffer) == self.block_size:
                # an interruption leaves the rows where they are
                self.take_block(self.work.of(self.n_blocks, self._buffer.rows))
                self._buffer.keep(0)
            elif len(rows) == 0:
                break
            elif len(self._buffer) == 0 and len(rows) >= self.block_size:
                self.take_block(self.work.of(self.n_blocks, rows[: self.block_size]))
                rows = rows[self.block_size :]
            else:
                rows = self._buffer.fill(rows)

    def log_likelihood(self, n_samples: int | None = None) -> Any:
        """Return the log-likelihood of each query under the samples so far, in nats.

        Parameters
        ----------
        n_samples : int, optional
            One of ``counts``, for the first so many samples; all so far if left out.

        Returns
        -------
        float64 array or tensor of shape (n_queries,), or (n_sigmas, n_queries) for a grid
            Of the queries' kind.

        Raises ValueError if there is no sample yet (with ``exclude_self``: not as many as queries),
        or the count is not one of ``counts`` or not reached.
        """
        n = self._checked_count(n_samples)
        log_sums, _ = self._until(n)
        n_features = self._queries.shape[1]
        normalisers = [
            math.log(n - self.exclude_self) + n_features * math.log(value * math.sqrt(2 * math.pi))
            for value in self._sigmas.tolist()
        ]
        return self._answer(log_sums - log_sums.new_tensor(normalisers)[:, None])

    def bound(self, n_samples: int | None = None) -> Any:
        """Return, for each value of :meth:`log_likelihood`, the most nats it can be too low.

        For samples left out, rounding apart. Arguments, shape and errors are the same.
        """
        log_sums, log_dropped = self._until(self._checked_count(n_samples))
        return self._answer(torch.log1p(torch.exp(log_dropped - log_sums)))

    def curve(self) -> dict[int, Any]:
        """Return the log-likelihoods at each of ``counts`` that is reached, and at the end.

        In ascending order of counts; each value is what :meth:`log_likelihood` returns there.
        """
        reached = {count for count in self.counts if count <= self.n_samples}
        if self.n_samples:
            reached.add(self.n_samples)
        return {count: self.log_likelihood(count) for count in sorted(reached)}

    def block_log_sums(self) -> tuple[Any, Any]:
        """Return the sums of the blocks so far, the last one perhaps a short one, and their sizes.

        Returns
        -------
        log_sums : float64 array or tensor of shape (n_blocks, n_sigmas, n_queries)
            ``log sum_{i in block} exp(-|x - s_i|^2 / (2 sigma^2))``; without ``each_block`` they
            are right in their sum only.
        sizes : int64 array or tensor of shape (n_blocks,)
            Samples in each block.
        """
        self._checked_count(None)
        parts, sizes = [self._blocks.log_sums], [self.block_size] * self.n_blocks
        if self._n_rest:
            parts.append(self._sums_of_rest()[0][None])
            sizes.append(self._n_rest)
        log_sums, counted = torch.cat(parts), torch.tensor(sizes, dtype=torch.int64)
        return (log_sums.numpy(), counted.numpy()) if self._is_numpy else (log_sums, counted)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all of the stream to a safetensors file that appears whole or not at all.

        Queries, sums, the samples of an unfinished block and the text ``note`` are in it:
        :meth:`load` gives a stream that goes on at ``n_samples`` with the same bits. No pickle.
        Raises OSError if it cannot be written.
        """
        tensors = {"queries": self._queries, "sigmas": self._sigmas}
        tensors["buffer"] = self._buffer.rows
        tensors["log_sums"] = self._blocks.log_sums
        tensors["log_dropped"] = self._blocks.log_dropped
        for count, both in self._blocks.kept.items():
            tensors[f"kept.{count}"] = torch.stack(both)
        for key, value in (self.work.settled or {}).items():
            tensors[f"settled.{key}"] = value
        arguments = {
            "n_samples": self.expected_n_samples,
            "counts": self.counts,
            "block_size": self.block_size,
            "each_block": self.each_block,
            "exclude_self": self.exclude_self,
            **self._engine_options,
        }
        if (self._first_query, self._n_all) != (0, len(self._queries)):
            arguments["part_of"] = (self._first_query, self._n_all)
        kinds = {"is_numpy": self._is_numpy, "is_scalar": self._is_scalar}
        options = {"arguments": arguments, "note": self.note, **kinds}
        return write_stream(path, options, tensors)

    def digest(self) -> str:
        """Return a digest of the sums of the whole blocks so far: a file may lie."""
        return self._blocks.digest()

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], device: str | torch.device | None = None
    ) -> ParzenStream:
        """Read what :meth:`save` wrote; its answers are of the kind (NumPy, torch) they were of.

        A stream of tensors goes on at ``device``, the CPU if left out. Raises OSError if the file
        cannot be read, ValueError if it is not a whole file of a stream.
        """
        options, tensors = read_stream(path)
        try:
            sigma = tensors["sigmas"][0] if options["is_scalar"] else tensors["sigmas"]
            queries = tensors["queries"].to(device or "cpu")
            stream = cls(
                queries.numpy() if options["is_numpy"] else queries, sigma, **options["arguments"]
            )
            stream.note = str(options["note"])
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a whole Parzen stream: {error}") from error
        stream._restore({name: value.to(queries.device) for name, value in tensors.items()})
        return stream

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self._buffer.fill(tensors["buffer"])
        settled, kept = {}, {}
        for name, value in tensors.items():
            kind, _, key = name.partition(".")
            if kind == "kept":
                kept[int(key)] = (value[0], value[1])
            elif kind == "settled":
                settled[key] = value
        self._blocks.restore(tensors["log_sums"], tensors["log_dropped"], kept)
        if settled:
            self.work.settled = settled

    def checked_rows(self, batch: Any, first_sample: int) -> Tensor:
        """Return a batch as a tensor of rows; for errors see :meth:`update`."""
        name = f"samples from number {first_sample} on" if first_sample else "samples"
        none = self._queries[:0]
        is_empty = is_array(batch) and tuple(batch.shape) == tuple(none.shape)
        points = check_points(
            none.numpy() if self._is_numpy else none,
            one_row_like(batch) if is_empty else batch,
            name,
            "n_samples",
        )
        return none if is_empty else points.others

    def take_block(self, block: BlockSums) -> None:
        """Take the next block's sums; after a short one no samples can come."""
        if block.n_rows == self.block_size:
            self._blocks.take(block, (self.n_blocks + 1) * self.block_size)
        else:
            self._blocks.keep(block)
            self._rest = block

    def _sums_of_rest(self) -> Both:
        if self._rest is None:
            rows = self._buffer.rows
            sums = self.work.sums(self.n_blocks, rows, self.expected_n_samples)
            self._rest = BlockSums(len(rows), sums)
        return self._rest.sums

    def _until(self, count: int) -> Both:
        """Return the sums of the first ``count`` samples and what was left out of them."""
        if count in self._blocks.kept:
            return self._blocks.kept[count]
        n_rest = count - self.n_blocks * self.block_size
        if n_rest == 0:
            return self._blocks.merged()
        if n_rest == self._n_rest:
            return self._blocks.joined(*self._sums_of_rest())
        rows = self._buffer.rows[:n_rest]
        return self._blocks.joined(*self.work.sums(self.n_blocks, rows, count))

    def _checked_count(self, count: int | None) -> int:
        n = self.n_samples
        if n == 0:
            raise ValueError("samples: expected at least 1 sample, got none yet")
        if self.exclude_self and (n != self._n_all or n < 2):
            raise ValueError(
                f"exclude_self: expected the {self._n_all} queries (at least 2) as samples, "
                f"got {n} so far"
            )
        if count is None or count == n:
            return n
        if count not in self.counts or count > n:
            raise ValueError(f"n_samples: expected {n} or one of counts up to it, got {count}")
        return int(count)

    def _answer(self, values: Tensor) -> Any:
        values = values[0] if self._is_scalar else values
        return values.numpy() if self._is_numpy else values
