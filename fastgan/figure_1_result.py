"""Figure 1 as numbers: a pair seen at many moments, that can be written, read and said."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from fastgan import recipes, theory
from fastgan.figure_1_snapshot import SAMPLE_COUNTS, Snapshot
from fastgan.flat_json import checked_fields, read_object
from fastgan.recipes import Recipe

# Panel (c) is the first moment after G began to move whose divergence is at most this share of the
# divergence at the start.
ON_ITS_WAY = 0.35


@dataclass(frozen=True)
class Figure1:
    """What was seen of the pair; all divergences and values in nats.

    The first two are the points of the curves ``p_data``, and of every snapshot's ``p_g`` and
    ``discriminator``, and the z of its ``arrows``.
    """

    points: tuple[float, ...]
    latent: tuple[float, ...]
    p_data: tuple[float, ...]  # density on the points
    sample_counts: tuple[int, ...]  # n of every snapshot's plug-in estimates
    n_alone: int  # updates of D before G's time began; one of the moments
    seed: int
    recipe: Recipe
    snapshots: tuple[Snapshot, ...]

    def panels(self) -> tuple[Snapshot, Snapshot, Snapshot, Snapshot]:
        """Return the four moments of the paper's figure.

        (a) D is partly right: half as far from D* as it was at first; (b) D has been trained while
        G stood still; (c) G is on its way; (d) the end.
        """
        alone = [s for s in self.snapshots if s.n_discriminator_updates <= self.n_alone]
        moving = self.snapshots[len(alone) :]
        partly = 0.5 * alone[0].discriminator_error
        begun = next((s for s in alone if s.discriminator_error <= partly), alone[0])
        start = alone[-1].jensen_shannon
        halfway = next((s for s in moving if s.jensen_shannon <= ON_ITS_WAY * start), moving[0])
        return begun, alone[-1], halfway, self.snapshots[-1]

    def sentences(self) -> tuple[str, ...]:
        """Say what was found, in nats."""
        _, early, _, last = self.panels()
        biased = ", ".join(
            f"{estimate:.4f} of {n:,}"
            for n, estimate in zip(self.sample_counts, last.plug_in_jensen_shannon, strict=True)
        )
        return (
            f"While G stands still at a Jensen-Shannon divergence of {early.jensen_shannon:.3f} "
            f"from the data, D comes to D* = p_data / (p_data + p_g) within "
            f"{early.discriminator_error:.3f} in the mean, after {early.n_discriminator_updates:,} "
            "updates.",
            f"At the end, after {last.n_generator_updates:,} updates of G, the divergence is "
            f"{last.jensen_shannon:.4f} by quadrature, and D is within "
            f"{last.discriminator_error:.3f} of D*.",
            f"C(G) is {last.criterion:.4f} by quadrature and {last.criterion_sampled:.4f} ± "
            f"{last.criterion_standard_error:.4f} from samples; V(D, G) from samples is "
            f"{last.value_sampled:.4f} ± {last.value_standard_error:.4f}. No C(G) is below "
            f"-log 4 = {theory.LEAST_CRITERION:.4f}.",
            f"A histogram of samples alone finds too large a divergence: {biased} samples each, "
            f"where the same bars hold {last.bars_jensen_shannon:.4f}.",
        )

    def to_json(self) -> str:
        """Return everything as a JSON object; the recipe as TOML in it."""
        values = {
            "seed": self.seed,
            "recipe": recipes.to_toml(self.recipe),
            "points": self.points,
            "latent": self.latent,
            "p_data": self.p_data,
            "sample_counts": self.sample_counts,
            "n_alone": self.n_alone,
            "snapshots": [dataclasses.asdict(snapshot) for snapshot in self.snapshots],
        }
        return json.dumps(values, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Figure1:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON, or not such an object; the message names the field.
        """
        values = read_object(text, "figure 1")
        told, snapshots = values.pop("recipe", None), values.pop("snapshots", None)
        if not isinstance(told, str):
            raise ValueError("figure 1: recipe: expected the text of a recipe.toml")
        if not isinstance(snapshots, list) or not snapshots:
            raise ValueError("figure 1: snapshots: expected a list of at least one")
        flat = checked_fields(_Flat, values, "figure 1")
        read = tuple(
            Snapshot(**checked_fields(Snapshot, one, f"figure 1: snapshot {number}"))
            for number, one in enumerate(snapshots)
        )
        lengths = {
            "p_g": len(flat["points"]),
            "discriminator": len(flat["points"]),
            "arrows": len(flat["latent"]),
            "plug_in_jensen_shannon": len(flat["sample_counts"]),
        }
        for number, snapshot in enumerate(read):
            for name, expected in lengths.items():
                if len(getattr(snapshot, name)) != expected:
                    raise ValueError(
                        f"figure 1: snapshot {number}: {name}: expected {expected} numbers, "
                        f"got {len(getattr(snapshot, name))}"
                    )
        if (
            not read[0].n_discriminator_updates
            <= flat["n_alone"]
            < read[-1].n_discriminator_updates
        ):
            raise ValueError(
                "figure 1: n_alone: expected a number of updates among those of the snapshots, "
                f"got {flat['n_alone']}"
            )
        if len(flat["p_data"]) != len(flat["points"]):
            raise ValueError(
                f"figure 1: p_data: expected {len(flat['points'])} numbers, "
                f"got {len(flat['p_data'])}"
            )
        return cls(**flat, recipe=recipes.from_toml(told), snapshots=read)


@dataclass(frozen=True)
class _Flat:
    """The fields of :class:`Figure1` that are numbers."""

    points: tuple[float, ...]
    latent: tuple[float, ...]
    p_data: tuple[float, ...]
    sample_counts: tuple[int, ...]
    n_alone: int
    seed: int


__all__ = ["ON_ITS_WAY", "SAMPLE_COUNTS", "Figure1"]
