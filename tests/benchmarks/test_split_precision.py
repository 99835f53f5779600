"""The kernels that ship keep their contract on the products of tensor cores, on real images."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastgan
from fastgan.data import locate

pytest.importorskip("triton")
launch = importlib.import_module("fastgan.kernels.launch")
pytestmark = pytest.mark.skipif(
    not launch.interpreting(), reason="products are emulated in Triton's interpreter, not on a GPU"
)

SIGMAS = (0.1, 0.2154434690, 0.3, 1.0)


@pytest.fixture(scope="module")
def pipeline(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.split_precision.pipeline")


@pytest.fixture(scope="module")
def truths(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.split_precision.distances")


@pytest.fixture(scope="module")
def digits(truths: ModuleType) -> Any:
    """Return 20 test images and 256 of the training images."""
    images = fastgan.load_dataset("digits")
    return truths.Truth.of(images.test[:20].numpy(), images.train[:256].numpy())


def kinds(pipeline: ModuleType, kernel: Any) -> list[Any]:
    """Return a configuration for each pair of a chip's way to add and a precision."""
    found: dict[tuple[Any, ...], Any] = {}
    for one in pipeline.shipped(kernel):
        chip = pipeline.products.CHIPS[one.architecture]
        numbers = (chip.tf32_terms, chip.bf16_terms, chip.extra_bits)
        found.setdefault((*numbers, one.precision), one)
    return list(found.values())


def test_every_shipped_precision_is_measured(pipeline: ModuleType) -> None:
    """None is plain tf32; each can be emulated; both kernels ship with the same."""
    of_parzen = pipeline.shipped(pipeline.parzen_chunks.PARZEN_CHUNKS)
    assert {one.architecture for one in of_parzen} == set(launch.ARCHITECTURES)
    assert {one.precision for one in of_parzen} <= {"tf32x3", "bf16x6", "ieee"}
    assert pipeline.shipped(pipeline.neighbors.NEAREST_CHUNKS) == of_parzen
    shown = importlib.import_module("benchmarks.split_precision.__main__").PRODUCTS
    assert {one.precision for one in of_parzen} <= {precision for precision, _ in shown}


@pytest.mark.parametrize("architecture", launch.ARCHITECTURES)
def test_shipped_precisions_keep_1e4_nats_on_digits(
    pipeline: ModuleType, digits: Any, architecture: str
) -> None:
    for one in kinds(pipeline, pipeline.parzen_chunks.PARZEN_CHUNKS):
        if one.architecture == architecture:
            found = pipeline.of_parzen("digits", digits, SIGMAS, one)
            assert max(found.nats) <= 1e-4
            assert 0.0 < found.rescored < 1.0  # some of it: the rule chooses
            assert found.keeps_contract


@pytest.mark.parametrize("architecture", launch.ARCHITECTURES)
def test_shipped_precisions_find_the_exact_neighbours_of_digits(
    pipeline: ModuleType, digits: Any, architecture: str
) -> None:
    for one in kinds(pipeline, pipeline.neighbors.NEAREST_CHUNKS):
        if one.architecture == architecture:
            found = pipeline.of_neighbors("digits", digits, one)
            assert found.n_wrong == 0
            assert found.keeps_contract


def test_wrong_neighbours_are_counted(pipeline: ModuleType, digits: Any) -> None:
    """Of a truth whose rows stand in another order, for 3 of the queries."""
    squared = digits.squared.copy()
    squared[:3] = squared[:3, ::-1]
    one = pipeline.shipped(pipeline.neighbors.NEAREST_CHUNKS)[0]
    found = pipeline.of_neighbors("digits", dataclasses.replace(digits, squared=squared), one)
    assert found.n_wrong == 3
    assert not found.keeps_contract


def test_plain_tf32_under_the_same_rule_breaks_the_contract(
    pipeline: ModuleType, digits: Any
) -> None:
    """So the tests above can fail: what is rescored is chosen for the products that ship."""
    one = pipeline.shipped(pipeline.parzen_chunks.PARZEN_CHUNKS)[0]
    found = pipeline.of_parzen("digits", digits, SIGMAS, one, "tf32")
    assert max(found.nats) > 1e-4
    assert not found.keeps_contract
    distances = pipeline.of_distances("digits", digits, one, "tf32")
    assert distances.of_allowance > 1.0
    assert not distances.keeps_contract


def test_without_rescoring_the_contract_breaks(
    pipeline: ModuleType, truths: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On long vectors: the split products alone are not enough, nor are float32's."""
    draw = np.random.default_rng(0)
    rows = draw.random((96, 1_024), np.float32)
    queries = rows[:4] + draw.normal(0.0, 0.05, (4, 1_024)).astype(np.float32)
    truth = truths.Truth.of(queries, rows)
    one = pipeline.shipped(pipeline.parzen_chunks.PARZEN_CHUNKS)[0]
    assert pipeline.of_parzen("noise", truth, (0.05,), one).keeps_contract
    monkeypatch.setattr(pipeline.parzen, "BUDGET_NATS", 1e9)
    found = pipeline.of_parzen("noise", truth, (0.05,), one)
    assert found.rescored == 0.0
    assert max(found.nats) > 1e-4


def test_distances_stay_within_their_allowance(pipeline: ModuleType, digits: Any) -> None:
    for one in kinds(pipeline, pipeline.parzen_chunks.PARZEN_CHUNKS):
        found = pipeline.of_distances("digits", digits, one)
        assert 0.0 < found.of_allowance <= 1.0


def check_real(pipeline: ModuleType, truths: ModuleType, name: str, data: Any) -> None:
    truth = truths.Truth.of(data.queries, data.rows)
    for one in kinds(pipeline, pipeline.parzen_chunks.PARZEN_CHUNKS):
        found = pipeline.of_parzen(name, truth, SIGMAS, one)
        assert found.keeps_contract, found
        assert pipeline.of_distances(name, truth, one).keeps_contract
    one = pipeline.shipped(pipeline.neighbors.NEAREST_CHUNKS)[0]
    assert pipeline.of_neighbors(name, truth, one).keeps_contract
    chip = pipeline.products.CHIPS["sm_80"]
    alone = {p: truths.damage(truth, SIGMAS, p, chip) for p in ("tf32", "tf32x3", "ieee")}
    assert max(alone["tf32"].nats) > 1.0  # nats
    assert 1e-4 < max(alone["tf32x3"].nats) < 2 * max(alone["ieee"].nats)
    assert 1e-4 < max(alone["ieee"].nats) < 0.1


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_shipped_precisions_keep_the_contract_on_real_images(
    pipeline: ModuleType, truths: ModuleType, data_folder: Path, name: str
) -> None:
    tables = importlib.import_module("benchmarks.split_precision.__main__")
    (data,) = tables.real_points(6, 128, None, [name])
    assert data.name.startswith(name)
    check_real(pipeline, truths, name, data)


def test_the_interpreter_is_as_it_was_afterwards(pipeline: ModuleType) -> None:
    interpreter = pipeline.interpreter
    before = interpreter.InterpreterBuilder.create_dot, interpreter.interpreter_builder.options
    inside = []

    def stop() -> None:
        with pipeline.emulated(pipeline.products.COARSEST):
            inside.append(interpreter.InterpreterBuilder.create_dot)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    assert inside[0] is not before[0]
    after = interpreter.InterpreterBuilder.create_dot, interpreter.interpreter_builder.options
    assert after == before


def test_a_kernel_that_asks_for_other_products_is_reported(
    pipeline: ModuleType, digits: Any
) -> None:
    one = pipeline.shipped(pipeline.parzen_chunks.PARZEN_CHUNKS)[0]
    other = dataclasses.replace(one, precision="bf16x6")
    with pytest.raises(RuntimeError, match=r"ask for bf16x6, got \['tf32x3'\]$"):
        pipeline.of_parzen("digits", digits, (1.0,), other)


def test_both_tables_are_written_and_a_broken_contract_is_an_error(
    pipeline: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    tables = importlib.import_module("benchmarks.split_precision.__main__")
    arguments = ["--queries", "2", "--rows", "40", "--out", str(tmp_path)]
    assert tables.main(arguments) == 0
    text = (tmp_path / "split_precision.md").read_text(encoding="utf-8")
    assert text.strip() == capsys.readouterr().out.strip()
    content = json.loads((tmp_path / "split_precision.json").read_text(encoding="utf-8"))
    assert content["sigmas"][:3] == pytest.approx([0.1, 0.1291549665, 0.1668100537])
    assert [row["precision"] for row in content["products"]] == [p for p, _ in tables.PRODUCTS]
    kernels = {row["kernel"] for row in content["kernels"]}
    assert kernels == {"parzen", "neighbors", "distances"}
    for row in content["kernels"]:
        if row["kernel"] == "parzen":
            assert len(row["nats"]) == len(content["sigmas"])
            assert (
                f"| {row['configuration']['name']} | {row['configuration']['precision']} |" in text
            )
    broken = pipeline.Mended("digits", "neighbors", pipeline.Shipped("sm_80", 0, "x", "tf32x3"))
    broken = dataclasses.replace(broken, n_wrong=1)
    monkeypatch.setattr(pipeline, "mended", lambda *_, **__: [broken])
    assert tables.main(arguments) == 1
    assert "BROKEN: Mended(data='digits', kernel='neighbors'" in capsys.readouterr().err


def test_one_kernel_takes_a_shipped_configuration_for_a_while(pipeline: ModuleType) -> None:
    kernel = pipeline.parzen_chunks.PARZEN_CHUNKS
    before = kernel.configurations[launch.INTERPRETER]
    one = pipeline.shipped(kernel)[-1]
    with pipeline.interpreted_as(kernel, one):
        (chosen,) = kernel.configurations[launch.INTERPRETER]
        assert chosen is kernel.configurations[one.architecture][one.number]
    assert kernel.configurations[launch.INTERPRETER] is before


@pytest.mark.parametrize(
    ("changes", "keeps"),
    [
        ({"nats": (1e-5, 1e-4)}, True),
        ({"nats": (1e-5, 1.1e-4)}, False),
        ({"nats": (float("nan"),)}, False),
        ({"n_wrong": 0, "of_allowance": 1.0}, True),
        ({"n_wrong": 1}, False),
        ({"of_allowance": 1.01}, False),
        ({"of_allowance": float("nan")}, False),
    ],
)
def test_what_a_contract_is(pipeline: ModuleType, changes: dict[str, Any], keeps: bool) -> None:
    row = pipeline.Mended("data", "kernel", pipeline.Shipped("sm_80", 0, "x", "tf32x3"), **changes)
    assert row.keeps_contract == keeps
