"""Generative Adversarial Nets (Goodfellow et al., 2014): train, evaluate, look.

Public names are resolved when they are first used, so that ``import fastgan`` stays light: it
imports neither triton nor matplotlib, touches no GPU and sets no global flag of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastgan import ops as ops
    from fastgan import recipes as recipes
    from fastgan import theory as theory
    from fastgan.algorithm_1 import compare_algorithm_1 as compare_algorithm_1
    from fastgan.data import Dataset as Dataset
    from fastgan.data import load_dataset as load_dataset
    from fastgan.data import load_folds as load_folds
    from fastgan.estimators import ParzenWindow as ParzenWindow
    from fastgan.evaluation import Evaluation as Evaluation
    from fastgan.evaluation import FoldEvaluation as FoldEvaluation
    from fastgan.evaluation import evaluate as evaluate
    from fastgan.evaluation import evaluate_folds as evaluate_folds
    from fastgan.helvetica import diagnose_helvetica as diagnose_helvetica
    from fastgan.helvetica_result import Helvetica as Helvetica
    from fastgan.layers import MaxoutLinear as MaxoutLinear
    from fastgan.manifold_metrics import DensityCoverage as DensityCoverage
    from fastgan.manifold_metrics import PrecisionRecall as PrecisionRecall
    from fastgan.manifold_metrics import density_coverage as density_coverage
    from fastgan.manifold_metrics import precision_recall as precision_recall
    from fastgan.memorisation import check_memorisation as check_memorisation
    from fastgan.memorisation_result import Memorisation as Memorisation
    from fastgan.models import Discriminator as Discriminator
    from fastgan.models import Generator as Generator
    from fastgan.neighbor_index import NeighborIndex as NeighborIndex
    from fastgan.ops.neighbors import nearest_neighbors as nearest_neighbors
    from fastgan.ops.parzen import parzen_log_likelihood as parzen_log_likelihood
    from fastgan.parzen_stream import ParzenStream as ParzenStream
    from fastgan.recipes import Recipe as Recipe
    from fastgan.restarts import train_with_restarts as train_with_restarts
    from fastgan.steps import make_step as make_step
    from fastgan.table_1_entries import table_1 as table_1
    from fastgan.training import train as train
    from fastgan.two_sample import TwoSampleTest as TwoSampleTest
    from fastgan.two_sample import (
        nearest_neighbor_two_sample_test as nearest_neighbor_two_sample_test,
    )

# name -> module that defines it (None: the name is itself a submodule)
_PUBLIC: dict[str, str | None] = {
    "Dataset": "fastgan.data",
    "DensityCoverage": "fastgan.manifold_metrics",
    "Discriminator": "fastgan.models",
    "Evaluation": "fastgan.evaluation",
    "FoldEvaluation": "fastgan.evaluation",
    "Generator": "fastgan.models",
    "Helvetica": "fastgan.helvetica_result",
    "MaxoutLinear": "fastgan.layers",
    "Memorisation": "fastgan.memorisation_result",
    "NeighborIndex": "fastgan.neighbor_index",
    "ParzenStream": "fastgan.parzen_stream",
    "ParzenWindow": "fastgan.estimators",
    "PrecisionRecall": "fastgan.manifold_metrics",
    "Recipe": "fastgan.recipes",
    "TwoSampleTest": "fastgan.two_sample",
    "check_memorisation": "fastgan.memorisation",
    "compare_algorithm_1": "fastgan.algorithm_1",
    "density_coverage": "fastgan.manifold_metrics",
    "diagnose_helvetica": "fastgan.helvetica",
    "evaluate": "fastgan.evaluation",
    "evaluate_folds": "fastgan.evaluation",
    "load_dataset": "fastgan.data",
    "load_folds": "fastgan.data",
    "make_step": "fastgan.steps",
    "nearest_neighbor_two_sample_test": "fastgan.two_sample",
    "nearest_neighbors": "fastgan.ops.neighbors",
    "ops": None,
    "parzen_log_likelihood": "fastgan.ops.parzen",
    "precision_recall": "fastgan.manifold_metrics",
    "recipes": None,
    "table_1": "fastgan.table_1_entries",
    "theory": None,
    "train": "fastgan.training",
    "train_with_restarts": "fastgan.restarts",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fastgan' has no attribute {name!r}")
    module = _PUBLIC[name]
    if module is None:
        value: Any = importlib.import_module(f"fastgan.{name}")
    else:
        value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
