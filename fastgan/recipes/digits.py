"""scikit-learn's 8x8 digits: a recipe that trains in a minute, where the paper has none."""

from __future__ import annotations

from fastgan.recipes.layers import DenseLayer, MaxoutLayer
from fastgan.recipes.recipe import Recipe

# A recipe of OUR OWN for scikit-learn's 8x8 digits: the paper has none. The shape follows MNIST's
# (ReLU generator, maxout discriminator, simultaneous steps, non-saturating cost, the same momentum)
# at a size that trains in a minute or so. Every number below is ours, chosen by the log-likelihood
# of validation images alone; the figures are means of those trials, in nats, 10,000 samples.
DIGITS = Recipe(
    name="digits",
    dataset="digits",
    n_latent=20,
    latent="uniform",
    generator=(
        # sqrt(6 / 256) = .153 keeps a ReLU layer's variance (He et al. 2015). With .1 the samples
        # hardly vary at first, and the collapse watch would speak before anything was learned.
        DenseLayer(256, "relu", initial_range=0.15),
        DenseLayer(256, "relu", initial_range=0.15),
        DenseLayer(64, "sigmoid", initial_range=0.15, bias_from_data=True),
    ),
    discriminator=(
        MaxoutLayer(64, 5, include_probability=0.8, initial_range=0.05),
        # .5 on this small a layer costs 7 nats
        MaxoutLayer(64, 5, include_probability=0.8, initial_range=0.05),
    ),
    output_include_probability=0.8,
    output_initial_range=0.05,
    batch_size=50,  # 24 updates an epoch
    learning_rate=0.2,  # .1 with batches of 50 or 100 lets D saturate and G go dark
    learning_rate_decay=1.0001,  # to a seventh over the run; 1.000004 ends 4 nats lower
    n_epochs=800,
    evaluate_every=50,
)
