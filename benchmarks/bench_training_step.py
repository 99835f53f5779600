"""A whole training step of a recipe against the same step in plain PyTorch and torch.compile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import Tensor

import fastgan
from benchmarks import harness
from benchmarks.devices import Demand
from benchmarks.tf32 import also_in_tf32, has_tf32, in_tf32
from benchmarks.training_steps import plain_step, step_products, step_settings
from benchmarks.training_steps.captured import captured
from benchmarks.training_steps.manual_step import ManualStep
from benchmarks.training_steps.step_settings import STILL, Setting
from fastgan.models import draw_latent

N_LOOKED_AT = 1_000  # rows over which the share of zeros is counted


def error_of_one_step(setting: Setting, kind: str, impl: str) -> float:
    """Return how far float32's first velocity is from float64's, masks and z alike.

    Beside the largest velocity of the same network. (The weights themselves would show only how
    coarsely float32 holds them: a first step changes them by a few units in the last place.)
    """
    batch = setting.batches[0]
    narrow = setting.step(kind, impl)
    wide = setting.step("autograd", "reference", torch.float64)
    narrow(batch)
    wide(batch.double())
    found = narrow.state_dict()
    errors: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for name, value in wide.state_dict().items():
        if name.startswith("velocity."):
            network = name.split(".")[1]
            error = float((found[name].double() - value).abs().max())
            errors[network] = max(error, errors.get(network, 0.0))
            sizes[network] = max(float(value.abs().max()), sizes.get(network, 0.0))
    ratios = [errors[network] / sizes[network] for network in errors]
    return math.nan if any(math.isnan(ratio) for ratio in ratios) else max(ratios)


@torch.no_grad()
def shares_of_relu(setting: Setting, generator: Any) -> list[float]:
    """Return the share of outputs above 0 of each of the generator's ReLU layers."""
    values: Tensor = draw_latent(setting.recipe, N_LOOKED_AT, 0, 0, 0)
    values = values.to(setting.batches.device)
    shares = []
    for linear, layer in zip(generator.layers, setting.recipe.dense_layers, strict=True):
        values = linear(values)
        if layer.activation == "relu":
            values = values.relu()
            shares.append(float((values > 0).float().mean()))
        elif layer.activation == "sigmoid":
            values = values.sigmoid()
    return shares


def comparison(setting: Setting, options: harness.Options) -> harness.Comparison:
    """Return the contenders of one setting; all of them move the same weights in turn."""
    setting = setting.on(options.device.torch_device)
    recipe = setting.recipe.replace(**STILL)
    ours = setting.step(**STILL)
    nets = {"generator": ours.generator, "discriminator": ours.discriminator}
    by_autograd = fastgan.make_step(recipe, "autograd", **nets)
    pair = plain_step.networks(recipe, ours.generator, ours.discriminator)
    rates = recipe.learning_rate_at(ours.update), recipe.momentum_at(ours.epoch)
    weights = [[p for p in net.parameters() if p.ndim == 2] for net in nets.values()]
    turns = setting.turns()
    eager = plain_step.eager_step(recipe, pair, setting.turns(), rates)
    by_hand = ManualStep(recipe, *nets.values(), setting.turns(), rates)

    def remark(_: Any) -> str:
        shares = ", ".join(f"{share:.0%}" for share in shares_of_relu(setting, ours.generator))
        return f"{type(ours).__name__}" + (f"; ReLU outputs above 0: {shares}" if shares else "")

    contenders = [
        harness.Contender(
            "fastgan",
            lambda: ours(next(turns)),
            lambda _: error_of_one_step(setting, "auto", "auto"),
            remark=remark,
        ),
        harness.Contender(
            "fastgan, autograd",
            lambda: by_autograd(next(turns)),
            lambda _: error_of_one_step(setting, "autograd", "auto"),
        ),
        harness.Contender("eager, SGD fused", eager),
        harness.Contender("eager, without autograd", by_hand),
    ]
    contenders += replayed("eager, without autograd", by_hand.train, setting, options)
    if options.compile:
        torch._dynamo.reset()
        modules = plain_step.eager_step(recipe, pair, setting.turns(), rates, compile=True)
        whole = plain_step.compiled_step(recipe, pair, setting.turns(), rates)
        by_hand_whole = plain_step.compile_whole(recipe, by_hand.train)
        contenders += [
            harness.Contender("torch.compile, whole step", whole),
            harness.Contender("torch.compile, modules and SGD fused", modules),
            harness.Contender(
                "torch.compile, without autograd", lambda: by_hand_whole(next(turns))
            ),
        ]
        contenders += replayed("torch.compile, without autograd", by_hand_whole, setting, options)
    contenders.append(
        harness.Contender(
            "torch.mm of its products",
            step_products.make_products(recipe, *weights),
            is_floor=True,
            remark=lambda _: step_products.words(recipe),
        )
    )
    return harness.Comparison(
        operation="training step",
        size=f"{setting.words}: batch {recipe.batch_size}, {recipe.n_features} pixels, "
        f"{setting.n_weights:,} weights",
        contenders=also_in_tf32(contenders, options.device),
        # twice the error that plain PyTorch in float32 makes over the same step
        bound=2 * error_of_one_step(setting, "autograd", "reference"),
        error_unit="of the largest velocity",
        device=options.device,
        demand=demand(setting),
    )


def replayed(
    name: str, step: Callable[[Tensor], Any], setting: Setting, options: harness.Options
) -> list[harness.Contender]:
    """Return a step of PyTorch as a CUDA graph, and once more in TF32; none on the CPU."""
    if not options.device.is_gpu:
        return []
    name = f"{name}, CUDA graph"
    found = [harness.Contender(name, captured(step, setting.turns()))]
    if has_tf32(options.device):
        call = in_tf32(captured(step, setting.turns()))
        found.append(harness.Contender(f"{name}, TF32", call))
    return found


def demand(setting: Setting) -> Demand:
    """Return what a step takes: its dense products; weights and velocities read and written."""
    n_bytes = 4 * 4 * setting.n_weights + setting.batches[0].nbytes
    return Demand(product_flops=float(step_products.n_operations(setting.recipe)), n_bytes=n_bytes)


def fresh(case: str, options: harness.Options, **changes: Any) -> harness.Work:
    """A recipe's first step."""
    recipe = step_settings.by_shape(case.partition(":")[0]).replace(**changes)
    recipe = step_settings.tiny(recipe) if options.quick else recipe
    return comparison(step_settings.fresh(recipe, case), options)


def trained(case: str, options: harness.Options) -> harness.Work:
    """A step of the networks that a run folder holds: training makes zeros behind the ReLUs."""
    if options.run is None:
        return harness.LeftOut(
            "training step", case, "it needs a run's folder (--run FOLDER)", options.device
        )
    try:
        setting = step_settings.of_run(options.run, case)
    except (FileNotFoundError, ValueError) as error:
        return harness.LeftOut("training step", case, str(error), options.device)
    return comparison(setting, options)


def threads(case: str, options: harness.Options) -> harness.Work:
    """A batch gathered by torch and a fused step: whose threads have the cores?

    Threads of torch that have just worked spin for a while before they sleep, on the cores that
    those of the native core want next; a gather by one thread takes longer.
    """
    if options.device.is_gpu:
        return harness.LeftOut(
            "training step", case, "it shares out the CPU's cores", options.device
        )
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        return harness.LeftOut(
            "training step", case, "it needs two threads at least", options.device
        )
    recipe = step_settings.by_shape(case.partition(":")[0]).replace(**STILL)
    recipe = step_settings.tiny(recipe) if options.quick else recipe
    setting = step_settings.fresh(recipe, case)
    images = setting.batches.flatten(0, 1)
    nets = setting.step("fused")
    pair = {"generator": nets.generator, "discriminator": nets.discriminator}

    def call(of_core: int, of_torch: int) -> Callable[[], Any]:
        step = fastgan.make_step(recipe, "fused", **pair)
        step.n_threads = of_core
        rows = cycle(torch.randperm(len(images)).split(recipe.batch_size))

        def run() -> Any:
            torch.set_num_threads(of_torch)
            try:
                return step(images[next(rows)])
            finally:
                torch.set_num_threads(n_threads)

        return run

    ours, *others = [
        harness.Contender(f"fastgan: {of_core} of the core, {of_torch} of torch", call(*shares))
        for shares in ((n_threads, 1), (n_threads, n_threads), (1, n_threads), (1, 1))
        for of_core, of_torch in [shares]
    ]
    error = lambda _: error_of_one_step(setting, "fused", "auto")  # noqa: E731
    return harness.Comparison(
        operation="training step with its batch gathered",
        size=f"{case}: batch {recipe.batch_size}, {recipe.n_features} pixels",
        contenders=[dataclasses.replace(ours, error=error), *others],
        bound=2 * error_of_one_step(setting, "autograd", "reference"),
        error_unit="of the largest velocity",
    )


CASES: dict[str, Callable[[str, harness.Options], harness.Work]] = {
    "digits": fresh,
    "mnist": fresh,
    "mnist:trained": trained,
    "mnist:alternating": partial(fresh, schedule="alternating"),
    "mnist:saturating": partial(fresh, cost="saturating"),
    "mnist:threads": threads,
    "tfd": fresh,
    "cifar10-mlp": fresh,
}


def comparisons(options: harness.Options) -> Iterator[harness.Work]:
    for case in options.cases or CASES:
        # No name holds it: a contender of the largest shapes takes half a gigabyte.
        yield CASES[case](case, options)


@pytest.mark.parametrize("name", ["fastgan", "eager, SGD fused"])
@harness.on_each_device
def test_training_step(benchmark: Any, name: str, device: str) -> None:
    harness.time_with_pytest(benchmark, comparisons(harness.tiny(device)), name)
