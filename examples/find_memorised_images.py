"""Find the memorised training images in a set of samples.

The distance to the nearest training image is measured exactly for every sample, and for images that
training never saw: a copy lies nearer than any unseen real image does. Here 1,000 samples come from
a Gaussian fitted to the digits, but 20 of them have been replaced: 10 by training images, 10 by
training images with a little noise.

    python find_memorised_images.py
    python find_memorised_images.py --samples mine.npy --data mnist
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import fastgan
from fastgan.memorisation_figure import memorisation_figure

N_COPIES, N_NOISY = 10, 10


def prepared_samples(digits: fastgan.Dataset) -> tuple[torch.Tensor, set[int]]:
    """Return samples of shape (1,000, n_features), float32, and the places of the copies."""
    random = torch.Generator().manual_seed(0)
    mean, covariance = digits.train.mean(dim=0), torch.cov(digits.train.T)
    root = torch.linalg.cholesky(covariance + 1e-4 * torch.eye(digits.n_features))
    samples = mean + torch.randn(1_000, digits.n_features, generator=random) @ root.T
    places = torch.randperm(len(samples), generator=random)[: N_COPIES + N_NOISY]
    chosen = torch.randperm(len(digits.train), generator=random)[: len(places)]
    samples[places] = digits.train[chosen]
    noise = 0.01 * torch.randn(N_NOISY, digits.n_features, generator=random)
    samples[places[N_COPIES:]] += noise
    return samples, set(places.tolist())


def main() -> None:
    """Measure, say what was found, list the suspects, draw."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--samples", type=Path, help=".npy of shape (n_samples, n_features)")
    options.add_argument("--data", default="digits", help="the data set's name or path")
    options.add_argument("--out", type=Path, default=Path("distances.png"), help="the picture")
    chosen = options.parse_args()

    dataset = fastgan.load_dataset(chosen.data)
    hidden: set[int] = set()
    if chosen.samples is None:
        samples, hidden = prepared_samples(dataset)
    else:
        samples = torch.from_numpy(np.load(chosen.samples))

    found = fastgan.check_memorisation(samples, dataset)
    print("\n".join(found.sentences()))

    # A suspect lies nearer to a training image than any test image does. The index answers for
    # every sample, not only for the nearest ten that the check names.
    squared, images = fastgan.NeighborIndex(dataset.train).query(samples)
    distances = np.sqrt(np.asarray(squared)[:, 0])
    least = found.held_out_quantiles[0]
    suspects = np.flatnonzero(distances < least)
    suspects = suspects[np.argsort(distances[suspects], kind="stable")]
    print(f"\n{len(suspects)} samples lie nearer than any test image (below {least:.3g}):")
    for sample in suspects[:25].tolist():
        image = int(np.asarray(images)[sample, 0])
        print(f"  sample {sample:>5}: training image {image:>5}, distance {distances[sample]:.3g}")
    if hidden:
        caught = hidden & set(suspects.tolist())
        false = len(suspects) - len(caught)
        print(f"hidden copies: {len(caught)} of {len(hidden)} found, {false} false alarms")
    print("\n".join(f"note: {caution}" for caution in found.cautions()))
    print(f"picture: {memorisation_figure(found, chosen.out)}")


if __name__ == "__main__":
    main()
