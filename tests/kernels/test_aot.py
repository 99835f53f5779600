"""The proof without a device: it holds for what ships, and finds what must not ship."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastgan import backends

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from fastgan.kernels.aot import cases, compiling
from fastgan.kernels.launch import ARCHITECTURES, interpreting

HERE = Path(__file__).parent


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python without the interpreter's variable, on a cache of its own."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, "TRITON_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
    )


PROGRAM = """
import os, sys
from fastgan.kernels.aot import cases, compiling
from fastgan.kernels.aot.__main__ import main
from fastgan.kernels.aot.noting import case
import bad_kernels as bad

found = {{
    **{{name: case(name, bad.launch_product, kernel) for name, kernel in bad.PRODUCTS.items()}},
    "refused": case("refused", bad.launch_refused),
    "dying": case("dying", bad.launch, bad.DYING),
    "fine": case("fine", bad.launch, bad.FINE),
}}
cases.cases = lambda: [found[name] for name in {names!r}]
cases.kernels = lambda: {{}}
compile_and_read = compiling.compile_and_read

def compile_or_die(specialisation):
    if specialisation.function.__name__ == "dying_kernel":
        os.abort()
    return compile_and_read(specialisation)

compiling.compile_and_read = compile_or_die
sys.exit(main({arguments!r}))
"""

BAD = {
    "spilling": "product_kernel one on sm_80 (spilling): spills: expected none, got ",
    "without tensor cores": "product_kernel one on sm_80 (without tensor cores): "
    "tensor-core instructions: expected some, found none",
    "large": "product_kernel one on sm_80 (large): shared memory: expected at most 101376, got ",
    "refused": "refused_kernel one on sm_80 (refused): does not compile: ",
    "dying": "dying_kernel one on sm_80 (dying): the compiler died, exit code -6",
}


def test_what_must_not_ship_fails_by_name(tmp_path) -> None:
    """The process that dies takes none of the others with it."""
    names = ["dying", *(name for name in BAD if name != "dying"), "good", "fine"]
    arguments = ["--architecture", "sm_80", "--jobs", "1"]
    done = run(["-c", PROGRAM.format(names=names, arguments=arguments)], tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for problem in BAD.values():
        assert f"FAILED {problem}" in done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    assert all("(good)" not in line and "(fine)" not in line for line in failed)
    assert done.stdout.splitlines()[-1].endswith(f"{len(BAD)} failed")


def test_what_may_ship_passes_and_is_told(tmp_path) -> None:
    for suffix in ("json", "md"):
        arguments = ["--output", str(tmp_path / f"table.{suffix}"), "--architecture", "sm_90"]
        done = run(["-c", PROGRAM.format(names=["good", "fine"], arguments=arguments)], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 kernels in 2 variants (2 on sm_90): 0 failed" in done.stdout
    product, fine = json.loads((tmp_path / "table.json").read_text())["variants"]
    assert product["tile"]["product_flops"] == 2 * 32 * 32 * 128
    assert product["tile"]["turn_product_flops"] == 2 * 32**3
    assert product["tile"]["turn_bytes"] == 2 * 32 * 32 * 4
    assert product["tile"]["precision"] == "tf32x3"
    assert product["tile"]["read_bytes"] == 2 * 32 * 128 * 4
    assert product["inner_loop_instructions"]["tensor_core"] > 0
    # a third of 494.7 Tflop/s
    parts = product["model_not_measurement"]["parts"]
    assert parts["products"] == pytest.approx(2 * 32 * 32 * 128 * 3 / 494.7e12)
    assert fine["tile"]["special_functions"] == 128
    assert fine["tile"]["written_bytes"] == 512
    assert fine["n_programs"] == 8
    assert fine["inner_loop_instructions"] is None
    assert fine["instructions"]["special"] == 1  # a thread has one element
    assert fine["model_not_measurement"]["memory_bytes"] == 4000
    text = (tmp_path / "table.md").read_text()
    assert "a model, not a measurement" in text
    assert "| product_kernel | good | one | sm_90 |" in text


def test_nothing_to_prove_is_a_failure(tmp_path) -> None:
    done = run(["-c", PROGRAM.format(names=[], arguments=[])], tmp_path)
    assert done.returncode == 1
    assert "0 kernels in 0 variants" in done.stdout


def test_the_interpreters_kernels_are_refused() -> None:
    """A kernel decorated under TRITON_INTERPRET is not what a GPU compiles."""
    if interpreting():
        launch = cases.cases()[0].launches[0]
        configuration = launch.kernel.configurations["sm_80"][0]
        with pytest.raises(RuntimeError, match="TRITON_INTERPRET: expected it unset"):
            compiling.specialise(launch, configuration, "sm_80")


def test_every_kernel_is_among_the_cases() -> None:
    launched = {launch.kernel.name for case in cases.cases() for launch in case.launches}
    assert launched == set(cases.kernels())
    assert len(launched) >= 19


def test_a_kernel_outside_of_every_list_is_found(monkeypatch) -> None:
    from fastgan.kernels import dropout

    monkeypatch.setattr(dropout, "another_kernel", object(), raising=False)
    with pytest.raises(ValueError, match=r"expected a Kernel of another_kernel in fastgan\.kern"):
        cases.kernels()


STEPS = """
import torch
from fastgan import backends, recipes
from fastgan.fused.step import FusedStep
from fastgan.kernels.aot import proof, cases
from fastgan.kernels.aot.noting import Case
from fastgan.kernels.launch import recording
from fastgan.models import Discriminator, Generator

backends._check_triton = lambda operation, device: None
known = {v.key for v in proof.variants(cases.cases(), ["sm_80"])}
for recipe in (recipes.MNIST, recipes.DIGITS, recipes.MNIST.replace(schedule="alternating", k=2)):
    pair = Generator(recipe), Discriminator(recipe)
    step = FusedStep(*pair, recipe, impl="triton")
    images = torch.zeros(4 * recipe.batch_size, recipe.n_features)
    step.begin_epoch(images, torch.arange(len(images)))
    with recording() as launches:
        for _ in range(2):
            step.next_batch()
    assert len(launches) > 20, len(launches)
    for variant in proof.variants([Case(recipe.name, launches)], ["sm_80"]):
        if variant.key not in known:
            print("not compiled:", variant.name, variant.key)
"""


def test_what_a_step_launches_is_among_the_cases(tmp_path) -> None:
    done = run(["-c", STEPS], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "", done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_configuration_compiles_within_limits(compiled_kernels) -> None:
    """For architectures that need not be here, at the real sizes of the recipes."""
    found = json.loads(compiled_kernels.read_text())["variants"]
    shown = {(v["kernel"], v["architecture"], v["configuration"]) for v in found}
    shipped = {
        (kernel.name, architecture, configuration.name)
        for kernel in cases.kernels().values()
        for architecture in ARCHITECTURES
        for configuration in kernel.configurations[architecture]
    }
    assert shown == shipped
    meant = {"sm_80": ("HMMA",), "sm_90": ("HMMA", "HGMMA"), "gfx942": ("v_mfma_f32",)}
    meant["sm_100"] = ("HMMA", "UTCHMMA")
    for variant in found:
        name = (variant["kernel"], variant["configuration"], variant["architecture"])
        if "PRECISION" in variant["constants"] and "float64" not in variant["cases"][0]:
            opcodes = variant["tensor_core_opcodes"]
            assert opcodes, name
            assert all(o.startswith(meant[variant["architecture"]]) for o in opcodes), name
            assert variant["inner_loop_instructions"]["tensor_core"] > 0, name
            assert variant["tile"]["product_flops"] > 0, name
            assert variant["tile"]["bounds_known"], name
            precision = "ieee" if variant["architecture"] == "gfx942" else "tf32x3"
            assert variant["tile"]["precision"] in (precision, "bf16x6"), name
        assert variant["model_not_measurement"]["seconds"] > 0, name
