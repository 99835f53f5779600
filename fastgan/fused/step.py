"""The training step of a recipe's own networks without autograd: explicit products, fixed buffers.

What it does to the two networks is in :mod:`fastgan.fused.passes`; here are its memory, its graphs
and what it shares with other processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from fastgan import backends
from fastgan.costs import Costs
from fastgan.fused.buffers import StepBuffers
from fastgan.fused.exchange import Exchange, SharedVelocities, Sums
from fastgan.fused.graphs import Graphs
from fastgan.fused.native import NativeOperations
from fastgan.fused.obstacles import why_not_fused
from fastgan.fused.operations import Operations, View
from fastgan.fused.passes import Passes, RowPassages
from fastgan.fused.reference import ReferenceOperations
from fastgan.processes import Processes
from fastgan.recipes import Recipe
from fastgan.streams import Passage
from fastgan.training_step import TrainingStep

# On a GPU, to ask what other processes want is to wait for it: so many steps, one question.
_STEPS_BETWEEN_QUESTIONS = 16


class FusedStep(TrainingStep):
    """A training step without autograd, for the recipe's own Generator and Discriminator.

    It follows the same trajectory as :class:`fastgan.steps.AutogradStep`, up to the order of
    summation, and its state is interchangeable with that one's. So it does for any number of
    processes that share its batches: each takes its rows' gradient into its part of the velocities,
    these are added up, and every process moves its weights by the sum.

    Parameters
    ----------
    generator : Generator
    discriminator : Discriminator
        Both of ``recipe``, of one dtype (float32 or float64), on one device.
    recipe : Recipe
    seed : int, optional
        Philox key of noise and masks; the recipe's by default.
    impl : str
        ``native`` (the C++ core, on the CPU), ``triton`` (kernels on a GPU, captured as one graph
        for each size of a batch), ``reference`` (plain PyTorch, on any device), or ``auto``.
    processes : Processes, optional
        That share each batch.

    Attributes
    ----------
    n_threads : int or None
        Threads of the native core; None takes as many as torch has at each call. The bits do not
        depend on it.

    Raises
    ------
    ValueError
        If the modules are not such, or ``impl`` cannot run here.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe,
        seed: int | None = None,
        *,
        impl: str = "auto",
        processes: Processes | None = None,
    ) -> None:
        obstacle = why_not_fused(generator, discriminator, recipe, impl)
        if obstacle is not None:
            raise ValueError(f"generator, discriminator: no fused step: {obstacle}")
        super().__init__(generator, discriminator, recipe, seed, impl, processes)
        self.n_threads: int | None = None
        self._operations = _operations(backends.resolve_impl("fused_step", impl, self.device))
        self.bits_depend_on_threads = self._operations.bits_depend_on_threads
        self._clock = self._operations.clock(recipe, self.seed, self.device, self.processes.size)
        self._graphs = Graphs(self.device)
        self._buffers: dict[int, StepBuffers] = {}
        self._shared: SharedVelocities | None = None
        if self.processes.size > 1:
            self._shared = SharedVelocities(
                self._generator_parameters, self._discriminator_parameters
            )
            self._generator_velocity = self._shared.generator
            self._discriminator_velocity = self._shared.discriminator
            self._means = self._shared.means
        else:
            self._means = torch.zeros(4, dtype=self.dtype, device=self.device)
        self._sums = Sums(self.processes)
        self._passes = Passes(
            recipe, self._operations, self._clock, velocity_only=self._shared is not None
        )
        self._parameters = [
            *self._generator_parameters.values(),
            *self._discriminator_parameters.values(),
        ]
        self._addresses: list[int] = []
        self._epoch_source: tuple[int, torch.Size, int] | None = None  # what graphs gather from
        self._view_parameters()

    def take_threads(self, n_threads: int) -> int:
        """Take so many threads for the native core; return the one that torch is to run."""
        if not isinstance(self._operations, NativeOperations):
            return n_threads
        self.n_threads = n_threads
        return 1

    def _view_parameters(self) -> None:
        """View the parameters anew if a module's memory was exchanged since the last step."""
        addresses = [parameter.data_ptr() for parameter in self._parameters]
        if addresses == self._addresses:
            return
        self._addresses = addresses
        self._graphs.clear()
        self._passes.view(
            self._generator_parameters,
            self._generator_velocity,
            self._discriminator_parameters,
            self._discriminator_velocity,
        )

    def begin_epoch(self, images: Tensor, order: Tensor, first_batch: int = 0) -> None:
        """Lay out an epoch; see :meth:`TrainingStep.begin_epoch`."""
        super().begin_epoch(images, order, first_batch)
        assert self._images is not None
        assert self._order is not None
        rows = self._images.contiguous()  # of other strides: copied anew for each epoch
        source = (rows.data_ptr(), rows.shape, self._order.data_ptr())
        if source != self._epoch_source:
            self._epoch_source = source
            self._graphs.clear()
            self._passes.images = self._operations.view(rows)
            self._passes.order = self._operations.view(self._order)

    def _train_on(self, own: Tensor, n_rows: int) -> Costs:
        real = self._begin(n_rows).batch
        if real is None:
            return self._run(n_rows, self._operations.view(own.contiguous()))
        real.copy_(own)
        return self._run(n_rows, real)

    def _train_on_rows(self, first: int, n_rows: int) -> Costs:
        return self._run(n_rows, None, first)

    def _begin(self, n_whole: int) -> StepBuffers:
        """Return the buffers for this process's rows of a batch."""
        self._view_parameters()
        operations = self._operations
        operations.n_threads = self.n_threads or torch.get_num_threads()
        if n_whole not in self._buffers:
            # For two sizes at most: whole batches, and the last one of an epoch.
            for size in [size for size in self._buffers if size != self.recipe.batch_size]:
                del self._buffers[size]
                self._graphs.clear()
            rows = self.processes.share(n_whole)
            self._buffers[n_whole] = StepBuffers(
                self.recipe,
                rows.stop - rows.start,
                n_whole,
                self._means,
                self.dtype,
                self.device,
                operations.view,
                needs_products=operations.needs_products,
                is_captured=operations.is_captured,
            )
        return self._buffers[n_whole]

    def _run(self, n_whole: int, real: View | None, first: int = 0) -> Costs:
        """Set the clock, do the step or replay its graphs, and read the costs.

        ``real`` are this process's rows of the batch; without them they are gathered from the
        epoch, whose row ``first`` is the first of the whole batch.
        """
        buffers = self._begin(n_whole)
        passes = self._passes
        passes.first_row = self.processes.share(n_whole).start
        passes.is_training = self.discriminator.training
        generator_moves = self.recipe.schedule == "simultaneous" or self._generator_moves()
        step = partial(self._step, buffers, real, generator_moves)
        own_first = first + (passes.first_row if real is None else 0)
        self._clock.set(self.seed, self.update, self.epoch, own_first)
        if self._shared is not None:
            self._shared.n_stopping.fill_(float(self.wants_to_stop()))
        if self._operations.is_captured and buffers.n_rows > 0:
            key = (n_whole, real is None, generator_moves, passes.is_training)
            self._graphs.run(key, step, self._sums.exchange)
        else:
            for between in step():
                self._sums.exchange(between)
        self._clock.passed(n_whole if real is None else 0)
        # Let autograd notice that the parameters were overwritten.
        written = [p for p in self._parameters if not p.is_inference()]
        torch.autograd.graph.increment_version(written)
        asks = self.device.type == "cpu" or self.update % _STEPS_BETWEEN_QUESTIONS == 0
        if self._shared is not None and asks:
            self._stops = bool(self._shared.n_stopping > 0)
        return Costs(*self._means.clone().unbind())

    # What follows is the step itself, and all that a graph holds: between what it yields.

    def _step(
        self, buffers: StepBuffers, real: View | None, generator_moves: bool
    ) -> Iterator[Exchange]:
        both, fake, n = buffers.both, buffers.fake, buffers.n_rows
        self._clock.tick(buffers.n_whole if real is None else 0)
        if n == 0:
            yield from self._step_of_others(generator_moves)
            return
        passes = self._passes
        passes.generate(buffers, Passage.FAKE)
        passes.show_real(real, both.images[:n])
        rows: RowPassages = [(slice(0, n), Passage.REAL), (slice(n, 2 * n), Passage.FAKE)]
        passes.discriminate(both, rows)
        passes.judge(buffers)
        if self.recipe.schedule == "simultaneous":
            passes.back_through_discriminator(buffers, both, rows, images=rows[1], move=True)
            if self._shared is not None:
                yield Exchange(self._shared.of_discriminator, waits=False)
            passes.back_through_generator(buffers)
            if self._shared is not None:
                yield Exchange(self._shared.of_generator, waits=True)
                passes.move_by_velocities(discriminator=True, generator=True)
            return
        passes.back_through_discriminator(buffers, both, rows, images=None, move=True)
        if self._shared is not None:
            yield self._exchange_before_generator(self._shared, generator_moves)
            passes.move_by_velocities(discriminator=True, generator=False)
        if generator_moves:
            passes.generate(buffers, Passage.GENERATOR)
            rows = [(slice(0, n), Passage.GENERATOR)]
            passes.discriminate(fake, rows)
            passes.judge(buffers, generator_only=True)
            passes.back_through_discriminator(buffers, fake, rows, images=rows[0], move=False)
            passes.back_through_generator(buffers)
            if self._shared is not None:
                yield Exchange(self._shared.of_generator, waits=True)
                passes.move_by_velocities(discriminator=False, generator=True)

    def _step_of_others(self, generator_moves: bool) -> Iterator[Exchange]:
        """Take part in a batch of which this process has no row: the same exchanges."""
        shared = self._shared
        assert shared is not None  # one process alone has every row
        shared.means.zero_()
        shared.of_discriminator.mul_(self._clock.momentum)
        if self.recipe.schedule == "simultaneous":
            yield Exchange(shared.of_discriminator, waits=False)
        else:
            yield self._exchange_before_generator(shared, generator_moves)
            self._passes.move_by_velocities(discriminator=True, generator=False)
        if generator_moves:
            for velocity in shared.generator.values():
                velocity.mul_(self._clock.momentum)
            yield Exchange(shared.of_generator, waits=True)
            simultaneous = self.recipe.schedule == "simultaneous"
            self._passes.move_by_velocities(discriminator=simultaneous, generator=True)

    @staticmethod
    def _exchange_before_generator(shared: SharedVelocities, generator_moves: bool) -> Exchange:
        """Return D's exchange of the alternating schedule; the numbers wait for G's."""
        if generator_moves:
            return Exchange(shared.of_discriminator, waits=True)
        return Exchange(shared.of_discriminator_and_numbers, waits=True)


def _operations(impl: str) -> Operations:
    if impl == "native":
        return NativeOperations()
    if impl == "reference":
        return ReferenceOperations()
    from fastgan.fused.triton import TritonOperations  # triton, only when asked for

    return TritonOperations()
