"""Full-size recipes are measured in processes of their own, and their faults are found."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads Linux's /proc"
)


@pytest.fixture
def module(harness: ModuleType) -> ModuleType:
    return importlib.import_module("benchmarks.full_recipes.__main__")


def made(module: ModuleType, **changes: object) -> object:
    fields = {
        "name": "tfd", "dataset": "faces", "n_weights": 5, "step_seconds": (0.1,) * 20,
        "peak_bytes": 2**30, "discriminator_costs": tuple(range(20)),
        "generator_costs": tuple(range(20)),
    }  # fmt: skip
    return module.Measured(**{**fields, **changes})


def test_digits_in_a_process_of_its_own(module, tmp_path, capsys) -> None:
    code = module.main(["digits", "--steps", "12", "--threads", "1", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert printed.startswith("| recipe |")
    (written,) = tmp_path.glob("*.md")
    assert written.read_text(encoding="utf-8") == printed
    (found,) = json.loads(next(tmp_path.glob("*.json")).read_text())
    here = module.train("digits", 12)
    # float32 products may round otherwise elsewhere; the first cost is nearly ln 2 in either
    assert found["discriminator_costs"] == pytest.approx(here.discriminator_costs, rel=1e-4)
    assert found["generator_costs"] == pytest.approx(here.generator_costs, rel=1e-4)
    assert found["n_weights"] == here.n_weights == 129_281
    assert len(found["step_seconds"]) == 12
    assert 50e6 < found["peak_bytes"] < 4e9


def test_a_recipe_that_is_not_there_is_told_and_fails(module, tmp_path, capsys) -> None:
    assert module.main(["nothing", "--threads", "1", "--out", str(tmp_path)]) == 1
    assert "Left out: nothing: ValueError: recipe: expected one of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"peak_bytes": 16 * 2**30}, []),
        ({"peak_bytes": 17 * 2**30}, ["memory 17.0 GiB, above 16 GiB"]),
        ({"discriminator_costs": (0.1, math.nan, 0.2)}, ["D's cost is not finite"]),
        ({"generator_costs": (0.1, math.inf)}, ["G's cost is not finite"]),
        ({"generator_costs": (0.1,) * 20}, ["G's cost does not move"]),
    ],
)
def test_faults_are_found(module, changes, faults, tmp_path, monkeypatch) -> None:
    found = made(module, **changes)
    assert found.faults == faults
    monkeypatch.setattr(module, "measure", lambda *_: found)
    assert module.main(["tfd", "--out", str(tmp_path)]) == int(bool(faults))


def test_costs_of_the_ends_and_quantiles(module) -> None:
    found = made(module, step_seconds=tuple(i / 1000 for i in range(1, 22)))
    assert found.ends == ((4.5, 14.5), (4.5, 14.5))
    text = module.markdown([found], ["cifar10-conv: no such recipe"], 2)
    assert "11 ms (2.2 ms to 19.8 ms)" in text
    assert "| 1.00 GiB | 4.500000 to 14.500000 |" in text
    assert "Left out: cifar10-conv: no such recipe." in text
    assert "21 steps each, 2 threads;" in text


def test_stages_have_names(module) -> None:
    assert [module.recipe_of(name).n_epochs for name in ("tfd-stage-1", "tfd")] == [50, 22]
    assert set(module.NAMES) < {"tfd-stage-1", *module.recipes.names()}


def test_a_stand_in_is_named(module, monkeypatch) -> None:
    def load(name: str, download: bool) -> object:
        if name in ("tfd", "faces"):
            raise FileNotFoundError(f"{name} is not here")
        return SimpleNamespace(train=name)

    monkeypatch.setattr(module.fastgan, "load_dataset", load)
    assert module.images_of(SimpleNamespace(dataset="tfd")) == ("fer2013", "fer2013")
    assert module.images_of(SimpleNamespace(dataset="cifar10")) == ("cifar10", "cifar10")
    monkeypatch.setattr(module, "STAND_INS", {})
    with pytest.raises(FileNotFoundError, match="tfd: tfd is not here"):
        module.images_of(SimpleNamespace(dataset="tfd"))
