"""Steps that are captured once and replayed: a whole step for the price of one launch."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch

Replay = Callable[[], None]


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
        self._replays: dict[Hashable, Replay] = {}

    def clear(self) -> None:
        """Forget all graphs: some memory that they know is no longer what it was."""
        self._seen.clear()
        self._replays.clear()

    def run(self, key: Hashable, step: Replay) -> None:
        """Do a step of the kind that ``key`` names."""
        if key not in self._seen:
            step()
            self._seen.add(key)
            return
        if key not in self._replays:
            self._replays[key] = self._capture(step)
        self._replays[key]()

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
