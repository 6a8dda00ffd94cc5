"""Trains a residual network: python train.py [--config FILE] [--workdir DIR] [--optim.peak-lr 0.2] ..."""

import sys

from resnet_jax.cli import fail, parse
from resnet_jax.training.loop import Diverged, SetupError, train

if __name__ == "__main__":
    config = parse()
    try:
        train(config)
    except SetupError as error:
        fail(str(error))
    except Diverged as error:
        raise SystemExit(f"stopped: {error}") from None
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last checkpoint", file=sys.stderr)
        raise SystemExit(130) from None
