"""Steps that are captured once and replayed: a whole step for the price of one launch.

Where processes share the batch a step has pieces, and between two of them the processes add up what
they have: each piece is a graph of its own, and what is between is never captured. So it is the
communication library's own business on which streams it works.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

import torch

from fastgan.fused.exchange import Exchange

Replay = Callable[[], None]
Step = Callable[[], Iterator[Exchange]]  # to the end of a piece at each call of next


class Graphs:
    """A graph for each kind of step on a device.

    The first step of a kind runs as it is, and so compiles its kernels and times their
    configurations; the second is captured, and then replayed like all that follow. In Triton's
    interpreter a graph is the list of its launches: what a step did beside them would be missed by
    a replay there as it would on a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seen: set[Hashable] = set()
        self._replays: dict[Hashable, list[tuple[Replay, Exchange | None]]] = {}

    def clear(self) -> None:
        """Forget all graphs: some memory that they know is no longer what it was."""
        self._seen.clear()
        self._replays.clear()

    def run(self, key: Hashable, step: Step, exchange: Callable[[Exchange], None]) -> None:
        """Do a step of the kind that ``key`` names; ``exchange`` is called between its pieces."""
        if key not in self._seen:
            for between in step():
                exchange(between)
            self._seen.add(key)
            return
        if key not in self._replays:
            self._replays[key] = self._pieces(step())
        for replay, after in self._replays[key]:
            replay()
            if after is not None:
                exchange(after)

    def _pieces(self, step: Iterator[Exchange]) -> list[tuple[Replay, Exchange | None]]:
        """Capture a step's pieces, none of which runs, and note what comes after each."""
        pieces: list[tuple[Replay, Exchange | None]] = []
        ended: list[Exchange | None] = [None]

        def piece() -> None:
            ended[0] = next(step, None)

        while not pieces or ended[0] is not None:
            replay = self._capture(piece)
            pieces.append((replay, ended[0]))
        return pieces

    def _capture(self, step: Replay) -> Replay:
        if self._device.type != "cuda":
            from fastgan.kernels.launch import recording  # triton, where a step is captured

            with recording() as launches:
                step()

            def replay_launches() -> None:
                for launch in launches:
                    launch()

            return replay_launches
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device), torch.cuda.graph(graph):
            step()
        replay: Replay = graph.replay
        return replay
