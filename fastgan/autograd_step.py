"""The training step through autograd, for any pair of modules."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from fastgan import ops
from fastgan.costs import Costs, cost_ratio, discriminator_cost, generator_cost
from fastgan.models import Discriminator, Generator, draw_latent
from fastgan.ops import philox
from fastgan.processes import Processes
from fastgan.recipes import Recipe
from fastgan.streams import Draw, Kind, Passage, stream
from fastgan.training_step import TrainingStep


class AutogradStep(TrainingStep):
    """A training step through autograd, for any pair of modules.

    Where processes share batches they add up their gradients. What a module takes of the rows of a
    pass together, such as the statistics of batch normalisation, it takes of this process's rows;
    buffers of floating-point numbers are the first process's; and randomness of torch's own is
    seeded for each batch and process.

    Parameters
    ----------
    generator : nn.Module
        Takes z of shape (n, recipe.n_latent), gives images of shape (n, n_features).
    discriminator : nn.Module
        Takes images, gives logits of shape (n,) or (n, 1). If its ``forward`` has a parameter
        ``draw``, it gets the :class:`fastgan.streams.Draw` of each pass; else its randomness is
        torch's, and ``state_dict`` keeps the state of torch's generators.
    recipe : Recipe
        Costs, schedule, rates and limits; its layers are not looked at. ``max_norm`` reaches
        matrices only, row by row. With ``max_norm_before_training`` it is applied here, once.
    seed : int, optional
        Philox key of noise and masks; the recipe's by default.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``: for noise and update.
    processes : Processes, optional
        That share each batch.

    Raises
    ------
    ValueError
        If the modules' parameters are not all on one device, or there are none to train.
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
        super().__init__(generator, discriminator, recipe, seed, impl, processes)
        # Known of our own class only: batch normalisation, say, would make rows depend on others.
        self._rows_are_independent = type(discriminator) is Discriminator
        self._takes_draw = "draw" in inspect.signature(discriminator.forward).parameters
        self.uses_torch_generator = not (isinstance(generator, Generator) and self._takes_draw)
        self._seed_tensor = torch.tensor(self.seed, dtype=torch.int64, device=self.device)

        self._first_row = 0  # of this process's rows in the batch
        self._buffers = [
            buffer
            for module in (generator, discriminator)
            for buffer in module.buffers()
            if buffer.is_floating_point()
        ]
        parameters = [
            *self._discriminator_parameters.values(),
            *self._generator_parameters.values(),
        ]
        # of what is added up over processes: holds every parameter's numbers
        self._sum_dtype = functools.reduce(torch.promote_types, [p.dtype for p in parameters])

    def _train_on(self, own: Tensor, n_rows: int) -> Costs:
        self._first_row = self.processes.share(n_rows).start
        with self._own_randomness():
            if self.recipe.schedule == "simultaneous":
                costs = self._simultaneous(own, n_rows)
            else:
                costs = self._alternating(own, n_rows)
        if self.processes.size > 1:
            for buffer in self._buffers:
                self.processes.broadcast_(buffer)
        return costs

    def _simultaneous(self, own: Tensor, n_rows: int) -> Costs:
        n_discriminator = len(self._discriminator_parameters)
        parameters = [
            *self._discriminator_parameters.values(),
            *self._generator_parameters.values(),
        ]
        if len(own) > 0:
            gradients, costs = self._gradients_of_both(own, parameters, len(own) / n_rows)
        else:
            gradients, costs = self._nothing(parameters)
        gradients, costs = self._summed(gradients, parameters, costs)
        self._move_discriminator(gradients[:n_discriminator])
        self._move_generator(gradients[n_discriminator:])
        return costs

    def _gradients_of_both(
        self, own: Tensor, parameters: list[nn.Parameter], part: float
    ) -> tuple[list[Tensor | None], Costs]:
        """Return each network's gradient of its cost, D's first, and this ``part`` of the costs."""
        fake = self.generator(self._latent(len(own), Passage.FAKE))
        real_logits = self._logits(own, Passage.REAL)
        fake_logits = self._logits(fake, Passage.FAKE)
        of_discriminator = discriminator_cost(real_logits, fake_logits) * part
        of_generator = generator_cost(fake_logits, self.recipe.cost) * part
        costs = _costs(of_discriminator, of_generator, real_logits, fake_logits, part)
        ratio = cost_ratio(fake_logits.detach(), self.recipe.cost)
        if self._rows_are_independent and bool(fake_logits.min() > _lowest_logit(fake.dtype)):
            # A row's logit depends on that row alone, so G's gradient at a sample is D's times a
            # number: one backward pass gives both, 12 % less time a step of the mnist recipe.
            fake.register_hook(lambda gradient: gradient * ratio.unsqueeze(1))
            return _gradients(of_discriminator, parameters), costs
        n_discriminator = len(self._discriminator_parameters)
        gradients = _gradients(of_discriminator, parameters[:n_discriminator], retain_graph=True)
        return gradients + _gradients(of_generator, parameters[n_discriminator:]), costs

    def _alternating(self, own: Tensor, n_rows: int) -> Costs:
        part = len(own) / n_rows
        parameters = list(self._discriminator_parameters.values())
        if len(own) > 0:
            with torch.no_grad():
                fake = self.generator(self._latent(len(own), Passage.FAKE))
            real_logits = self._logits(own, Passage.REAL)
            fake_logits = self._logits(fake, Passage.FAKE)
            of_discriminator = discriminator_cost(real_logits, fake_logits) * part
            of_generator = generator_cost(fake_logits, self.recipe.cost) * part
            costs = _costs(of_discriminator, of_generator, real_logits, fake_logits, part)
            gradients = _gradients(of_discriminator, parameters)
        else:
            gradients, costs = self._nothing(parameters)
        gradients, costs = self._summed(gradients, parameters, costs)
        self._move_discriminator(gradients)
        if not self._generator_moves():
            return costs
        parameters = list(self._generator_parameters.values())
        gradients, of_fresh = self._nothing(parameters)
        if len(own) > 0:
            fresh = self.generator(self._latent(len(own), Passage.GENERATOR))
            logits = self._logits(fresh, Passage.GENERATOR)
            of_generator = generator_cost(logits, self.recipe.cost) * part
            gradients = _gradients(of_generator, parameters)
            of_fresh = of_fresh._replace(generator=of_generator.detach())
        gradients, of_fresh = self._summed(gradients, parameters, of_fresh)
        self._move_generator(gradients)
        return costs._replace(generator=of_fresh.generator)

    def _nothing(self, parameters: list[nn.Parameter]) -> tuple[list[Tensor | None], Costs]:
        """Return the gradients and costs of no rows."""
        zeros = torch.zeros(len(Costs._fields), dtype=self.dtype, device=self.device)
        return [None] * len(parameters), Costs(*zeros.unbind())

    def _summed(
        self, gradients: list[Tensor | None], parameters: list[nn.Parameter], costs: Costs
    ) -> tuple[list[Tensor | None], Costs]:
        """Add gradients and costs up over processes; a gradient is None where no process has it.

        All go in one piece of memory, and with them who wants to stop.
        """
        if self.processes.size == 1:
            return gradients, costs
        pairs = list(zip(gradients, parameters, strict=True))
        reached = torch.tensor([g is not None for g in gradients], device=self.device)
        stopping = torch.tensor([float(self.wants_to_stop())], device=self.device)
        parts = [(p.new_zeros(p.shape) if g is None else g).detach().reshape(-1) for g, p in pairs]
        parts += [reached, torch.stack(costs), stopping]
        memory = torch.cat([part.to(self._sum_dtype) for part in parts])
        self.processes.sum_(memory)
        *summed, reached, of_whole, stopping = memory.split([len(part) for part in parts])
        self._stops = bool(stopping > 0)
        found = [
            total.view(parameter.shape).to(parameter.dtype) if is_reached else None
            for total, parameter, is_reached in zip(
                summed, parameters, reached.tolist(), strict=True
            )
        ]
        return found, Costs(*of_whole.to(costs.generator.dtype).unbind())

    @contextlib.contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Give torch's generators a seed of this batch and process, where their numbers are used.

        So rows of different processes get different numbers, and a resume the same again.
        """
        if self.processes.size == 1 or not self.uses_torch_generator:
            yield
            return
        halves = philox.uniform(
            (2,), self.seed, self.update, stream(Kind.TORCH), first_row=2 * self.processes.rank
        )
        high, low = (int(half * 2.0**24) for half in halves.tolist())
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(high << 24 | low)
            yield

    def _latent(self, n_rows: int, passage: Passage) -> Tensor:
        return draw_latent(
            self.recipe,
            n_rows,
            self.seed,
            self.update,
            stream(Kind.NOISE, passage),
            first_row=self._first_row,
            dtype=self.dtype,
            device=self.device,
            impl=self.impl,
        )

    def _logits(self, images: Tensor, passage: Passage) -> Tensor:
        if self._takes_draw:
            step = torch.tensor(self.update, dtype=torch.int64, device=self.device)
            draw = Draw(self._seed_tensor, step, passage, self._first_row)
            logits = self.discriminator(images, draw=draw)
        else:
            logits = self.discriminator(images)
        n_rows = images.shape[0]
        if tuple(logits.shape) not in ((n_rows,), (n_rows, 1)):
            raise ValueError(
                f"discriminator: expected logits of shape ({n_rows},) or ({n_rows}, 1), "
                f"got {tuple(logits.shape)}"
            )
        flat: Tensor = logits.reshape(n_rows)
        return flat

    def _move_discriminator(self, gradients: list[Tensor | None]) -> None:
        self._move(self._discriminator_parameters, self._discriminator_velocity, gradients)

    def _move_generator(self, gradients: list[Tensor | None]) -> None:
        self._move(self._generator_parameters, self._generator_velocity, gradients)

    def _move(
        self,
        parameters: dict[str, nn.Parameter],
        velocity: dict[str, Tensor],
        gradients: list[Tensor | None],
    ) -> None:
        # Tensors, as the operation takes them: made once here and not once a parameter.
        learning_rate, momentum = torch.tensor(
            self._rates(), dtype=torch.float64, device=self.device
        )
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            if gradient is None:  # the cost does not reach it: it stays put
                continue
            ops.momentum_sgd(
                parameter.detach(),
                velocity[name],
                gradient,
                learning_rate,
                momentum,
                max_norm=self.recipe.max_norm if parameter.ndim == 2 else None,
                impl=self.impl,
            )


def _gradients(
    cost: Tensor, parameters: Iterable[nn.Parameter], *, retain_graph: bool = False
) -> list[Tensor | None]:
    return list(
        torch.autograd.grad(cost, list(parameters), retain_graph=retain_graph, allow_unused=True)
    )


def _lowest_logit(dtype: torch.dtype) -> float:
    """Below it D's gradient at a sample, about exp(logit), nears the smallest numbers of dtype.

    exp(28) = 1e12 is left for what the way back through D makes smaller: -59 in float32.
    """
    return math.log(torch.finfo(dtype).tiny) + 28.0


def _costs(
    of_discriminator: Tensor,
    of_generator: Tensor,
    real_logits: Tensor,
    fake_logits: Tensor,
    part: float,
) -> Costs:
    return Costs(
        of_discriminator.detach(),
        of_generator.detach(),
        torch.sigmoid(real_logits.detach()).mean() * part,
        torch.sigmoid(fake_logits.detach()).mean() * part,
    )
