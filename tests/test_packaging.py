"""What is shipped: a wheel and an editable install, whole, typed, and built for any processor."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import types
import zipfile
from pathlib import Path

import pytest

import fastgan
from fastgan import _core

ROOT = Path(__file__).parents[1]
LEVELS = ("avx2", "avx512", "avx512_vnni")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads ELF objects")


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheel once, with this environment's own build tools, and keep the build folder.

    FASTGAN_BUILT names a folder that holds both already: the wheel under test and ``build``.
    """
    if os.environ.get("FASTGAN_BUILT"):
        folder = Path(os.environ["FASTGAN_BUILT"])
        (wheel,) = folder.glob("*.whl")
        return {"wheel": wheel, "build": folder / "build"}
    for tool in ("scikit_build_core", "pybind11"):
        pytest.importorskip(tool, reason="pip install '.[test]' brings the build tools")
    folder = tmp_path_factory.mktemp("built")
    build = folder / "build"
    run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet",
        f"--config-settings=build-dir={build}", "--wheel-dir", folder, ROOT,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return {"wheel": wheel, "build": build}


@pytest.mark.slow
def test_wheel_is_whole(built: dict[str, Path], tmp_path: Path) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    for wanted in ("__init__.py", "py.typed", "_core.pyi", "kernels/__init__.py", "cli.py"):
        assert f"fastgan/{wanted}" in names
    sources = {p.relative_to(ROOT).as_posix() for p in (ROOT / "fastgan").rglob("*.py")}
    kernels = {f"fastgan/kernels/{p.name}" for p in (ROOT / "kernels").glob("*.py")}
    assert sources | kernels <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for name in names:
        assert name.startswith(("fastgan/", "fastgan-")), name
        assert not name.endswith((".cpp", ".h", ".txt.in", ".md")), name
    python, site = environment_of_its_own(tmp_path)
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps",
        "--ignore-installed", built["wheel"])  # fmt: skip
    assert all(Path(path).is_relative_to(site) for path in imported_files(python, tmp_path))


@pytest.mark.slow
def test_editable_install_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="pip install '.[test]' brings the build tools")
    python, site = environment_of_its_own(tmp_path)
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-build-isolation", "--ignore-installed",
        f"--config-settings=build-dir={tmp_path / 'build'}",
        "--config-settings=cmake.define.FASTGAN_X86_LEVELS=OFF",  # a quarter of the compilation
        "--editable", ROOT,
    )  # fmt: skip
    init, core, kernels = imported_files(python, tmp_path)
    assert Path(init) == ROOT / "fastgan" / "__init__.py"
    assert Path(kernels) == ROOT / "kernels" / "__init__.py"
    assert Path(core).is_relative_to(site)


def environment_of_its_own(folder: Path) -> tuple[Path, Path]:
    """Make a virtual environment that sees this one's packages, but not its editable installs.

    Packages of its own come first; .pth files of the outer environment do not count here.
    """
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(run(python, "-c", "import sysconfig as s; print(s.get_path('purelib'))").strip())
    (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python, site


def imported_files(python: Path, folder: Path) -> list[str]:
    code = (
        "import json, fastgan, fastgan._core, fastgan.kernels, fastgan.ops;"
        "print(json.dumps([m.__file__ for m in (fastgan, fastgan._core, fastgan.kernels)]))"
    )
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return json.loads(run(python, "-c", code, cwd=folder, env=clean))


@pytest.mark.slow
def test_nothing_is_built_for_this_processor_alone(built: dict[str, Path]) -> None:
    commands = json.loads((built["build"] / "compile_commands.json").read_text())
    assert len(commands) > 10
    for entry in commands:
        words = entry["command"].split()
        level = re.search(r"-DFASTGAN_LEVEL=(\w+)", entry["command"])
        machine = [w for w in words if w.startswith(("-m", "/arch:")) and w != "-march=x86-64"]
        if level is None or level[1] == "portable":
            assert not machine, entry
        assert not [w for w in words if re.fullmatch(r"-m(arch|cpu|tune)=native", w)], entry
        assert not {"-Ofast", "-ffast-math", "-fopenmp", "/fp:fast", "/openmp"} & set(words), entry


@on_linux
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
def test_portable_code_uses_no_wide_registers(built: dict[str, Path]) -> None:
    objects = list(built["build"].rglob("*.o"))
    wide = {path: wide_registers(path) for path in objects}
    portable = [p for p in objects if not re.search(r"kernels_avx", p.as_posix())]
    assert len(portable) >= 5
    assert not [p.name for p in portable if wide[p]]
    if "FASTGAN_X86_LEVELS=1" in (built["build"] / "compile_commands.json").read_text():
        assert any(wide.values())  # the search finds them where they are


def wide_registers(path: Path) -> bool:
    return re.search(r"%[yz]mm", run("objdump", "-d", "--no-show-raw-insn", path)) is not None


@on_linux
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_levels_share_no_function(built: dict[str, Path]) -> None:
    """A linker keeps one copy of a weak function: the AVX-512 one would then run everywhere."""
    leaked = []
    for path in built["build"].rglob("*.o"):
        level = re.search(r"kernels_(avx\w+)\.dir", path.as_posix())
        if level:
            for line in run("nm", "--demangle", "--defined-only", path).splitlines():
                kind, name = line[17:].split(" ", 1)
                if kind in "WT" and f"fastgan::{level[1]}::" not in name:
                    leaked.append(f"{path.name}: {name}")
    assert not leaked


@on_linux
@pytest.mark.skipif(shutil.which("ldd") is None, reason="needs ldd")
def test_no_second_openmp_is_linked() -> None:
    libraries = run("ldd", _core.__file__)
    assert not re.search(r"gomp|iomp|libomp|libtorch", libraries)


def test_tree_asks_for_no_machine_of_its_own() -> None:
    files = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml", *(ROOT / "csrc").rglob("*.*")]
    for path in files:
        if path.suffix != ".md":
            code = re.sub(r"(#|//).*", "", path.read_text(encoding="utf-8"))
            assert not re.search(r"(march|mcpu|mtune)=native|-Ofast|-ffast-math", code), path


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == fastgan.__version__ == _core.__version__


def test_stub_names_what_the_module_holds() -> None:
    tree = ast.parse((ROOT / "fastgan" / "_core.pyi").read_text(encoding="utf-8"))
    stub = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            a = node.args
            stub[node.name] = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            stub[node.target.id] = None
    functions = {k: v for k, v in vars(_core).items() if isinstance(v, types.BuiltinFunctionType)}
    assert set(stub) - {"__version__"} == set(functions)
    for name, function in functions.items():
        # pybind11 writes the signature, arguments named as bound, into the docstring's first line.
        signature = function.__doc__.splitlines()[0]
        bound = re.findall(r"[(,] ?(\w+): ", signature)
        assert bound == stub[name], signature


def test_constraints_pin_every_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)[0].lower()
        assert name == "fastgan" or name in pins, requirement
    assert all(re.fullmatch(r"[\d.]+", version) for version in pins.values())
