"""Attributes of scikit-learn's digits (even, prime, closed loop, at least five), any number per image; 20 epochs.

    python train.py --config configs/digits_multilabel.py

The labels are attributes of the digit, derived when the data is opened with --task multilabel.

Device: two CPU cores shared with other work, 114 seconds (jax 0.10.2, 2026-11-26). Seed 0 on 360 test images:
mAP 0.9138, macro F1 0.8170, micro F1 0.8132 at a probability of one half.
"""

from resnet_jax.config import Config, TrainConfig

config = Config(
    workdir="runs/digits_multilabel",
    task="multilabel",
    train=TrainConfig(epochs=20.0),
)
