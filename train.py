"""Trains a residual network: python train.py [--config FILE] [--workdir DIR] [--optim.peak-lr 0.2] ..."""

import sys

from resnet_jax.cli.huge_pages import use_huge_pages
from resnet_jax.cli.main import main

if __name__ == "__main__":
    use_huge_pages()
    main(["train", *sys.argv[1:]])
