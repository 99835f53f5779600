"""What a run leaves, and reading it back.

``runs/<recipe>/<name>/`` holds ``recipe.toml`` (all of the recipe, the seed too), ``metrics.jsonl``
(an object for each epoch, and one for each warning), ``checkpoint.safetensors``,
``best.safetensors`` (the model of the best validation epoch), ``samples/*.png``, and what
evaluation and report add: ``evaluation.json`` (``folds.json`` in its place where the data have
folds), ``memorisation.json``, ``helvetica.json``, ``figures/*.png``, ``report.html``; of other
weights than the model's ``evaluation-best.json`` and so on.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor, nn

from fastgan.averaging import PREFIX as AVERAGE
from fastgan.best_weights import BEST, BestEpoch, best_epoch, load_best
from fastgan.checkpoints import Checkpoint, explained, load_checkpoint, read_status
from fastgan.collapse import is_collapsed
from fastgan.files import write_atomically
from fastgan.models import Discriminator, Generator
from fastgan.reading import parse_json, read_small
from fastgan.recipe_files import read_recipe, recipe_to_toml
from fastgan.recipes import Recipe

STAGE_FOLDER = "stage-1"  # in a run's folder: the run of the stage before it

# Which of a run's generators: its model, which is the average of the weights where the recipe
# averages and else the weights that training ended with; the latter in any case; the model as it
# was at the best validation epoch.
Weights = Literal["model", "last", "best"]


class Run:
    """A run folder, seen with one of its generators.

    Use :meth:`open` for one that exists; :func:`fastgan.train` returns one.

    Attributes
    ----------
    folder : Path
    recipe : Recipe
    weights : {"model", "last", "best"}
        Whose weights :attr:`generator` has, and whom :attr:`evaluation_path`,
        :attr:`figures_folder` and :attr:`report_path` are of. ``model``: the average of the weights
        where the recipe averages, else the weights training ended with, which is the released
        code's rule; ``last``: those that training ended with; ``best``: the model at the epoch of
        the highest validation log-likelihood.
    """

    def __init__(
        self, folder: str | os.PathLike[str], recipe: Recipe, weights: Weights = "model"
    ) -> None:
        if weights not in get_args(Weights):
            raise ValueError(f"weights: expected one of model, last, best, got {weights!r}")
        self.folder = Path(folder)
        self.recipe = recipe
        self.weights: Weights = weights
        self._generator: nn.Module | None = None

    @classmethod
    def open(cls, folder: str | os.PathLike[str], weights: Weights = "model") -> Run:
        """Open an existing run folder; FileNotFoundError or ValueError says what is wrong."""
        path = Path(folder)
        if not (path / "recipe.toml").is_file():
            raise FileNotFoundError(f"folder: {path} holds no run (there is no recipe.toml in it)")
        return cls(path, read_recipe(path / "recipe.toml"), weights)

    @classmethod
    def create(cls, folder: str | os.PathLike[str], recipe: Recipe) -> Run:
        """Make a run folder, or take an empty one; OSError says why it cannot be written."""
        run = cls(folder, recipe)
        run.make()
        return run

    def make(self) -> None:
        """Make the run's folder, if it is not there, and write its recipe; OSError says why not."""
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.samples_folder.mkdir(exist_ok=True)
        self.write_recipe()

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
    def best_path(self) -> Path:
        """``best.safetensors``."""
        return self.folder / BEST

    @property
    def figures_folder(self) -> Path:
        """``figures``, or of other weights than the model's ``figures-last``, ``figures-best``."""
        return self._of_weights("figures", "")

    @property
    def evaluation_path(self) -> Path:
        """``evaluation.json``, or ``evaluation-last.json``, ``evaluation-best.json``."""
        return self._of_weights("evaluation", ".json")

    @property
    def folds_path(self) -> Path:
        """``folds.json`` and so on: in place of :attr:`evaluation_path` where data have folds."""
        return self._of_weights("folds", ".json")

    @property
    def evaluation_part_path(self) -> Path:
        """``evaluation.part.safetensors`` and so on: what an interrupted evaluation has kept."""
        return self._of_weights("evaluation", ".part.safetensors")

    @property
    def memorisation_path(self) -> Path:
        """``memorisation.json``, or ``memorisation-last.json``, ``memorisation-best.json``."""
        return self._of_weights("memorisation", ".json")

    @property
    def helvetica_path(self) -> Path:
        """``helvetica.json``, or ``helvetica-last.json``, ``helvetica-best.json``."""
        return self._of_weights("helvetica", ".json")

    @property
    def report_path(self) -> Path:
        """``report.html``, or ``report-last.html``, ``report-best.html``."""
        return self._of_weights("report", ".html")

    def _of_weights(self, stem: str, suffix: str) -> Path:
        chosen = "" if self.weights == "model" else f"-{self.weights}"
        return self.folder / f"{stem}{chosen}{suffix}"

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The epochs' records, in order.

        Always: ``epoch``, ``step`` (batches so far); ``discriminator_cost``, ``generator_cost``,
        ``real_probability``, ``fake_probability`` (means over the epoch's images, dropout on);
        ``sample_mean`` and ``sample_deviation`` (over z, mean over pixels) of 1,000 samples of the
        weights that are trained; ``learning_rate`` and ``momentum`` of the last update; ``seconds``
        of training so far. Where the epoch was evaluated: ``validation_log_likelihood`` (nats) and
        ``sigma`` of the model; where that is an average, also those of the weights that are
        trained, ``validation_log_likelihood_of_last_weights`` and ``sigma_of_last_weights``.
        """
        return [record for record in read_metrics(self.metrics_path) if "warning" not in record]

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """The warnings' records: epoch, step, warning (its kind) and message."""
        return [record for record in read_metrics(self.metrics_path) if "warning" in record]

    @property
    def first_stage(self) -> Run | None:
        """The run of the stage before this one, in a folder of this run's; None without one."""
        folder = self.folder / STAGE_FOLDER
        if self.recipe.first_stage is None or not holds_run(folder):
            return None
        return Run.open(folder)

    @property
    def training_seconds(self) -> float:
        """Seconds of training so far, evaluations left out, those of earlier stages counted."""
        first, records = self.first_stage, self.metrics
        own = float(records[-1]["seconds"]) if records else 0.0
        return own if first is None else own + first.training_seconds

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
        return bool(records) and is_collapsed(records[-1], self.recipe.collapse_first_epoch)

    @property
    def best_epoch(self) -> BestEpoch | None:
        """The epoch of the model's highest validation log-likelihood; None before the first."""
        return best_epoch(self.metrics)

    @property
    def generator(self) -> nn.Module:
        """The generator of :attr:`weights`: of the run just made, or read from the folder."""
        if self._generator is None:
            self._generator = self.load_generator()
        return self._generator

    @generator.setter
    def generator(self, module: nn.Module) -> None:
        self._generator = module

    @property
    def last_generator(self) -> nn.Module:
        """The generator with the weights that training ended with, read from the checkpoint."""
        return self.load_generator(weights="last")

    @property
    def best_generator(self) -> nn.Module:
        """The model at its best validation epoch, read from ``best.safetensors``."""
        return self.load_generator(weights="best")

    def load_checkpoint(self) -> Checkpoint:
        """Read the checkpoint; FileNotFoundError if there is none yet, ValueError if damaged."""
        if not self.checkpoint_path.is_file():
            raise FileNotFoundError(f"folder: {self.folder} holds no checkpoint yet")
        return load_checkpoint(self.checkpoint_path)

    def load_generator(
        self, module: nn.Module | None = None, weights: Weights | None = None
    ) -> nn.Module:
        """Read a generator's weights into ``module``, or into a new one of the recipe.

        ``weights`` is ``model``, ``last`` or ``best``, by default the run's. FileNotFoundError if
        they are not there yet, ValueError if they are damaged or do not fit the module.
        """
        weights = self.weights if weights is None else weights
        if weights not in get_args(Weights):
            raise ValueError(f"weights: expected one of model, last, best, got {weights!r}")
        module = module or Generator(self.recipe)
        if weights == "best":
            _, tensors = load_best(self.folder)
            return _put(module, tensors, self.best_path, "")
        prefix = AVERAGE if weights == "model" and self.recipe.averages else "generator."
        return self._load(module, prefix)

    def load_discriminator(self, module: nn.Module | None = None) -> nn.Module:
        """Read the discriminator's weights into ``module``, or into a new one of the recipe."""
        return self._load(module or Discriminator(self.recipe), "discriminator.")

    def _load(self, module: nn.Module, prefix: str) -> nn.Module:
        own = {
            name.removeprefix(prefix): value
            for name, value in self.load_checkpoint().state.items()
            if name.startswith(prefix)
        }
        return _put(module, own, self.checkpoint_path, prefix)

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


def _put(module: nn.Module, own: dict[str, Tensor], path: Path, prefix: str) -> nn.Module:
    expected = module.state_dict()
    for name in sorted(expected.keys() ^ own.keys()):
        where = "missing from" if name in expected else "unknown to the module but in"
        raise ValueError(f"{path}: {prefix}{name} is {where} the file")
    for name, value in expected.items():
        if own[name].shape != value.shape:
            raise ValueError(
                f"{path}: {prefix}{name}: expected shape {tuple(value.shape)}, "
                f"got {tuple(own[name].shape)}"
            )
    module.load_state_dict(own)
    return module.eval()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a ``metrics.jsonl``; none if there is no file.

    Only the last line may be torn (a run killed while it wrote); ValueError if another is, or
    lacks ``epoch`` or ``step``.
    """
    if not path.is_file():
        return []
    lines = read_small(path).decode("utf-8", "replace").split("\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last \n is torn
        try:
            record = parse_json(line, f"{path}: line {number}")
        except ValueError:
            if number == len(lines) - 1:
                break
            raise
        if not isinstance(record, dict):
            raise ValueError(f"{path}: line {number}: expected an object, got {record!r:.100}")
        for name in ("step", "epoch"):
            if type(record.get(name)) is not int:
                raise ValueError(
                    f"{path}: line {number}: {name}: expected a whole number, got "
                    f"{record.get(name, 'nothing')!r:.100}"
                )
        records.append(record)
    return records


def holds_run(folder: Path) -> bool:
    """Say whether there is anything of a run in a folder."""
    names = ("recipe.toml", "metrics.jsonl", "checkpoint.safetensors")
    return any((folder / name).exists() for name in names)


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
