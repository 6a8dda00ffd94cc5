"""Trains a residual network: python train.py [--config FILE] [--workdir DIR] [--optim.peak-lr 0.2] ..."""

from resnet_jax.__main__ import program

if __name__ == "__main__":
    program("train")
