"""The contenders of a training step do the same work, and the floor is its products."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fastgan
from fastgan import recipes
from fastgan.models import draw_latent
from fastgan.recipes import Recipe
from fastgan.reference.dropout import dropout
from fastgan.runs import Run
from fastgan.streams import Kind, Passage, stream

VARIANTS = [
    {},
    {"cost": "saturating"},
    {"schedule": "alternating"},
    {"schedule": "alternating", "cost": "saturating", "max_norm": 0.3},
    {"latent": "normal", "max_norm": 0.3},
]


@pytest.fixture
def settings(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.training_steps.step_settings")


@pytest.fixture
def plain(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.training_steps.plain_step")


@pytest.fixture
def products(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.training_steps.step_products")


@pytest.fixture(scope="module")
def run_folder(harness: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = importlib.import_module("benchmarks.training_steps.step_settings")
    folder = tmp_path_factory.mktemp("runs") / "run"
    recipe = settings.tiny(recipes.DIGITS).replace(n_epochs=2, n_samples=100, evaluate_every=2)
    fastgan.train(recipe, folder=folder, sample_grids=False, progress=False)
    return folder


def odd_recipe(settings: ModuleType, **changes: Any) -> Recipe:
    """Return a recipe of three layers of G, all of other widths and no dropout."""
    recipe = settings.tiny(recipes.DIGITS)
    widths = zip(recipe.generator, (7, 9, 64), strict=True)
    return recipe.replace(
        generator=tuple(
            type(layer)(width, layer.activation, 0.3, layer.bias_from_data)
            for layer, width in widths
        ),
        discriminator=(recipes.MaxoutLayer(6, 3, 1.0, 0.3), recipes.MaxoutLayer(5, 2, 1.0, 0.3)),
        output_include_probability=1.0,
        output_initial_range=0.3,
        batch_size=11,
        **changes,
    )


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("which", ["eager_step", "compiled_step"])
def test_plain_steps_move_the_networks_as_fastgan_does(
    settings: ModuleType,
    plain: ModuleType,
    which: str,
    changes: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = settings.fresh(odd_recipe(settings, learning_rate_decay=1.0, **changes), "odd")
    recipe = setting.recipe
    ours = setting.step("autograd", "reference", torch.float64)
    before = [p.detach().clone() for p in ours.generator.parameters()]
    pair = plain.networks(recipe, copy.deepcopy(ours.generator), copy.deepcopy(ours.discriminator))
    batches = list(setting.batches.double())
    passages = [Passage.FAKE]
    passages += [Passage.GENERATOR] if recipe.schedule == "alternating" else []
    drawn = iter([(step, passage) for step in range(3) for passage in passages])

    def latent(recipe: Recipe, n_rows: int, like: torch.Tensor) -> torch.Tensor:
        step, passage = next(drawn)
        number = stream(Kind.NOISE, passage)
        return draw_latent(recipe, n_rows, recipe.seed, step, number, dtype=like.dtype)

    monkeypatch.setattr(plain, "latent", latent)
    rates = recipe.learning_rate_at(0), recipe.momentum_at(1)
    theirs = getattr(plain, which)(recipe, pair, iter(batches), rates, compile=False)
    for batch in batches[:3]:
        ours(batch)
        theirs()
    for net, own in zip(pair, (ours.generator, ours.discriminator), strict=True):
        for found, right in zip(net.parameters(), own.parameters(), strict=True):
            torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-12)
    moved = zip(before, ours.generator.parameters(), strict=True)
    assert all((old - new.detach()).abs().max() > 1e-6 for old, new in moved)


@pytest.mark.parametrize("include_probability", [1.0, 0.7])
@pytest.mark.parametrize("changes", VARIANTS)
def test_the_step_by_hand_moves_the_networks_as_fastgan_does(
    settings: ModuleType,
    changes: dict[str, Any],
    include_probability: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manual = importlib.import_module("benchmarks.training_steps.manual_step")
    recipe = odd_recipe(settings, learning_rate_decay=1.0, **changes)
    recipe = recipe.replace(
        discriminator=tuple(
            dataclasses.replace(layer, include_probability=include_probability)
            for layer in recipe.discriminator
        ),
        output_include_probability=include_probability,
    )
    setting = settings.fresh(recipe, "odd")
    ours = setting.step("autograd", "reference", torch.float64)
    nets = copy.deepcopy(ours.generator), copy.deepcopy(ours.discriminator)
    batches = list(setting.batches.double())
    n, n_layers = recipe.batch_size, len(recipe.discriminator) + 1
    passes = [(Passage.REAL, Passage.FAKE)]
    passes += [(Passage.GENERATOR,)] if recipe.schedule == "alternating" else []
    noise = iter([(step, which[-1]) for step in range(3) for which in passes])
    masks = iter(
        [(step, which, i) for step in range(3) for which in passes for i in range(n_layers)]
    )

    def latent(recipe: Recipe, n_rows: int, like: torch.Tensor) -> torch.Tensor:
        step, passage = next(noise)
        number = stream(Kind.NOISE, passage)
        return draw_latent(recipe, n_rows, recipe.seed, step, number, dtype=like.dtype)

    def mask(like: torch.Tensor, include_probability: float) -> torch.Tensor | None:
        step, passages, layer = next(masks)
        if include_probability == 1.0:
            return None
        ones = torch.ones(n, like.shape[1], dtype=like.dtype)
        draws = [(recipe.seed, step, stream(Kind.DROPOUT, which, layer)) for which in passages]
        return torch.cat([dropout(ones, include_probability, *draw) for draw in draws])

    monkeypatch.setattr(manual, "latent", latent)
    monkeypatch.setattr(manual, "mask", mask)
    rates = recipe.learning_rate_at(0), recipe.momentum_at(1)
    theirs = manual.ManualStep(recipe, *nets, iter(batches), rates)
    for batch in batches[:3]:
        ours(batch)
        theirs()
    assert next(masks, None) is None
    for net, own in zip(nets, (ours.generator, ours.discriminator), strict=True):
        for found, right in zip(net.parameters(), own.parameters(), strict=True):
            torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("include_probability", [0.8, 0.5])
def test_masks_of_the_step_by_hand(harness: ModuleType, include_probability: float) -> None:
    manual = importlib.import_module("benchmarks.training_steps.manual_step")
    drawn = manual.mask(torch.ones(200, 100), include_probability)
    assert float((drawn > 0).float().mean()) == pytest.approx(include_probability, abs=0.02)
    assert drawn.unique().tolist() == pytest.approx([0.0, 1.0 / include_probability])


def test_plain_networks_share_the_parameters(settings: ModuleType, plain: ModuleType) -> None:
    step = settings.fresh(settings.tiny(recipes.DIGITS), "tiny").step("autograd")
    pair = plain.networks(step.recipe, step.generator, step.discriminator)
    for net, own in zip(pair, (step.generator, step.discriminator), strict=True):
        assert [id(p) for p in net.parameters()] == [id(p) for p in own.parameters()]
    with pytest.raises(ValueError, match=r"^k: the plain step knows only k = 1, got 2$"):
        plain.eager_step(
            step.recipe.replace(schedule="alternating", k=2), pair, iter([]), (0.1, 0.5)
        )


@pytest.mark.parametrize("schedule", ["simultaneous", "alternating"])
def test_the_floor_is_the_work_that_autograd_does(
    settings: ModuleType, plain: ModuleType, products: ModuleType, schedule: str
) -> None:
    setting = settings.fresh(odd_recipe(settings, schedule=schedule), "odd")
    recipe, step = setting.recipe, setting.step("autograd")
    pair = plain.networks(recipe, step.generator, step.discriminator)
    eager = plain.eager_step(recipe, pair, setting.turns(), (0.1, 0.5))
    with FlopCounterMode(display=False) as counted:
        eager()
    expected = products.n_operations(recipe)
    if schedule == "simultaneous":
        # Each cost goes back through D by itself: the hidden layers' input gradients of the fake
        # half come twice, where one pass would do.
        n, d = recipe.batch_size, recipe.discriminator
        expected += 2 * n * (d[0].n_units * d[1].n_units * d[1].n_pieces + d[1].n_units)
    assert counted.get_total_flops() == expected


def test_products_of_mnist(products: ModuleType) -> None:
    found = products.products_of(recipes.MNIST)
    hidden = [p for p in found if p.n_units > 1]
    sizes = [(p.n_rows, p.n_features, p.n_units) for p in hidden]
    assert sizes[:5] == [
        (100, 100, 1200),
        (100, 1200, 1200),
        (100, 1200, 784),
        (200, 784, 1200),
        (200, 240, 1200),
    ]
    assert len(hidden) == 14
    assert len(found) == 17  # three more of D's output unit
    assert [p.n_rows for p in found if p.kind == "input gradient"] == [200, 200, 100, 100, 100]
    assert products.words(recipes.MNIST) == "17 products, 2.76 GFLOP"


@pytest.mark.parametrize("schedule", ["simultaneous", "alternating"])
def test_products_are_made_into_memory_of_their_own(
    settings: ModuleType, products: ModuleType, schedule: str
) -> None:
    setting = settings.fresh(odd_recipe(settings, schedule=schedule), "odd")
    step = setting.step("autograd")
    nets = (step.generator, step.discriminator)
    weights = [[p for p in net.parameters() if p.ndim == 2] for net in nets]
    made = products.make_products(setting.recipe, *weights)()
    described = products.products_of(setting.recipe)
    for out, product in zip(made, described, strict=True):
        shape = {
            "forward": (product.n_rows, product.n_units),
            "weight gradient": (product.n_units, product.n_features),
            "input gradient": (product.n_rows, product.n_features),
        }[product.kind]
        assert out.shape == shape
        assert out.abs().max() > 0
    assert len({out.data_ptr() for out in made}) == len(made)
    weights[0][1] = weights[0][1][:, 1:]
    with pytest.raises(
        ValueError, match=r"^generator: expected the weight of layer 1 .* \(9, 7\), got \(9, 6\)$"
    ):
        products.make_products(setting.recipe, *weights)


def test_a_wrong_step_gets_no_time(
    harness: ModuleType, settings: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module("benchmarks.bench_training_step")
    work = bench.CASES["digits"]("digits", harness.Options(quick=True, compile=False))
    make = fastgan.make_step

    def wrong(recipe: Recipe, kind: str = "auto", *rest: Any, **pair: Any) -> Any:
        step = make(recipe, kind, *rest, **pair)
        if kind == "auto":  # a weight that is a little off
            with torch.no_grad():
                step.generator.layers[0].weight[0, 0] += 1e-2
        return step

    monkeypatch.setattr(fastgan, "make_step", wrong)
    with pytest.raises(harness.WrongResultError, match="no time is reported"):
        work.measure(n_rounds=1, block_seconds=0.0)


def test_weights_stay_where_they_are_while_steps_are_timed(settings: ModuleType) -> None:
    setting = settings.fresh(settings.tiny(recipes.DIGITS), "tiny")
    step, turns = setting.step(**settings.STILL), setting.turns()
    before = [p.detach().clone() for p in step.generator.parameters()]
    for _ in range(100):
        step(next(turns))
    after = [p.detach() for p in step.generator.parameters()]
    assert max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True)) < 1e-4
    velocities = [v for name, v in step.state_dict().items() if name.startswith("velocity.")]
    assert all(bool(v.any()) for v in velocities)  # it is a step all the same
    assert step.update == 100


def test_a_run_gives_the_state_to_step_from(
    settings: ModuleType, run_folder: Path, tmp_path: Path
) -> None:
    setting = settings.of_run(run_folder, "trained")
    assert setting.words == "trained, digits after 2 epochs"
    step = setting.step("autograd", dtype=torch.float64)
    trained = Run.open(run_folder).load_checkpoint().state
    for name, value in step.state_dict().items():
        if name.startswith("velocity."):
            assert not value.any()
        else:
            assert torch.equal(value, trained[name].to(value.dtype))
    assert step.update > 0
    with pytest.raises(FileNotFoundError, match="holds no run"):
        settings.of_run(tmp_path, "trained")


def test_shares_of_relu_are_counted(settings: ModuleType) -> None:
    bench = importlib.import_module("benchmarks.bench_training_step")
    setting = settings.fresh(settings.tiny(recipes.DIGITS), "tiny")
    generator = setting.step().generator
    shares = bench.shares_of_relu(setting, generator)
    assert len(shares) == 2
    assert all(0.3 < share < 0.7 for share in shares)
    with torch.no_grad():
        generator.layers[0].bias -= 100.0
        generator.layers[1].bias += 100.0
    assert bench.shares_of_relu(setting, generator) == [0.0, 1.0]


def test_the_case_of_a_run_is_asked_for_by_name(
    harness: ModuleType, run_folder: Path, tmp_path: Path
) -> None:
    run = importlib.import_module("benchmarks.run")
    arguments = ["training_step:mnist:trained", "--no-compile", "--rounds", "1", "--quick"]
    arguments += ["--run", str(run_folder), "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    (file,) = tmp_path.glob("*.json")
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert [row["contender"] for row in rows] == [
        "fastgan",
        "fastgan, autograd",
        "eager, SGD fused",
        "eager, without autograd",
        "torch.mm of its products",
    ]
    assert rows[0]["size"].startswith("mnist:trained, digits after 2 epochs: batch 20, 64 pixels")
    assert "ReLU outputs above 0" in rows[0]["note"]
    assert "17 products" in rows[-1]["note"]


def test_threads_are_shared_out_and_given_back(harness: ModuleType) -> None:
    bench = importlib.import_module("benchmarks.bench_training_step")
    options = harness.Options(quick=True, compile=False, cases=("mnist:threads",))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        (left_out,) = bench.comparisons(options)
        assert left_out.reason == "it needs two threads at least"
        torch.set_num_threads(2)
        (work,) = bench.comparisons(options)
        rows = work.measure(n_rounds=1, block_seconds=0.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert [row.contender for row in rows] == [
        "fastgan: 2 of the core, 1 of torch",
        "fastgan: 2 of the core, 2 of torch",
        "fastgan: 1 of the core, 2 of torch",
        "fastgan: 1 of the core, 1 of torch",
    ]
    assert all(row.seconds is not None for row in rows)
    assert rows[0].error <= rows[0].bound
