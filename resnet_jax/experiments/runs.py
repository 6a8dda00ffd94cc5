"""What the experiments share: nets by kind and depth, runs made one after the other, and what they have learned."""

from __future__ import annotations

from collections.abc import Iterable

import jax

from resnet_jax.checkpoints.manager import load_checkpoint
from resnet_jax.config import Config
from resnet_jax.data import Source
from resnet_jax.errors import Diverged, SetupError
from resnet_jax.extras import check_installed
from resnet_jax.models import list_models
from resnet_jax.runs.plan import check_split, make_plan, open_data
from resnet_jax.runs.trainer import train
from resnet_jax.types import Pretrained


def net(kind: str, depth: int) -> str:
    """The CIFAR net of a kind ("plain", "resnet", "highway") and depth.

    Raises:
      SetupError: there is none.
    """
    name = f"cifar_{kind}{depth}"
    if name not in list_models():
        depths = [known.removeprefix(f"cifar_{kind}") for known in list_models(f"cifar_{kind}*")]
        valid = ", ".join(depth for depth in depths if depth.isdecimal())
        raise SetupError(f"no {kind} net of {depth} layers; valid: {valid or 'no net of that kind'}")
    return name


def check_all(configs: Iterable[Config]) -> None:
    """Everything that can be wrong with any of the runs, and whether pictures can be drawn.

    Raises:
      SetupError: something is; nothing has been trained.
    """
    for config in configs:
        try:
            check_installed("matplotlib")
            make_plan(config)
            check_split(config, jax.device_count())
        except (ValueError, TypeError, OSError) as error:
            raise SetupError(str(error)) from error


def run_all(configs: Iterable[Config]) -> set[str]:
    """Trains each, or goes on with it; all are checked before the first one starts.

    Returns the folders of those whose loss was not finite: they are told of, and the others go on.
    """
    configs = list(configs)
    check_all(configs)
    diverged = set()
    for config in configs:
        try:
            train(config)
        except Diverged as error:
            print(f"diverged: {error}", flush=True)
            diverged.add(config.workdir)
    return diverged


def trained(config: Config) -> tuple[Pretrained, Source]:
    """The net of a finished run, and its test images."""
    return load_checkpoint(config.workdir, allow_nonfinite=True), open_data(config.data)[3]
