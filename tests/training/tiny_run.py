"""A run that takes a third of a second, and how to compare two of them."""

import torch

from fastgan.data import Dataset
from fastgan.recipes import DenseLayer, MaxoutLayer, Recipe
from fastgan.steps import make_step

TINY = Recipe(
    name="tiny",
    dataset="none",
    n_latent=4,
    latent="uniform",
    generator=(
        DenseLayer(16, "relu", initial_range=0.5),
        DenseLayer(9, "sigmoid", initial_range=0.5, bias_from_data=True),
    ),
    discriminator=(MaxoutLayer(8, 2, include_probability=0.8, initial_range=0.3),),
    output_include_probability=0.5,
    output_initial_range=0.3,
    batch_size=10,
    learning_rate=0.1,
    n_epochs=4,
    evaluate_every=2,
    n_samples=1000,
    seed=3,
)
N_BATCHES = 4  # 34 images: the last batch has 4


def tiny_dataset(seed=0):
    random = torch.Generator().manual_seed(seed)
    rows = torch.rand(54, 9, generator=random) * torch.linspace(0.2, 1.0, 9)
    return Dataset(
        name="tiny", train=rows[:34], validation=rows[34:44], test=rows[44:], image_shape=(3, 3, 1)
    )


def step_class(**modules):
    """Return the class of the step that trains TINY, or modules of one's own."""
    return type(make_step(TINY, dataset=tiny_dataset(), **modules))


def weights(run):
    return {
        name: value
        for name, value in run.load_checkpoint().state.items()
        if not name.startswith("torch_generator")
    }


def assert_same_run(one, other):
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    for mine, yours in zip(one.metrics, other.metrics, strict=True):
        assert {**mine, "seconds": 0} == {**yours, "seconds": 0}
