"""``fastgan neighbors``: are samples memorised training images, and how varied are they."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fastgan.cli_shared import (
    Data,
    Folder,
    Impl,
    NSamples,
    Threads,
    Weights,
    dataset_of,
    read_samples,
    run_and_dataset,
    set_up,
    show,
)

EXAMPLES = (
    "Examples: `fastgan neighbors runs/mnist/seed-0`, `fastgan neighbors samples.npy --data mnist`"
)


def neighbors(
    run: Annotated[Path, typer.Argument(help="A run folder, or a .npy file of samples.")],
    data: Data = None,
    folder: Folder = None,
    n_samples: NSamples = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draws the samples.")] = None,
    weights: Weights = "model",
    out: Annotated[
        Path | None,
        typer.Option(help="The picture of distances, .png; figures/memorisation.png of a run."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    impl: Impl = "auto",
    threads: Threads = None,
) -> None:
    """Say whether samples are memorised training images, and how varied they are (mode collapse).

    Exact distances to the nearest training images, beside those of test images; and how many
    different ones are nearest, beside real images. JSON has the second under "helvetica": null for
    fewer than 4 samples.
    """
    import json as to_json

    from fastgan import helvetica_table, memorisation_table
    from fastgan.helvetica import LEAST_SAMPLES, helvetica_of
    from fastgan.memorisation import memorisation_of
    from fastgan.memorisation_figure import memorisation_figure
    from fastgan.nearest_training import NearestTraining
    from fastgan.reproduce import (
        N_MEMORISATION_SAMPLES,
        keep_helvetica,
        keep_memorisation,
        sample_of,
    )

    set_up(threads, True)
    if out is not None and out.suffix != ".png":
        raise ValueError(f"out: expected a name that ends in .png, got {out}")
    generator: Any = None
    if run.is_dir():
        opened, dataset = run_and_dataset(run, data, folder, weights)
        seed = opened.recipe.seed if seed is None else seed
        generator = opened.generator
        drawn: Any = sample_of(opened, n_samples or N_MEMORISATION_SAMPLES, seed)
    else:
        if data is None:
            raise ValueError("data: expected the data set that the samples are of (--data)")
        drawn, dataset = read_samples(run), dataset_of(data, folder)
    nearest = NearestTraining(drawn, dataset, n_samples=n_samples, impl=impl)
    found = memorisation_of(nearest)
    how_varied = None
    if nearest.n_samples >= LEAST_SAMPLES:
        how_varied = helvetica_of(nearest, generator=generator, seed=seed or 0)
    pictures: list[Path] = []
    if run.is_dir():
        pictures += keep_memorisation(opened, found, drawn, dataset)
        if how_varied is not None:
            pictures.append(keep_helvetica(opened, how_varied))
    if out is not None:
        pictures.append(memorisation_figure(found, out))
    if json:
        second = None if how_varied is None else to_json.loads(how_varied.to_json())
        both = to_json.loads(found.to_json()) | {"helvetica": second}
        typer.echo(to_json.dumps(both, indent=2))
        return
    show(memorisation_table.nearest(found), *found.sentences(), *found.cautions())
    if how_varied is not None:
        show(helvetica_table.varied(how_varied), *how_varied.sentences(), *how_varied.cautions())
    for picture in pictures:
        show(f"picture: {picture}")
