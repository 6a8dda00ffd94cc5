"""Parts that the experiments share: names of nets, training of several runs, trained nets."""

from __future__ import annotations

from collections.abc import Iterable

import jax

from resnet_jax.config import Config
from resnet_jax.data import Loader
from resnet_jax.errors import Diverged, SetupError
from resnet_jax.extras import check_installed
from resnet_jax.models import list_models
from resnet_jax.runs.planning.checks import check_split
from resnet_jax.runs.planning.datasets import open_data
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.trainer import train
from resnet_jax.types import Pretrained
from resnet_jax.weights.checkpoint import load_checkpoint


def net_name(kind: str, depth: int) -> str:
    """Name of the CIFAR net of a kind ("plain", "resnet", "highway") and depth.

    Raises:
      SetupError: there is no such net.
    """
    name = f"cifar_{kind}{depth}"
    if name not in list_models():
        depths = [known.removeprefix(f"cifar_{kind}") for known in list_models(f"cifar_{kind}*")]
        expected = ", ".join(depth for depth in depths if depth.isdecimal())
        raise SetupError(f"expected {kind} nets of {expected} layers, got {depth}")
    return name


def check_all(configs: Iterable[Config]) -> None:
    """Checks all runs, and that figures can be drawn, before any training.

    Raises:
      SetupError: a run cannot be trained, or matplotlib is missing.
    """
    for config in configs:
        try:
            check_installed("matplotlib")
            make_plan(config)
            check_split(config, jax.device_count())
        except (ValueError, TypeError, OSError) as error:
            raise SetupError(str(error)) from error


def run_all(configs: Iterable[Config]) -> set[str]:
    """Trains or resumes each run after checking all of them; returns the workdirs of the runs that diverged.

    A diverged run is reported, and the remaining runs continue.
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


def load_trained(config: Config) -> tuple[Pretrained, Loader]:
    """Net and test images of a finished run."""
    return load_checkpoint(config.workdir, allow_nonfinite=True), open_data(config.data)[3]
