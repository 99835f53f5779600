"""The paper's Toronto Face Database experiment, and a smaller one of our own on other faces.

Source: ``tfd_pretrain/pretrain.yaml`` (stage 1) and ``tfd_pretrain/train.yaml`` (stage 2) of the
released code.
"""

from __future__ import annotations

from fastgan.recipes.layers import DenseLayer, MaxoutLayer
from fastgan.recipes.recipe import Recipe

# The released code's pretrain.yaml, line by line; what it does not state is marked as ours.
_TFD_STAGE_1 = Recipe(
    name="tfd-stage-1",
    dataset="tfd",  # TFD_unlabeled of fold 0: the unlabeled images are the same in every fold
    n_latent=100,  # noise_dim: 100
    latent="normal",  # N(0, 1)
    generator=(
        DenseLayer(8000, "relu", initial_range=0.05),  # RectifiedLinear 8000, irange .05
        # Sigmoid 8000, irange .05, init_bias -2
        DenseLayer(8000, "sigmoid", initial_range=0.05, initial_bias=-2.0),
        # Sigmoid 2304, sparse_init 100, init_bias_target_marginals
        DenseLayer(2304, "sigmoid", initial_range=0.0, bias_from_data=True, n_sparse_weights=100),
    ),
    discriminator=(
        # Maxout, 1200 units of 5 pieces, irange .005; input_include_probs h0: .8
        MaxoutLayer(1200, 5, include_probability=0.8, initial_range=0.005),
        MaxoutLayer(1200, 5, include_probability=0.5, initial_range=0.005),  # default .5
    ),
    output_include_probability=0.5,
    output_initial_range=0.005,  # Sigmoid 1, irange .005
    batch_size=100,
    learning_rate=0.05,
    n_epochs=50,  # EpochCounter max_epochs 50
    evaluate_every=5,  # OURS
    max_norm=1.9365,  # max_col_norm of every layer, of both nets
    max_norm_before_training=True,  # pylearn2 applies its constraints once before the first batch
    collapse_first_epoch=5,  # OURS: G's first samples deviate by .017 over z, below the watch's .02
)

# train.yaml: a new run whose generator puts two new layers before the three of stage 1.
TFD = _TFD_STAGE_1.replace(
    name="tfd",
    generator=(
        DenseLayer(8000, "relu", initial_range=0.05),
        DenseLayer(100, "sigmoid", initial_range=0.05, initial_bias=-2.0),
        *_TFD_STAGE_1.generator,
    ),
    n_epochs=22,  # max_epochs 22
    first_stage=_TFD_STAGE_1,
)

# A recipe of OUR OWN: TFD's, scaled to what two cores train in half an hour, on FER2013, a stand-in
# that can be had. Every size is an eighth or so, and its 6,000 images take 60 updates an epoch, so
# that the epochs are more: 36,000 and 15,840 updates for TFD's 50,000 and 22,000. Nothing of it can
# be set beside the paper's TFD column.
_FACES_STAGE_1 = _TFD_STAGE_1.replace(
    name="faces-stage-1",
    dataset="faces",
    generator=(
        # sqrt(6 / 100) keeps a ReLU layer's variance (He et al. 2015). With TFD's .05 samples
        # hardly vary at first, and so few units then go all black within 1,200 updates.
        DenseLayer(1000, "relu", initial_range=0.245),
        DenseLayer(1000, "sigmoid", initial_range=0.1, initial_bias=-2.0),  # norms 1.83: as TFD's
        DenseLayer(2304, "sigmoid", initial_range=0.0, bias_from_data=True, n_sparse_weights=100),
    ),
    discriminator=(
        MaxoutLayer(240, 5, include_probability=0.8, initial_range=0.005),
        MaxoutLayer(240, 5, include_probability=0.5, initial_range=0.005),
    ),
    n_epochs=600,
    evaluate_every=50,
    collapse_first_epoch=50,  # 3,000 updates
)
FACES = _FACES_STAGE_1.replace(
    name="faces",
    generator=(
        DenseLayer(1000, "relu", initial_range=0.245),
        DenseLayer(100, "sigmoid", initial_range=0.1, initial_bias=-2.0),
        *_FACES_STAGE_1.generator,
    ),
    n_epochs=264,
    evaluate_every=22,
    first_stage=_FACES_STAGE_1,
)
