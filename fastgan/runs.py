"""What a run leaves, and reading it back.

``runs/<recipe>/<name>/`` holds ``recipe.toml`` (all of the recipe, the seed too), ``metrics.jsonl``
(an object for each epoch, and one for each warning), ``checkpoint.safetensors``, ``samples/*.png``,
and what evaluation and report add: ``evaluation.json``, ``figures/*.png``, ``report.html``.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from torch import nn

from fastgan.checkpoints import Checkpoint, explained, load_checkpoint, read_status
from fastgan.collapse import is_collapsed
from fastgan.files import write_atomically
from fastgan.models import Discriminator, Generator
from fastgan.recipe_files import read_recipe, recipe_to_toml
from fastgan.recipes import Recipe


class Run:
    """A run folder.

    Use :meth:`open` for one that exists; :func:`fastgan.train` returns one.

    Attributes
    ----------
    folder : Path
    recipe : Recipe
    """

    def __init__(self, folder: str | os.PathLike[str], recipe: Recipe) -> None:
        self.folder = Path(folder)
        self.recipe = recipe
        self._generator: nn.Module | None = None

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Run:
        """Open an existing run folder; FileNotFoundError or ValueError says what is wrong."""
        path = Path(folder)
        if not (path / "recipe.toml").is_file():
            raise FileNotFoundError(f"folder: {path} holds no run (there is no recipe.toml in it)")
        return cls(path, read_recipe(path / "recipe.toml"))

    @classmethod
    def create(cls, folder: str | os.PathLike[str], recipe: Recipe) -> Run:
        """Make a run folder, or take an empty one; OSError says why it cannot be written."""
        run = cls(folder, recipe)
        with explained(run.folder):
            run.folder.mkdir(parents=True, exist_ok=True)
            run.samples_folder.mkdir(exist_ok=True)
        run.write_recipe()
        return run

    @property
    def recipe_path(self) -> Path:
        """``recipe.toml``."""
        return self.folder / "recipe.toml"

    @property
    def metrics_path(self) -> Path:
        """``metrics.jsonl``."""
        return self.folder / "metrics.jsonl"

    @property
    def checkpoint_path(self) -> Path:
        """``checkpoint.safetensors``."""
        return self.folder / "checkpoint.safetensors"

    @property
    def samples_folder(self) -> Path:
        """``samples``: a grid of samples for each evaluated epoch."""
        return self.folder / "samples"

    @property
    def figures_folder(self) -> Path:
        """``figures``."""
        return self.folder / "figures"

    @property
    def evaluation_path(self) -> Path:
        """``evaluation.json``."""
        return self.folder / "evaluation.json"

    @property
    def report_path(self) -> Path:
        """``report.html``."""
        return self.folder / "report.html"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The epochs' records, in order.

        Always: ``epoch``, ``step`` (batches so far); ``discriminator_cost``, ``generator_cost``,
        ``real_probability``, ``fake_probability`` (means over the epoch's images, dropout on);
        ``sample_mean`` and ``sample_deviation`` (over z, mean over pixels) of 1,000 samples;
        ``learning_rate`` and ``momentum`` of the last update; ``seconds`` of training so far.
        Where the epoch was evaluated: ``validation_log_likelihood`` (nats) and ``sigma``.
        """
        return [record for record in read_metrics(self.metrics_path) if "warning" not in record]

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """The warnings' records: epoch, step, warning (its kind) and message."""
        return [record for record in read_metrics(self.metrics_path) if "warning" in record]

    @property
    def status(self) -> str:
        """How the run stands.

        ``finished``; ``interrupted`` (by the user); ``stopped`` (by the collapse watch);
        ``diverged``; ``running``, which is also what a killed run says; ``new`` before the first
        checkpoint.
        """
        return read_status(self.checkpoint_path) if self.checkpoint_path.is_file() else "new"

    @property
    def collapsed(self) -> bool:
        """Whether the samples hardly varied with z at the end of the last epoch."""
        records = self.metrics
        return bool(records) and is_collapsed(records[-1])

    @property
    def generator(self) -> nn.Module:
        """The trained generator: of the run just made, or read from the checkpoint."""
        if self._generator is None:
            self._generator = self.load_generator()
        return self._generator

    @generator.setter
    def generator(self, module: nn.Module) -> None:
        self._generator = module

    def load_checkpoint(self) -> Checkpoint:
        """Read the checkpoint; FileNotFoundError if there is none yet, ValueError if damaged."""
        if not self.checkpoint_path.is_file():
            raise FileNotFoundError(f"folder: {self.folder} holds no checkpoint yet")
        return load_checkpoint(self.checkpoint_path)

    def load_generator(self, module: nn.Module | None = None) -> nn.Module:
        """Read the generator's weights into ``module``, or into a new one of the recipe."""
        return self._load(module or Generator(self.recipe), "generator.")

    def load_discriminator(self, module: nn.Module | None = None) -> nn.Module:
        """Read the discriminator's weights into ``module``, or into a new one of the recipe."""
        return self._load(module or Discriminator(self.recipe), "discriminator.")

    def _load(self, module: nn.Module, prefix: str) -> nn.Module:
        state = self.load_checkpoint().state
        own = {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
        expected = module.state_dict()
        for name in sorted(expected.keys() ^ own.keys()):
            where = "missing from" if name in expected else "unknown to the module but in"
            raise ValueError(f"{self.checkpoint_path}: {prefix}{name} is {where} the checkpoint")
        for name, value in expected.items():
            if own[name].shape != value.shape:
                raise ValueError(
                    f"{self.checkpoint_path}: {prefix}{name}: expected shape {tuple(value.shape)}, "
                    f"got {tuple(own[name].shape)}"
                )
        module.load_state_dict(own)
        return module.eval()

    def write_recipe(self) -> None:
        """Write ``recipe.toml``."""
        with explained(self.recipe_path):
            write_atomically(self.recipe_path, recipe_to_toml(self.recipe).encode())

    def append_metrics(self, record: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``; numbers that are not finite become null."""
        line = json.dumps({key: _finite_or_none(value) for key, value in record.items()})
        with explained(self.metrics_path), self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def flush_metrics(self) -> None:
        """Bring ``metrics.jsonl`` to the disk; a checkpoint must never be newer than its lines."""
        if self.metrics_path.is_file():
            with explained(self.metrics_path), self.metrics_path.open("rb+") as file:
                os.fsync(file.fileno())

    def cut_metrics(self, update: int) -> None:
        """Keep the whole lines up to a step, so that no line is torn or doubled after a resume."""
        kept = [record for record in read_metrics(self.metrics_path) if record["step"] <= update]
        content = "".join(json.dumps(record) + "\n" for record in kept)
        with explained(self.metrics_path):
            write_atomically(self.metrics_path, content.encode())


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a ``metrics.jsonl``; none if there is no file.

    Only the last line may be torn (a run killed while it wrote); ValueError if another is.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last \n is torn
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) - 1:
                break
            raise ValueError(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise ValueError(f"{path}: line {number}: expected an object with a step")
        records.append(record)
    return records


def holds_run(folder: Path) -> bool:
    """Say whether there is anything of a run in a folder."""
    names = ("recipe.toml", "metrics.jsonl", "checkpoint.safetensors")
    return any((folder / name).exists() for name in names)


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
