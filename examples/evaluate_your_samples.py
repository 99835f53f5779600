"""Score your own model's samples by the paper's protocol, and give them a row in Table 1.

Any generative model will do, from whatever library: all that is asked for is its samples, one image
a row, in the scale of the data. Here the model is a mixture of 40 Gaussians with full covariances,
fitted to the training digits by scikit-learn.

    python evaluate_your_samples.py
    python evaluate_your_samples.py --samples mine.npy --data mnist --name "my model"
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

import fastgan
from fastgan.kept_evaluation import keep_samples_evaluation

N_SAMPLES = 10_000  # as the paper draws


def your_samples(digits: fastgan.Dataset) -> NDArray[np.float32]:
    """Fit your model to the training images and draw; shape (10,000, n_features), float32."""
    mixture = GaussianMixture(40, reg_covar=1e-3, random_state=0)
    mixture.fit(digits.train.numpy().astype(np.float64))
    images, _ = mixture.sample(N_SAMPLES)
    shuffled = np.random.default_rng(0).permutation(images)  # sample() sorts by component
    return shuffled.clip(0, 1).astype(np.float32)  # pixels lie in [0, 1]


def main() -> None:
    """Score samples, say what the score is worth, print Table 1."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--samples", type=Path, help=".npy of shape (n_samples, n_features)")
    options.add_argument("--data", default="digits", help="the data set's name or path")
    options.add_argument("--name", default="mixture of 40 Gaussians", help="what the row says")
    options.add_argument("--out", type=Path, default=Path("my-model"), help="the row's folder")
    chosen = options.parse_args()

    dataset = fastgan.load_dataset(chosen.data)
    if chosen.samples is None:
        samples = your_samples(dataset)
    else:
        samples = np.load(chosen.samples, mmap_mode="r")

    # Gaussian Parzen windows on the samples; sigma is chosen on validation images from the paper's
    # grid; the mean log-density of the test images is the score.
    found = fastgan.evaluate(samples, dataset)
    print(f"{dataset.name}, {found.n_samples:,} samples, sigma {found.sigma:.3f}")
    print(f"log-likelihood of the test images: {found.mean:.1f} nats an image")
    print(f"  error over test images   {found.standard_error:.1f}")
    print(f"  error over model samples {found.sample_standard_error or 0.0:.1f}")

    # More samples score higher, whatever the model: compare at equal counts only, as here with
    # real images in place of samples.
    n_equal = min(len(samples), len(dataset.train))
    fewer = fastgan.evaluate(samples, dataset, n_samples=n_equal)
    real = fastgan.evaluate(dataset.train, dataset, n_samples=n_equal)
    print(f"of {n_equal:,} samples {fewer.mean:.1f}, of as many training images {real.mean:.1f}")
    for warning in found.warnings():
        print(f"note: {warning}")

    # A score alone does not say whether a model copies or repeats itself.
    print()
    print(fastgan.diagnose_helvetica(samples, dataset).headline)

    keep_samples_evaluation(found, chosen.out, chosen.name)
    print()
    print(fastgan.table_1([chosen.out]))


if __name__ == "__main__":
    main()
