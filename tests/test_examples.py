"""Each example runs by itself, as a reader would start it, and says what it is there to say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastgan.data import load_dataset

EXAMPLES = Path(__file__).parents[1] / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


def run(name: str, folder: Path, *arguments: object) -> str:
    """Run an example away from the repository, warnings as errors; return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "FASTGAN_DATA"}
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)],
        capture_output=True, text=True, encoding="utf-8", cwd=folder, timeout=200,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return float(found.group(1).replace(",", ""))


def test_every_example_is_tested_and_listed() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    text = Path(__file__).read_text(encoding="utf-8")
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert len(names) == 3
    for name in names:
        assert f'run("{name}"' in text
        assert f"]({name})" in readme


def test_evaluate_your_samples(tmp_path: Path) -> None:
    said = run("evaluate_your_samples.py", tmp_path)
    score = number(r"test images: ([-\d.]+) nats an image", said)
    found = json.loads((tmp_path / "my-model" / "evaluation.json").read_text())
    assert score == pytest.approx(found["mean"], abs=0.06)
    assert found["n_samples"] == 10_000
    # a mixture is a good model of digits, and real images of which there are as many are better
    assert 20 < score < 45
    assert number(r"as many training images ([-\d.]+)", said) > number(
        r"samples ([-\d.]+), of", said
    )
    assert "varied as real images" in said or "varied than real images" in said
    row = next(line for line in said.splitlines() if line.startswith("mixture of 40 Gaussians "))
    assert f"{score:.1f}" in row
    assert re.search(r"Adversarial nets\s+225 ± 2\s+2057 ± 26", said)


def test_evaluate_samples_of_a_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((500, 64), dtype=np.float32)
    np.save(tmp_path / "mine.npy", noise)
    said = run(
        "evaluate_your_samples.py", tmp_path, "--samples", "mine.npy", "--name", "pure noise",
        "--out", "noise",
    )  # fmt: skip
    assert "digits, 500 samples" in said
    assert number(r"test images: ([-\d.]+) nats", said) < 0  # far from any digit
    assert "The Helvetica scenario" in said or "less varied than real images" in said.lower()
    assert re.search(r"^pure noise .*\d ± \d", said, re.MULTILINE)


def test_train_your_networks(tmp_path: Path) -> None:
    said = run("train_your_networks.py", tmp_path, "--epochs", 20, "--out", "run")
    before = number(r"log-likelihood: ([-\d.]+) nats untrained", said)
    after = number(r"untrained, ([-\d.]+) trained", said)
    assert after > before + 5
    assert said.count("validation log-likelihood") == 2
    assert "The Helvetica scenario" not in said
    assert "warnings: none" in said
    assert (tmp_path / "run" / "samples.png").read_bytes().startswith(PNG)
    assert (tmp_path / "run" / "checkpoint.safetensors").is_file()


def test_find_memorised_images(tmp_path: Path) -> None:
    said = run("find_memorised_images.py", tmp_path)
    assert "10 of 1,000 samples, 0 of 300 test images" in said
    assert "hidden copies: 20 of 20 found, 0 false alarms" in said
    listed = re.findall(r"sample +\d+: training image +\d+, distance ([\d.]+)", said)
    assert len(listed) == 20
    assert listed[:10] == ["0"] * 10
    assert all(0 < float(distance) < 0.15 for distance in listed[10:])
    assert (tmp_path / "distances.png").read_bytes().startswith(PNG)


def test_find_memorised_images_in_a_file(tmp_path: Path) -> None:
    digits = load_dataset("digits")
    np.save(tmp_path / "held_out.npy", digits.validation.numpy())
    said = run("find_memorised_images.py", tmp_path, "--samples", "held_out.npy", "--out", "x.png")
    n_suspects = number(r"([\d,]+) samples lie nearer than any test image", said)
    assert n_suspects <= 3  # real images never trained on: hardly any is nearer than all others
    assert "hidden copies" not in said
    assert (tmp_path / "x.png").is_file()
