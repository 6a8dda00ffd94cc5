"""Attributes of scikit-learn's digits (even, prime, closed loop, at least five), any number per image; 20 epochs.

resnet-jax train --config digits_multilabel

MEASURED
"""

from resnet_jax.config import Config, TrainConfig

config = Config(
    workdir="runs/digits_multilabel",
    task="multilabel",
    train=TrainConfig(epochs=20.0),
)
