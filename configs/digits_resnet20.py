"""ResNet-20 on scikit-learn's digits: the default run.

    python train.py --config configs/digits_resnet20.py        (or simply: python train.py)

Device: two CPU cores. Result: see the README's table.
"""

from resnet_jax.config import Config

config = Config()
