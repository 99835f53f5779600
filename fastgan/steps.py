"""One training step: a batch of images in, both networks moved, four numbers out.

Source: Algorithm 1 and section 3 of the paper, and the released recipes.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fastgan import ops
from fastgan.checks import check_batch
from fastgan.costs import Costs, cost_ratio, discriminator_cost, generator_cost
from fastgan.models import Discriminator, Generator, draw_latent
from fastgan.recipes import Recipe
from fastgan.streams import Draw, Kind, Passage, stream

if TYPE_CHECKING:
    from fastgan.data import Dataset

logger = logging.getLogger("fastgan")


@torch.no_grad()
def apply_max_norm(module: nn.Module, max_norm: float) -> None:
    """Bring every row of every matrix of a module inside the limit: w min(|w|, c) / (1e-7 + |w|).

    Rows are the incoming weight vectors of the units (maxout: of the pieces).
    """
    for parameter in module.parameters():
        if parameter.ndim == 2:
            norm = torch.linalg.vector_norm(parameter, dim=1, keepdim=True)
            parameter.mul_(norm.clamp(max=max_norm) / (1e-7 + norm))


class AutogradStep:
    """A training step through autograd, for any pair of modules.

    ``simultaneous``: one forward pass with the old parameters; the FAKE pass (z, masks) is shared
    by D's fake term and G's cost, and then both nets move. ``alternating``: every batch moves D;
    every k-th one then moves G with fresh z, against the D just moved (Algorithm 1).

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

    Attributes
    ----------
    update : int
        Batches seen so far: the t of the learning rate, and the Philox step.
    epoch : int
        From 1; sets the momentum. The training loop moves it on.

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
        self.generator = generator
        self.discriminator = discriminator
        self.recipe = recipe
        self.seed = recipe.seed if seed is None else seed
        self.impl = impl
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
        self._dtype = parameters[0].dtype
        # Known of our own class only: batch normalisation, say, would make rows depend on others.
        self._rows_are_independent = type(discriminator) is Discriminator
        self._takes_draw = "draw" in inspect.signature(discriminator.forward).parameters
        self.uses_torch_generator = not (isinstance(generator, Generator) and self._takes_draw)
        if recipe.max_norm is not None and recipe.max_norm_before_training:
            apply_max_norm(generator, recipe.max_norm)
            apply_max_norm(discriminator, recipe.max_norm)
        self._generator_velocity = _zeros_like(self._generator_parameters)
        self._discriminator_velocity = _zeros_like(self._discriminator_parameters)
        self._seed_tensor = torch.tensor(self.seed, dtype=torch.int64, device=self.device)

    def __call__(self, batch: Tensor) -> Costs:
        """Train on one batch of images, of shape (n, n_features), and advance the clock by one.

        In the alternating schedule the generator's cost is that of the pass that moved it, and on
        batches that do not move it that of D's fake pass.

        Raises ValueError or TypeError unless the batch is of that shape (n at least 1) and, with a
        :class:`Discriminator` of the library, of the networks' dtype and on their device.
        """
        if self._rows_are_independent:
            check_batch(batch, self.recipe.n_features, self._dtype, self.device)
        elif batch.ndim == 0 or batch.shape[0] == 0:
            raise ValueError(f"batch: expected at least one image, got shape {tuple(batch.shape)}")
        if self.recipe.schedule == "simultaneous":
            costs = self._simultaneous(batch)
        else:
            costs = self._alternating(batch)
        self.update += 1
        return costs

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
        if (self.update + 1) % self.recipe.k == 0:
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
            dtype=self._dtype,
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
        rates = (self.recipe.learning_rate_at(self.update), self.recipe.momentum_at(self.epoch))
        # Tensors, as the operation takes them: made once here and not once a parameter.
        learning_rate, momentum = torch.tensor(rates, dtype=torch.float64, device=self.device)
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

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Put a state in place; nothing is changed if a tensor is missing, unknown or misshapen.

        Raises ValueError with the tensor's name, what was expected and what came.
        """
        own = self.state_dict()
        for name in sorted(own.keys() - state.keys()):
            raise ValueError(f"state: the tensor {name!r} is missing")
        for name in sorted(state.keys() - own.keys()):
            raise ValueError(f"state: unknown tensor {name!r}")
        for name, value in own.items():
            given = state[name]
            if given.shape != value.shape or given.dtype != value.dtype:
                raise ValueError(
                    f"state: {name!r}: expected {value.dtype} of shape {tuple(value.shape)}, "
                    f"got {given.dtype} of shape {tuple(given.shape)}"
                )
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


def make_step(
    recipe: Recipe,
    step: Literal["auto", "fused", "autograd"] = "auto",
    impl: str = "auto",
    seed: int | None = None,
    *,
    dataset: Dataset | None = None,
    image_mean: Tensor | None = None,
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
) -> AutogradStep:
    """Build the two networks of a recipe (or take yours) and the step that trains them.

    Parameters
    ----------
    recipe : Recipe
    step : str
        ``auto`` chooses and says in the log what it chose; ``autograd`` works for any modules;
        ``fused`` is not in this version.
    impl : str
        ``auto``, ``reference``, ``native`` or ``triton``.
    seed : int, optional
        Philox key of everything random; the recipe's by default.
    dataset : Dataset, optional
        Its training images give the output bias's marginals.
    image_mean : Tensor of shape (n_features,), optional
        The same, given directly.
    generator, discriminator : nn.Module, optional
        Used in place of the recipe's own.

    Raises
    ------
    ValueError
        If ``step`` is unknown or ``fused``, or if the recipe's generator takes its output bias from
        the data and neither ``dataset`` nor ``image_mean`` is given.
    """
    if step == "fused":
        raise ValueError("step: the fused step is not in this version; take 'autograd' or 'auto'")
    if step not in ("auto", "autograd"):
        raise ValueError(f"step: expected one of auto, fused, autograd, got {step!r}")
    key = recipe.seed if seed is None else seed
    if generator is None:
        if image_mean is None and dataset is not None:
            image_mean = dataset.train.to(torch.float64).mean(dim=0)
        if image_mean is None and any(layer.bias_from_data for layer in recipe.generator):
            raise ValueError(
                f"image_mean: the recipe {recipe.name!r} takes the generator's output bias from "
                "the mean of the training images: give dataset= or image_mean="
            )
        generator = Generator(recipe, image_mean, seed=key, impl=impl)
    if discriminator is None:
        discriminator = Discriminator(recipe, seed=key, impl=impl)
    if step == "auto":
        logger.info("step: autograd (step='auto')")
    return AutogradStep(generator, discriminator, recipe, key, impl=impl)


def _trainable(module: nn.Module, role: str) -> dict[str, nn.Parameter]:
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError(f"{role}: expected a module with parameters to train, got none")
    return parameters


def _zeros_like(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}


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
