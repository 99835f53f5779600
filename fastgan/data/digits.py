"""The 1,797 handwritten digits of 8 x 8 pixels that scikit-learn carries: no network needed."""

from __future__ import annotations

import numpy as np
import torch

from fastgan.data.dataset import Dataset

N_TRAIN = 1197
N_VALIDATION = 300
N_TEST = 300
IMAGE_SIZE = 8
_SPLIT_SEED = 0


def load() -> Dataset:
    """Read the digits, scaled from 0..16 to [0, 1].

    The file's order follows the writers, so the sets are cut from a fixed Philox shuffle (seed 0,
    step 0, stream SPLIT): 1,197 train, 300 validation, 300 test, the same on every machine.
    """
    from sklearn.datasets import load_digits

    from fastgan.ops.philox import permutation
    from fastgan.streams import Kind, stream

    bunch = load_digits()
    n_images = N_TRAIN + N_VALIDATION + N_TEST
    if bunch.data.shape != (n_images, IMAGE_SIZE * IMAGE_SIZE):
        raise ValueError(
            f"digits: expected {n_images} images of {IMAGE_SIZE} x {IMAGE_SIZE} from "
            f"scikit-learn, got shape {bunch.data.shape}"
        )
    order = permutation(n_images, _SPLIT_SEED, 0, stream(Kind.SPLIT)).cpu()
    rows = torch.from_numpy((bunch.data / 16.0).astype(np.float32))[order]
    labels = torch.from_numpy(bunch.target.astype(np.int64))[order]
    sizes = [N_TRAIN, N_VALIDATION, N_TEST]
    train, validation, test = rows.split(sizes)
    train_labels, validation_labels, test_labels = labels.split(sizes)
    return Dataset(
        name="digits",
        train=train,
        validation=validation,
        test=test,
        image_shape=(IMAGE_SIZE, IMAGE_SIZE, 1),
        train_labels=train_labels,
        validation_labels=validation_labels,
        test_labels=test_labels,
        source="the digits bundled with scikit-learn (UCI optical recognition, test part)",
    )
