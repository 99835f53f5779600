"""What every training step shares: the two networks, their velocities, the clock, the state.

Source: Algorithm 1 and section 3 of the paper, and the released recipes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fastgan.checks import check_batch, check_integer, check_order, check_state
from fastgan.costs import Costs
from fastgan.models import Discriminator
from fastgan.processes import Processes
from fastgan.recipes import Recipe


@torch.no_grad()
def apply_max_norm(module: nn.Module, max_norm: float) -> None:
    """Bring every row of every matrix of a module inside the limit: w min(|w|, c) / (1e-7 + |w|).

    Rows are the incoming weight vectors of the units (maxout: of the pieces).
    """
    for parameter in module.parameters():
        if parameter.ndim == 2:
            norm = torch.linalg.vector_norm(parameter, dim=1, keepdim=True)
            parameter.mul_(norm.clamp(max=max_norm) / (1e-7 + norm))


class TrainingStep(ABC):
    """A step that trains a generator and a discriminator on a batch; the base of both kinds.

    ``simultaneous``: one forward pass with the old parameters; the FAKE pass (z, masks) is shared
    by D's fake term and G's cost, and then both nets move. ``alternating``: every batch moves D;
    every k-th one then moves G with fresh z, against the D just moved (Algorithm 1).

    Several processes may share each batch. All are given the whole of it, or the same epoch; each
    computes its own rows, the costs' weights, z and masks being those of the whole batch; and all
    end with the same weights, bit for bit: those of one process up to the order of summation.

    Attributes
    ----------
    generator, discriminator : nn.Module
    recipe : Recipe
    seed : int
        Philox key of noise and masks.
    impl : str
    device : torch.device
        Where both modules are.
    dtype : torch.dtype
        Of the modules' parameters.
    update : int
        Batches seen so far: the t of the learning rate, and the Philox step.
    epoch : int
        From 1; sets the momentum. The training loop moves it on.
    uses_torch_generator : bool
        Whether randomness of torch's own is part of the state.
    processes : Processes
        That share each batch. At the start all take over the first one's weights.
    wants_to_stop : callable
        Asked at each batch whether this process wants to stop after it; False by default.
    """

    uses_torch_generator = False
    bits_depend_on_threads = (
        True  # of torch's products, which a number of threads may round otherwise
    )

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        recipe: Recipe,
        seed: int | None,
        impl: str,
        processes: Processes | None = None,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.recipe = recipe
        self.seed = recipe.seed if seed is None else seed
        self.impl = impl
        self.processes = Processes() if processes is None else processes
        self.wants_to_stop: Callable[[], bool] = lambda: False
        self._stops = False
        self.update = 0
        self.epoch = 1
        self._generator_parameters = _trainable(generator, "generator")
        self._discriminator_parameters = _trainable(discriminator, "discriminator")
        parameters = [
            *self._generator_parameters.values(),
            *self._discriminator_parameters.values(),
        ]
        devices = {parameter.device for parameter in parameters}
        if len(devices) > 1:
            names = ", ".join(sorted(str(device) for device in devices))
            raise ValueError(f"generator, discriminator: expected one device for both, got {names}")
        (self.device,) = devices
        self.dtype = parameters[0].dtype
        if recipe.max_norm is not None and recipe.max_norm_before_training:
            apply_max_norm(generator, recipe.max_norm)
            apply_max_norm(discriminator, recipe.max_norm)
        self._generator_velocity = _zeros_like(self._generator_parameters)
        self._discriminator_velocity = _zeros_like(self._discriminator_parameters)
        self.follow_first()
        self._images: Tensor | None = None  # of the epoch
        self._order: Tensor | None = None
        self._first = 0  # the next batch's first place in that order

    def __call__(self, batch: Tensor) -> Costs:
        """Train on one batch of images, of shape (n, n_features), and advance the clock by one.

        Where processes share batches, all are given the same one. In the alternating schedule the
        generator's cost is that of the pass that moved it, and on
        batches that do not move it that of D's fake pass.

        Raises ValueError or TypeError unless the batch is of that shape (n at least 1) and, with a
        :class:`Discriminator` of the library, of the networks' dtype and on their device.
        """
        if isinstance(self.discriminator, Discriminator):
            check_batch(batch, self.recipe.n_features, self.dtype, self.device)
        elif batch.ndim == 0 or batch.shape[0] == 0:
            raise ValueError(f"batch: expected at least one image, got shape {tuple(batch.shape)}")
        own = batch[self.processes.share(batch.shape[0])]
        costs = self._train_on(own, batch.shape[0])
        self.update += 1
        return costs

    def begin_epoch(self, images: Tensor, order: Tensor, first_batch: int = 0) -> None:
        """Lay out an epoch for :meth:`next_batch`.

        Parameters
        ----------
        images : Tensor of shape (n, n_features)
            The training images, of the networks' dtype and on their device. Not copied.
        order : int64 Tensor of shape (n_rows,)
            Which images, in which order; ``recipe.batch_size`` of them are a batch, the last one
            may be short.
        first_batch : int
            The batch to begin with, where an epoch is gone on with.

        Raises
        ------
        ValueError, TypeError
            If the images are not such a batch as a step takes, or the order is not one of them.
        """
        if isinstance(self.discriminator, Discriminator):
            check_batch(images, self.recipe.n_features, self.dtype, self.device, name="images")
        check_order(order, len(images))
        check_integer("first_batch", first_batch, 0)
        self._images = images
        # In the same memory from epoch to epoch: a graph reads it there.
        if self._order is None or len(self._order) != len(order):
            self._order = torch.empty(len(order), dtype=torch.int64, device=self.device)
        self._order.copy_(order)
        self._first = first_batch * self.recipe.batch_size

    def next_batch(self) -> Costs:
        """Train on the epoch's next batch, as on one that is given, and advance the clock by one.

        Raises RuntimeError if no epoch was begun, or all of it has passed.
        """
        if self._order is None:
            raise RuntimeError("next_batch: no epoch was begun (begin_epoch)")
        n_rows = min(self.recipe.batch_size, len(self._order) - self._first)
        if n_rows <= 0:
            raise RuntimeError(
                f"next_batch: all {len(self._order)} images of the epoch have passed"
            )
        costs = self._train_on_rows(self._first, n_rows)
        self._first += n_rows
        self.update += 1
        return costs

    @property
    def stops(self) -> bool:
        """Whether this process or another wanted to stop: all get the same answer after a batch.

        On a GPU the fused step asks the others at one batch in 16, so that it need not wait.
        """
        return self.wants_to_stop() if self.processes.size == 1 else self._stops

    @abstractmethod
    def _train_on(self, own: Tensor, n_rows: int) -> Costs:
        """Move the networks by a checked batch of ``n_rows``; ``own`` are this process's."""

    def _train_on_rows(self, first: int, n_rows: int) -> Costs:
        """Move the networks by the epoch's images from ``first`` on."""
        assert self._images is not None  # next_batch looked
        assert self._order is not None
        order = self._order[first : first + n_rows]
        return self._train_on(self._images[order[self.processes.share(n_rows)]], n_rows)

    def take_threads(self, n_threads: int) -> int:
        """Take so many threads for the steps to come; return how many torch is to run meanwhile.

        Two pools would fight over the cores: a thread of torch's that waits for work spins, and
        keeps the core that a thread of the native core wants.
        """
        return n_threads

    def _generator_moves(self) -> bool:
        """Say whether this batch of the alternating schedule moves the generator."""
        return (self.update + 1) % self.recipe.k == 0

    def _rates(self) -> tuple[float, float]:
        """Return this update's learning rate and momentum."""
        return self.recipe.learning_rate_at(self.update), self.recipe.momentum_at(self.epoch)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the next step depends on: tensors that share memory with the step.

        Keys: ``generator.*``, ``discriminator.*`` (the modules' own), ``velocity.generator.*``,
        ``velocity.discriminator.*``, ``update``, ``epoch`` (int64, 0-d), and where a module's
        randomness is torch's ``torch_generator.cpu`` and ``torch_generator.cuda`` (uint8).
        """
        state = {f"generator.{key}": value for key, value in self.generator.state_dict().items()}
        for key, value in self.discriminator.state_dict().items():
            state[f"discriminator.{key}"] = value
        for key, value in self._generator_velocity.items():
            state[f"velocity.generator.{key}"] = value
        for key, value in self._discriminator_velocity.items():
            state[f"velocity.discriminator.{key}"] = value
        state["update"] = torch.tensor(self.update, dtype=torch.int64)
        state["epoch"] = torch.tensor(self.epoch, dtype=torch.int64)
        if self.uses_torch_generator:
            state["torch_generator.cpu"] = torch.get_rng_state()
            if self.device.type == "cuda":
                state["torch_generator.cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    @torch.no_grad()
    def follow_first(self) -> None:
        """Take over the state of the first process; all processes call it."""
        if self.processes.size == 1:
            return
        state = self.state_dict()
        for value in state.values():
            self.processes.broadcast_(value)
        self.load_state_dict(state)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put a state in place; nothing is changed if a tensor is missing, unknown or misshapen.

        Raises ValueError with the tensor's name, what was expected and what came.
        """
        own = self.state_dict()
        check_state(state, own)
        with torch.no_grad():
            for name, value in own.items():
                if not name.startswith(("torch_generator.", "update", "epoch")):
                    value.copy_(state[name])
        self.update = int(state["update"])
        self.epoch = int(state["epoch"])
        if self.uses_torch_generator:
            torch.set_rng_state(state["torch_generator.cpu"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(state["torch_generator.cuda"], self.device)


def _trainable(module: nn.Module, role: str) -> dict[str, nn.Parameter]:
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(f"{role}: expected a module with parameters to train, got none")
    return parameters


def _zeros_like(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
