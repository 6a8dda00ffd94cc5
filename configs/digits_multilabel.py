"""Attributes of scikit-learn's digits (even, prime, closed loop, at least five), any number per image; 40 epochs.

resnet-jax train --config digits_multilabel

MEASURED
"""

from resnet_jax.config import Config, OptimConfig

config = Config(
    workdir="runs/digits_multilabel",
    task="multilabel",
    optim=OptimConfig(peak_lr=0.1),
)
