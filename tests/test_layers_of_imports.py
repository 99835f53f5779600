"""Dependencies point one way, and ``import fastgan`` is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import modules of its own layer or a lower one, and no cycle is allowed.
# The first name that fits counts; what is not listed fails the test, so that it gets a place.
LAYERS = [
    {"_core", "kernels", "files", "published", "streams", "checks", "progress", "interruption"}
    | {"failures", "themes", "plots", "flat_json", "batches", "_sklearn", "averaging", "theory"}
    | {"locks", "processes", "threads", "reading", "safetensors_files"},
    {"backends", "reference", "collapse", "jackknife", "parzen_stream_files"},
    {"ops", "parzen_blocks", "parzen_stream", "parzen_rounds", "parzen_of_stream"},
    {"recipes", "recipe_files", "data", "samples", "scores", "checkpoints", "best_weights"}
    | {"memorisation_result", "parzen_protocol", "streamed_evaluation", "evaluation_part"}
    | {"helvetica_result", "hit_statistics", "training_options"},
    {"layers", "costs", "convolutional"},
    {"models", "stages"},
    {"training_step", "autograd_step", "fused", "steps"},
    {"runs", "curves", "estimators", "evaluation", "figures", "memorisation", "training"}
    | {"manifold_metrics", "nearest_graph", "two_sample"}
    | {"memorisation_figure", "memorisation_pairs", "neighbor_index", "nearest_training"}
    | {"helvetica", "helvetica_figure", "walk"}
    | {"epoch_files", "epoch_record", "restarts", "kept_evaluation"}
    | {"training_files", "training_start"}
    | {"figure_1", "figure_1_pair", "figure_1_snapshot", "figure_1_training"}
    | {"figure_1_result", "figure_1_strip", "figure_1_animation"},
    {"comparison_figure", "table_1_result", "table_1_formats", "table_1_entries"},
    {"report_parts", "report_inputs", "report_score", "report_summary", "report_training"}
    | {"report_walk", "report_checks", "report_recipe", "report_again", "report"},
    {"algorithm_1"},
    {"reproduce", "tables", "fold_table", "mistakes", "memorisation_table", "helvetica_table"},
    {"cli", "cli_processes", "cli_shared", "cli_training", "cli_figure_1", "cli_algorithm_1"}
    | {"cli_evaluate", "cli_neighbors", "cli_table"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, Path]:
    """Return dotted name (without ``fastgan.``) -> file, for every module of the package."""
    found = {}
    for folder, prefix in ((ROOT / "fastgan", ()), (ROOT / "kernels", ("kernels",))):
        for path in folder.rglob("*.py"):
            parts = (*prefix, *path.relative_to(folder).with_suffix("").parts)
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if name:
                found[name] = path
    return found


def imported(path: Path, known: set[str], *, top_level_only: bool = False) -> set[str]:
    """Return the modules of the package that a file imports, those under TYPE_CHECKING left out."""
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            names.update(
                a.name.removeprefix("fastgan.") for a in node.names if "fastgan." in a.name
            )
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "fastgan":
                names.update(alias.name for alias in node.names)
            elif node.module and node.module.startswith("fastgan."):
                base = node.module.removeprefix("fastgan.")
                inner = {f"{base}.{alias.name}" for alias in node.names}
                names.update((inner & known) or {base})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return names - {"__version__"}


def test_imports_point_one_way() -> None:
    files = modules()
    wrong = [
        f"{name} -> {target}"
        for name, path in files.items()
        for target in imported(path, set(files))
        if RANK[target.split(".")[0]] > RANK[name.split(".")[0]]
    ]
    assert len(files) > 20
    assert not wrong


def test_imports_have_no_cycle() -> None:
    files = modules()
    graph = {n: imported(p, set(files), top_level_only=True) & set(files) for n, p in files.items()}
    while graph:
        free = {name for name, targets in graph.items() if not targets - {name}}
        assert free, f"a cycle among {sorted(graph)}"
        graph = {name: targets - free for name, targets in graph.items() if name not in free}


def test_kernels_import_only_torch_and_triton() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                targets = [node.module or ""]
            for target in targets:
                own = target == "fastgan.kernels" or target.startswith("fastgan.kernels.")
                first = target.split(".")[0]
                assert own or first in {"torch", "triton", *sys.stdlib_module_names}, (path, target)


def test_native_core_knows_neither_python_nor_torch() -> None:
    sources = [p for p in (ROOT / "csrc").rglob("*") if p.suffix in {".cpp", ".h"}]
    assert len(sources) > 10
    for path in sources:
        if path.parent.name != "bindings":
            text = path.read_text(encoding="utf-8")
            for word in ("pybind11", "Python.h", "torch/", "omp.h", "#pragma omp"):
                assert word not in text, (path, word)


LIGHT = """
import json, sys
import torch
before = (torch.get_num_threads(), torch.get_default_dtype(), torch.initial_seed(),
          torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
          torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32)
loaded = set(sys.modules)
import fastgan
{more}
after = (torch.get_num_threads(), torch.get_default_dtype(), torch.initial_seed(),
         torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(),
         torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32)
new = sorted({{name.split(".")[0] for name in set(sys.modules) - loaded}})
print(json.dumps([before == after, new, torch.cuda.is_initialized()]))
"""


@pytest.mark.parametrize(
    "more", ["", "import fastgan.ops, fastgan.models, fastgan.steps, fastgan.recipes"]
)
def test_import_is_light(more: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(more=more)],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    untouched, new, cuda = json.loads(done.stdout)
    assert untouched
    assert not cuda
    assert not {"triton", "matplotlib", "sklearn", "scipy", "typer", "rich", "pooch"} & set(new)


def test_import_fastgan_alone_does_not_import_torch(tmp_path: Path) -> None:
    code = "import sys, fastgan; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["False", "False"]


def test_every_public_name_resolves() -> None:
    import fastgan

    for name in fastgan.__all__:
        assert getattr(fastgan, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'parzen'"):
        _ = fastgan.parzen
