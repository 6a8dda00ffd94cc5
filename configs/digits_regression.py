"""The value of scikit-learn's digits as a number from 0 to 9; 20 epochs with the Huber loss.

resnet-jax train --config digits_regression

MEASURED
"""

from resnet_jax.config import Config, OptimConfig, TrainConfig

config = Config(
    workdir="runs/digits_regression",
    task="regression",
    optim=OptimConfig(peak_lr=0.05, regression_loss="huber"),
    train=TrainConfig(epochs=20.0),
)
