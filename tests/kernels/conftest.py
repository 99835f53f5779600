"""Helpers of these tests are modules beside them, and the families of points of tests/ops.

All kernels are compiled while the other tests run: most of these leave a core idle for minutes.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "ops"):
    sys.path.insert(0, str(folder))

COMMAND = [sys.executable, "-m", "fastgan.kernels.aot", "--jobs", "1", "--output"]
ASKS_FOR_IT = "compiled_kernels"
COMPILER = pytest.StashKey[subprocess.Popen[bytes]]()
FOLDER = pytest.StashKey[Path]()


def asks_for_it(item: pytest.Item) -> bool:
    """Say whether a test needs all kernels compiled."""
    return ASKS_FOR_IT in getattr(item, "fixturenames", ())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what waits for the compiler last."""
    items.sort(key=asks_for_it)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the compiler, in a process of its own that yields to the tests."""
    if session.config.option.collectonly or not any(map(asks_for_it, session.items)):
        return
    folder = Path(tempfile.mkdtemp(prefix="fastgan-aot-"))
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    with (folder / "told").open("wb") as told:
        compiler = subprocess.Popen(
            [*COMMAND, str(folder / "table.json")],
            env={**kept, "TRITON_CACHE_DIR": str(folder / "cache")},
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.setpriority(os.PRIO_PROCESS, compiler.pid, 19)
    session.config.stash[COMPILER], session.config.stash[FOLDER] = compiler, folder


@pytest.fixture(scope="session")
def compiled_kernels(pytestconfig: pytest.Config) -> Path:
    """Return the table of all kernels, compiled for every architecture, as JSON."""
    code = pytestconfig.stash[COMPILER].wait()
    folder = pytestconfig.stash[FOLDER]
    assert code == 0, (folder / "told").read_text()
    return folder / "table.json"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave neither a compiler nor a file behind, also where the tests were interrupted."""
    compiler = config.stash.get(COMPILER, None)
    if compiler is None:
        return
    if compiler.poll() is None:
        os.killpg(compiler.pid, signal.SIGKILL)  # what it has started, too
        compiler.wait()
    shutil.rmtree(config.stash[FOLDER])
