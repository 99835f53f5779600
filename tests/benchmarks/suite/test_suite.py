"""One command measures, keeps each part as it ends, goes on, and writes the document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastgan.data import locate


@pytest.fixture
def main(suite: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the command, where no data set is at hand."""
    monkeypatch.delenv("FASTGAN_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda name: Path("absent") / name)
    return sys.modules["benchmarks.suite.__main__"].main


def test_the_document_holds_what_was_measured(suite: ModuleType, main: Any, tmp_path: Path) -> None:
    only = "dropout,neighbors:noise,scaling:neighbors:1-thread,scaling:training_step"
    assert main(["--quick", "--only", only, "--work", str(tmp_path)]) == 0
    found = suite.document.Document.read(tmp_path / "results")
    assert [part["name"] for part in found.parts] == [
        "dropout",
        "neighbors:noise",
        "scaling:neighbors:1-thread",
        "scaling:training_step:1-thread",
        "scaling:training_step:2-threads",
        "scaling:training_step:2-processes",
    ]
    assert not found.is_quiet  # --quick never is
    assert found.command == f"python -m benchmarks.suite --quick --only {only}"
    part = found.part("neighbors:noise")
    assert part["command"] == (
        "python -m benchmarks.run neighbors:noise --quick --no-compile --rounds 1"
    )
    ours = found.row("neighbors:noise", "fastgan")
    assert ours["seconds"] > 0
    assert ours["error"] <= ours["bound"]
    points = found.points("neighbors")
    assert [(p["n_features"], p["n_samples"]) for p in points] == [
        (16, 300),
        (16, 2_000),
        (64, 300),
        (64, 2_000),
    ]
    assert all(p["low"] <= p["seconds"] <= p["high"] and p["error"] <= 1e-13 for p in points)
    steps = found.points("training_step")
    assert [(step["n_threads"], step["n_processes"]) for step in steps] == [(1, 1), (2, 1), (1, 2)]
    assert all(step["seconds"] > 0 for step in steps)
    assert [step["floor_seconds"] is None for step in steps] == [False, False, True]
    page = (tmp_path / "results" / "README.md").read_text(encoding="utf-8")
    assert "Other programs ran meanwhile" in page
    assert "**Not measured:** philox, linear:forward" in page
    for name in ("pieces", "scaling-neighbors"):
        for theme in ("", "-dark"):
            content = (tmp_path / "results" / f"{name}{theme}.png").read_bytes()
            assert content.startswith(b"\x89PNG")
    assert not (tmp_path / "results" / "parzen.png").exists()


def test_it_goes_on_where_it_was_cut(
    suite: ModuleType, main: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--quick", "--only", "dropout,philox", "--work", str(tmp_path)]
    assert main(arguments) == 0
    kept = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert set(kept) == {"dropout.json", "philox.json"}
    # one was defined otherwise, one never ended
    old = json.loads(kept["philox.json"])
    old["definition"]["contenders"][0].pop()
    (tmp_path / "parts" / "philox.json").write_text(json.dumps(old), encoding="utf-8")
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    told = capsys.readouterr().err
    assert "1 of 1: philox ..." in told
    assert (tmp_path / "parts" / "dropout.json").read_bytes() == kept["dropout.json"]
    assert main([*arguments, "--resume"]) == 0
    assert " of 1: " not in capsys.readouterr().err


def test_a_wrong_result_leaves_no_part(
    suite: ModuleType, main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--quick", "--only", "neighbors:noise", "--work", str(tmp_path)]
    assert main(arguments) == 0
    from benchmarks import bench_neighbors

    monkeypatch.setattr(bench_neighbors, "bound", lambda n_features: -1.0)
    assert main(arguments) == 1
    assert not (tmp_path / "parts" / "neighbors-noise.json").exists()


def test_a_document_with_parts_missing_must_be_asked_for(
    suite: ModuleType, main: Any, made_up: Any, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    parts = tmp_path / "parts"
    rows = [{**row, "machine": {}} for row in made_up.part("dropout")["rows"]]
    suite.document.write_part({**made_up.part("dropout"), "rows": rows}, parts / "dropout.json")
    arguments = ["--resume", "--only", "dropout", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "these parts are missing: philox, linear:forward" in capsys.readouterr().err
    assert not (tmp_path / "results.json").exists()


def test_unknown_parts_are_refused(
    suite: ModuleType, main: Any, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--only", "parzen,dropuot"])
    assert raised.value.code == 2
    assert "no part is named 'dropuot'; expected some of philox, dropout" in capsys.readouterr().err


def test_every_case_is_a_part(suite: ModuleType) -> None:
    names = {part.name for part in suite.parts.PARTS if part.kind == "bench"}
    assert names == suite.parts.all_cases()
    assert len(suite.parts.PARTS) == len({part.name for part in suite.parts.PARTS})


def test_the_plan_is_about_an_hour(
    suite: ModuleType, main: Any, capsys: pytest.CaptureFixture
) -> None:
    assert main(["--list"]) == 0
    *_, last = capsys.readouterr().out.strip().splitlines()
    assert last.split()[1:] == ["min", "in", "all"]
    assert float(last.split()[0]) == pytest.approx(
        sum(part.minutes for part in suite.parts.PARTS), abs=0.06
    )


def test_folders_of_this_machine_stay_out_of_the_document(suite: ModuleType) -> None:
    command = sys.modules["benchmarks.suite.__main__"]
    given = ["--run", "/somewhere/run", "--resume", "--work=/else", "--out", "/there", "--noisy"]
    assert command.public(given) == ["--resume", "--noisy"]
    (part,) = suite.parts.chosen("training_step:mnist:trained")
    inputs = suite.parts.Inputs(Path("/somewhere/run"), Path("/else/samples.npy"))
    assert command.command_of(part, inputs) == (
        "python -m benchmarks.run training_step:mnist:trained --rounds 15 --budget 20 --run RUN"
    )


def test_a_busy_machine_is_not_quiet(suite: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.suite import quiet

    ticks = iter([(1_000, 900), (1_100, 910)])
    monkeypatch.setattr(quiet, "_times", lambda: next(ticks))
    share = quiet.busy_share(0.0)
    assert share == pytest.approx(0.9)
    assert not quiet.is_quiet(share)
    assert quiet.is_quiet(0.02)
    monkeypatch.setattr(quiet, "_times", lambda: None)
    assert quiet.busy_share(0.0) is None
    assert quiet.is_quiet(None)


def test_what_the_kernel_counts_is_read(
    suite: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from benchmarks.suite import quiet

    stat = tmp_path / "stat"
    stat.write_text("cpu  10 1 5 80 4 0 0 0 7 0\ncpu0 5 0 2 40 2 0 0 0 3 0\n", encoding="ascii")
    monkeypatch.setattr(quiet, "STAT", stat)
    assert quiet._times() == (100, 84)


@pytest.mark.parametrize("is_safe", [True, False])
def test_a_part_in_a_process_of_its_own(
    suite: ModuleType, tmp_path: Path, is_safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python may keep a script's folder out of its path, as these tests do, or not."""
    if not is_safe:
        monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    launch = sys.modules["benchmarks.suite.__main__"].LAUNCH
    command = [sys.executable, str(launch), "run", "dropout", "--quick", "--no-compile"]
    command += ["--out", str(tmp_path), "--name", "found"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
