"""A run folder with all that a report can show, and a reader of the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import torch

from fastgan.data import Dataset
from fastgan.evaluation import Evaluation
from fastgan.figures import sample_grid
from fastgan.helvetica import diagnose_helvetica
from fastgan.memorisation import check_memorisation
from fastgan.models import Generator
from fastgan.report import write_report
from fastgan.report_inputs import FIGURE_2, FIGURE_3, NEAREST_PAIRS
from fastgan.scores import FoldEvaluation
from fastgan.walk import write_walk

VOID = {"meta", "img", "source", "br", "link", "input"}


class Page(HTMLParser):
    """Collects what a page loads and says, and checks that its elements close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.images, self.words, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.addresses += [given[key] for key in ("src", "srcset", "href") if key in given]
        if tag == "img":
            self.images.append(given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def evaluation(**changes):
    values = {
        "dataset": "digits",
        "comparable_to": None,
        "n_samples": 10_000,
        "n_test": 300,
        "n_validation": 297,
        "n_features": 64,
        "sigma": 0.2,
        "sigmas": (0.1, 0.2, 0.3),
        "validation_means": (-5.0, 21.5, 3.0),
        "at_edge": False,
        "sigma_variant": "paper",
        "mean": -1234.56,
        "standard_error": 1.96,
        "sample_standard_error": 0.37,
        "n_blocks": 50,
        "seed": 0,
        "sample_range": (0.0, 1.0),
        "data_range": (0.0, 1.0),
        "seconds": 61.0,
    }
    return Evaluation(**(values | changes))


def complete(run, found):
    """Give a run all that a report can show."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, 64, generator=generator) for n in (40, 10, 30)]
    dataset = Dataset("digits", *parts, image_shape=(8, 8, 1))
    by_folds = isinstance(found, FoldEvaluation)
    (run.folds_path if by_folds else run.evaluation_path).write_text(found.to_json())
    samples = torch.cat([parts[0][:3], parts[1]])
    memorised = check_memorisation(samples, dataset)
    run.memorisation_path.write_text(memorised.to_json())
    run.helvetica_path.write_text(diagnose_helvetica(samples, dataset).to_json())
    run.figures_folder.mkdir()
    write_walk(Generator(run.recipe), dataset, run.figures_folder, n_lines=3, n_steps=4)
    for name in (FIGURE_2, FIGURE_3, NEAREST_PAIRS):
        sample_grid(parts[0], dataset, run.figures_folder / name)
    for epoch in (1, 2, 3, 9, 10, 11):
        sample_grid(parts[0][:4], dataset, run.samples_folder / f"epoch-{epoch:04d}.png")
    return memorised


def page_of(run, **options):
    path = write_report(run, **options)
    assert path == run.report_path
    return path.read_text(encoding="utf-8")
