"""Train your own pair of networks with the paper's loop: schedule, costs, checkpoints, watch.

G takes z of shape (n, n_latent) and gives images of shape (n, n_features); D takes images and gives
logits of shape (n,) or (n, 1). What is inside is yours: here a small transposed-convolution G and a
convolutional D on the 8 x 8 digits. The recipe says the rest, and any number of it can be changed.

    python train_your_networks.py
    python train_your_networks.py --epochs 300 --out runs/mine
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

import fastgan
from fastgan.figures import sample_grid
from fastgan.models import sample_from

N_LATENT = 20


class YourGenerator(nn.Module):
    """z of shape (n, 20) to images of shape (n, 64), pixels in [0, 1]."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_LATENT, 64 * 4 * 4),
            nn.ReLU(),
            nn.Unflatten(1, (64, 4, 4)),
            nn.ConvTranspose2d(64, 32, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 1, kernel_size=3, padding=1),
            nn.Flatten(),
        )
        # Weights that keep a ReLU layer's variance: with smaller ones the samples hardly vary with
        # z at first, and the collapse watch speaks up.
        for layer in self.layers:
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        # Start at the mean image, as the released code does: D then has less to tell apart by.
        self.bias = nn.Parameter(torch.logit(mean.clamp(0.01, 0.99)))

    def forward(self, latent: Tensor) -> Tensor:
        """Return images."""
        logits: Tensor = self.layers(latent) + self.bias
        return torch.sigmoid(logits)


class YourDiscriminator(nn.Module):
    """Images of shape (n, 64) to logits of shape (n, 1): a real image's should be high."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 32, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(64 * 4 * 4, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.layers(images)
        return logits


def main() -> None:
    """Train, score before and after, look."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("--out", type=Path, default=Path("my-run"), help="the run's folder")
    chosen = options.parse_args()

    torch.manual_seed(0)  # your initial weights and D's dropout; all else is the recipe's seed
    digits = fastgan.load_dataset("digits")
    generator, discriminator = YourGenerator(digits.train.mean(dim=0)), YourDiscriminator()
    recipe = fastgan.recipes.by_name("digits").replace(
        n_latent=N_LATENT, learning_rate=0.1, n_epochs=chosen.epochs, evaluate_every=10
    )

    before = fastgan.evaluate(sample_from(generator, recipe, 10_000, seed=0), digits)
    run = fastgan.train(
        recipe,
        dataset=digits,
        generator=generator,
        discriminator=discriminator,
        folder=chosen.out,
        progress=False,
    )
    for record in run.metrics:
        if "validation_log_likelihood" in record:
            print(
                f"epoch {record['epoch']:>4}: D says {record['real_probability']:.2f} to real and "
                f"{record['fake_probability']:.2f} to made images; validation log-likelihood "
                f"{record['validation_log_likelihood']:.1f} nats"
            )
    # run.warnings holds what the watch had to say of collapse and saturation: nothing, here
    print(f"warnings: {[warning['message'] for warning in run.warnings] or 'none'}")

    samples = sample_from(run.generator, run.recipe, 10_000, seed=0)
    after = fastgan.evaluate(samples, digits)
    print(f"test log-likelihood: {before.mean:.1f} nats untrained, {after.mean:.1f} trained")
    print(fastgan.diagnose_helvetica(samples, digits).headline)
    print(f"samples: {sample_grid(samples[:100], digits, chosen.out / 'samples.png')}")


if __name__ == "__main__":
    main()
