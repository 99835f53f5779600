"""The training step through autograd, for any pair of modules."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from fastgan import ops
from fastgan.costs import Costs, cost_ratio, discriminator_cost, generator_cost
from fastgan.models import Discriminator, Generator, draw_latent
from fastgan.recipes import Recipe
from fastgan.streams import Draw, Kind, Passage, stream
from fastgan.training_step import TrainingStep


class AutogradStep(TrainingStep):
    """A training step through autograd, for any pair of modules.

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
    ) -> None:
        super().__init__(generator, discriminator, recipe, seed, impl)
        # Known of our own class only: batch normalisation, say, would make rows depend on others.
        self._rows_are_independent = type(discriminator) is Discriminator
        self._takes_draw = "draw" in inspect.signature(discriminator.forward).parameters
        self.uses_torch_generator = not (isinstance(generator, Generator) and self._takes_draw)
        self._seed_tensor = torch.tensor(self.seed, dtype=torch.int64, device=self.device)

    def _train_on(self, batch: Tensor) -> Costs:
        if self.recipe.schedule == "simultaneous":
            return self._simultaneous(batch)
        return self._alternating(batch)

    def _simultaneous(self, batch: Tensor) -> Costs:
        fake = self.generator(self._latent(batch.shape[0], Passage.FAKE))
        real_logits = self._logits(batch, Passage.REAL)
        fake_logits = self._logits(fake, Passage.FAKE)
        of_discriminator = discriminator_cost(real_logits, fake_logits)
        of_generator = generator_cost(fake_logits, self.recipe.cost)
        ratio = cost_ratio(fake_logits.detach(), self.recipe.cost)
        if self._rows_are_independent and bool(fake_logits.min() > _lowest_logit(fake.dtype)):
            # A row's logit depends on that row alone, so G's gradient at a sample is D's times a
            # number: one backward pass gives both, 12 % less time a step of the mnist recipe.
            fake.register_hook(lambda gradient: gradient * ratio.unsqueeze(1))
            gradients = _gradients(
                of_discriminator,
                [*self._discriminator_parameters.values(), *self._generator_parameters.values()],
            )
            n_discriminator = len(self._discriminator_parameters)
            discriminator_gradients = gradients[:n_discriminator]
            generator_gradients = gradients[n_discriminator:]
        else:
            discriminator_gradients = _gradients(
                of_discriminator, self._discriminator_parameters.values(), retain_graph=True
            )
            generator_gradients = _gradients(of_generator, self._generator_parameters.values())
        self._move_discriminator(discriminator_gradients)
        self._move_generator(generator_gradients)
        return _costs(of_discriminator, of_generator, real_logits, fake_logits)

    def _alternating(self, batch: Tensor) -> Costs:
        n_rows = batch.shape[0]
        with torch.no_grad():
            fake = self.generator(self._latent(n_rows, Passage.FAKE))
        real_logits = self._logits(batch, Passage.REAL)
        fake_logits = self._logits(fake, Passage.FAKE)
        of_discriminator = discriminator_cost(real_logits, fake_logits)
        of_generator = generator_cost(fake_logits, self.recipe.cost)
        self._move_discriminator(
            _gradients(of_discriminator, self._discriminator_parameters.values())
        )
        if self._generator_moves():
            fresh = self.generator(self._latent(n_rows, Passage.GENERATOR))
            of_generator = generator_cost(self._logits(fresh, Passage.GENERATOR), self.recipe.cost)
            self._move_generator(_gradients(of_generator, self._generator_parameters.values()))
        return _costs(of_discriminator, of_generator, real_logits, fake_logits)

    def _latent(self, n_rows: int, passage: Passage) -> Tensor:
        return draw_latent(
            self.recipe,
            n_rows,
            self.seed,
            self.update,
            stream(Kind.NOISE, passage),
            dtype=self.dtype,
            device=self.device,
            impl=self.impl,
        )

    def _logits(self, images: Tensor, passage: Passage) -> Tensor:
        if self._takes_draw:
            step = torch.tensor(self.update, dtype=torch.int64, device=self.device)
            logits = self.discriminator(images, draw=Draw(self._seed_tensor, step, passage))
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
    of_discriminator: Tensor, of_generator: Tensor, real_logits: Tensor, fake_logits: Tensor
) -> Costs:
    return Costs(
        of_discriminator.detach(),
        of_generator.detach(),
        torch.sigmoid(real_logits.detach()).mean(),
        torch.sigmoid(fake_logits.detach()).mean(),
    )
