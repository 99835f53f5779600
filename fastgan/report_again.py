"""The end of the report: what to type to do it again, the whole recipe, versions and machine."""

from __future__ import annotations

import platform
from html import escape

import numpy as np
import torch

import fastgan
from fastgan import backends
from fastgan import report_parts as parts
from fastgan.report_inputs import Shown


def again(shown: Shown) -> str:
    """Return commands, the recipe's file, versions and machine."""
    facts = [("fastgan", fastgan.__version__), *_environment()]
    if shown.source is not None:
        facts.append(("data", shown.source))
    if shown.evaluation is not None:
        facts.append(("evaluation took", parts.duration(shown.evaluation.seconds)))
    commands = "\n".join(shown.commands)
    return "\n".join(
        (
            parts.folded("Commands", f"<pre>{escape(commands)}</pre>", is_open=True),
            parts.folded(
                f"Recipe {shown.recipe.name}, the file recipe.toml",
                f"<pre>{escape(shown.recipe_text)}</pre>",
            ),
            parts.folded("Versions and machine", parts.facts_table(facts)),
        )
    )


def _environment() -> list[tuple[str, str]]:
    return [
        ("Python", platform.python_version()),
        ("PyTorch", str(torch.__version__)),
        ("NumPy", np.__version__),
        ("system", f"{platform.system()} {platform.machine()}"),
        ("vector instructions", backends.simd_level()),
        ("threads", str(torch.get_num_threads())),
    ]
