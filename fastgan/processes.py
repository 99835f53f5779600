"""The processes that share one piece of work: a group of torch.distributed, or this one alone."""

from __future__ import annotations

import contextlib
import hashlib
import os
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# To come together takes seconds; a process that ended before it came is not waited for much longer.
# Then one process may be alone at work for long (an evaluation's first samples, a checkpoint on a
# slow disk) while the others wait for it.
_JOINING = timedelta(minutes=10)
_PATIENCE = timedelta(hours=2)
_TOLD_BYTES = 1_000  # of what went wrong, for the other processes


class ProcessFailedError(RuntimeError):
    """Another process that shares the work failed, or is gone."""


class ElsewhereError(ProcessFailedError):
    """Another process failed, which raised an error of its own; this one quotes it and ends too."""


class Processes:
    """A process among those that share a piece of work: this one.

    What it exchanges are tensors of any dtype; they go by way of this process's GPU where the
    group's backend is NCCL alone.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional
        ``torch.distributed.group.WORLD``, or any group that this process is in. None: this process
        alone, whether or not torch.distributed is in use.

    Attributes
    ----------
    group : ProcessGroup or None
    rank, size : int
        The number of this process, from 0, and how many there are.

    Raises
    ------
    RuntimeError
        If torch.distributed is not initialised.
    ValueError
        If this process is not in the group.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank, self.size = 0, 1
        if group is None:
            return
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "process_group: torch.distributed is not initialised (init_process_group)"
            )
        if dist.get_rank(group) < 0:
            raise ValueError("process_group: this process is not in it")
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks to the user."""
        return self.rank == 0

    def share(self, n: int, rank: int | None = None, *, unit: int = 1) -> slice:
        """Return which of n rows are this process's, or another's: consecutive, as even as can be.

        With fewer rows than processes some have none. Shares begin at multiples of ``unit``.
        """
        rank = self.rank if rank is None else rank
        n_units = -(-n // unit)
        first, last = (n_units * r // self.size * unit for r in (rank, rank + 1))
        return slice(min(first, n), min(last, n))

    def gather_rows(self, own: Tensor, n: int, *, unit: int = 1) -> Tensor:
        """Return all n rows, of which ``own`` are this process's :meth:`share`, on every process.

        On the device of ``own``.
        """
        if self.size == 1:
            return own
        shares = [self.share(n, rank, unit=unit) for rank in range(self.size)]
        lengths = [share.stop - share.start for share in shares]
        padded = own.new_zeros((max(lengths), *own.shape[1:]))
        padded[: len(own)] = own
        parts = self.gather(padded)
        return torch.cat([p[:length] for p, length in zip(parts, lengths, strict=True)])

    def gather(self, own: Tensor) -> list[Tensor]:
        """Return every process's tensor, in the order of ranks; all have one shape and dtype."""
        if self.size == 1:
            return [own]
        sent = self._sent(own)
        parts = [torch.empty_like(sent) for _ in range(self.size)]
        with _exchanging():
            dist.all_gather(parts, sent, group=self.group)
        return [part.to(own.device) for part in parts]

    def sum_(self, tensor: Tensor) -> Tensor:
        """Put the sum over processes in place of a contiguous tensor, and return it.

        Every process gets the same bits; they depend on how many processes there are.
        """
        if self.size > 1:
            sent = self._sent(tensor)
            with _exchanging():
                dist.all_reduce(sent, group=self.group)
            if sent is not tensor:
                tensor.copy_(sent)
        return tensor

    def begin_sum(self, tensor: Tensor) -> Callable[[], None]:
        """Begin what :meth:`sum_` does; the sum is there once what is returned has been called.

        Until then the tensor belongs to the exchange.
        """
        if self.size == 1:
            return lambda: None
        sent = self._sent(tensor)
        with _exchanging():
            work = dist.all_reduce(sent, group=self.group, async_op=True)

        def wait() -> None:
            with _exchanging():
                work.wait()
            if sent is not tensor:
                tensor.copy_(sent)

        return wait

    def broadcast_(self, tensor: Tensor) -> Tensor:
        """Put the first process's tensor in place of every other's, and return it."""
        if self.size > 1:
            sent = self._sent(tensor)
            with _exchanging():
                dist.broadcast(sent, group=self.group, group_src=0)
            if sent is not tensor:
                tensor.copy_(sent)
        return tensor

    def from_first(self, text: str) -> str:
        """Return the first process's text, on every process."""
        if self.size == 1:
            return text
        content = torch.frombuffer(bytearray(text.encode() + b" "), dtype=torch.uint8)
        n = int(self.broadcast_(torch.tensor(len(content))))
        if not self.is_first:
            content = torch.empty(n, dtype=torch.uint8)
        return self.broadcast_(content).numpy().tobytes().decode()[:-1]

    def any(self, said: bool) -> bool:
        """Say whether any process says so; every process gets the same answer."""
        if self.size == 1:
            return said
        return bool(self.sum_(torch.tensor(int(said), dtype=torch.int64)).item())

    def check_same(self, name: str, text: str) -> None:
        """Raise ``ValueError``, on every process, unless all say the same of an argument.

        A collective call that differed from process to process would hang, or mix what does not
        belong together.
        """
        if self.size == 1:
            return
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        own = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
        differing = [r for r, other in enumerate(self.gather(own)) if not torch.equal(other, own)]
        if self.any(bool(differing)):
            raise ValueError(
                f"{name}: expected the same on every process; here, on process {self.rank} of "
                f"{self.size}, got {text}" + f", otherwise on {differing}" * bool(differing)
            )

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Do one's own part of the work; if that fails on one process, no other waits for it.

        The error is raised where it happened, and an :class:`ElsewhereError`, which says what it
        was, on all other processes. (A process that ends needs no such care: the others' exchanges
        with it fail, as a ProcessFailedError.) All processes come here, and none exchanges anything
        within.
        """
        if self.size == 1:
            yield
            return
        failed: Exception | None = None
        try:
            yield
        except Exception as error:
            failed = error
        try:
            self.tell(failed)
        finally:
            failed = None  # the error's frames are not to hold the error, and each other for ever

    def tell(self, failed: Exception | None) -> None:
        """Raise on every process if any gives an error: its own there, elsewhere ElsewhereError."""
        if not self.any(failed is not None):
            return
        own = torch.zeros(_TOLD_BYTES, dtype=torch.uint8)
        if failed is not None:
            text = f"{type(failed).__name__}: {failed}"
            content = text.encode(errors="replace")[:_TOLD_BYTES]
            own[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        told = self.gather(own)
        if failed is not None:
            try:
                raise failed
            finally:
                failed = None  # as in together
        rank = next(r for r, text in enumerate(told) if bool(text.any()))
        said = bytes(told[rank].tolist()).rstrip(b"\0").decode(errors="replace")
        raise ElsewhereError(f"process {rank} of {self.size} failed: {said}")

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.any(False)

    def leave(self) -> None:
        """Let go of the group, so that nothing keeps it past its end."""
        self.group = None

    def _sent(self, tensor: Tensor) -> Tensor:
        """Return a tensor where the backend can take it, contiguous."""
        by_gpu = dist.get_backend(self.group) == "nccl" and tensor.device.type == "cpu"
        return (tensor.cuda() if by_gpu else tensor).contiguous()


def n_launched() -> int:
    """Return how many processes ``torchrun`` (or Slurm, with its variables set) started."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


@contextlib.contextmanager
def _exchanging() -> Iterator[None]:
    """Say in our words that another process is gone; the backend's own follow as the cause."""
    try:
        yield
    except RuntimeError as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ProcessFailedError(
            f"process_group: another process is gone or cannot be reached: {line}"
        ) from error


@contextlib.contextmanager
def launched(device: str = "cpu") -> Iterator[tuple[Processes, str]]:
    """Join the processes that ``torchrun`` (or Slurm, with its variables set) started.

    Parameters
    ----------
    device : str
        ``cpu``: they speak by gloo. ``cuda`` or ``auto`` with a GPU: by NCCL between GPUs (and by
        gloo between CPUs), and each process of a machine takes its own GPU.

    Yields
    ------
    processes : Processes
        This process alone where nothing was started, or one process only.
    device : str
        The one to work on: ``cuda:<local rank>`` in place of ``cuda``.

    Raises
    ------
    ProcessFailedError
        If not all processes come within ten minutes.
    """
    if n_launched() == 1:
        yield Processes(), device
        return
    by_gpu = device in ("cuda", "auto") and torch.cuda.is_available()
    if by_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    with _exchanging():
        dist.init_process_group("cpu:gloo,cuda:nccl" if by_gpu else "gloo", timeout=_JOINING)
    # has no public name; without it, nobody would wait longer than for the others to come
    dist.distributed_c10d._set_pg_timeout(_PATIENCE, dist.group.WORLD)
    processes = Processes(dist.group.WORLD)
    try:
        yield processes, device
    except BaseException as error:
        _forget_frames(error)
        raise
    finally:
        # A reference kept past the end would let gloo's threads live into the interpreter's end,
        # which aborts the process now and then.
        processes.leave()
        dist.destroy_process_group()


def _forget_frames(error: BaseException | None) -> None:
    """Let go of what the frames of an error hold, a process group too."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
