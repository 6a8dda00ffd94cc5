"""What the experiments share: nets by kind and depth, runs made one after the other, and what they have learned."""

from __future__ import annotations

from collections.abc import Iterable

from resnet_jax.config import Config
from resnet_jax.data import Source
from resnet_jax.models import list_models
from resnet_jax.training.checkpoint import load_checkpoint
from resnet_jax.training.loop import train
from resnet_jax.training.plan import make_plan, open_data
from resnet_jax.types import Pretrained


def net(kind: str, depth: int) -> str:
    """The CIFAR net of a kind ("plain", "resnet", "highway") and depth.

    Raises:
      ValueError: there is none.
    """
    name = f"cifar_{kind}{depth}"
    if name not in list_models():
        depths = [known.removeprefix(f"cifar_{kind}") for known in list_models(f"cifar_{kind}*")]
        valid = ", ".join(depth for depth in depths if depth.isdecimal())
        raise ValueError(f"no {kind} net of {depth} layers; valid: {valid or 'no net of that kind'}")
    return name


def run_all(configs: Iterable[Config]) -> None:
    """Trains each, or goes on with it; all are checked before the first one starts."""
    configs = list(configs)
    for config in configs:
        make_plan(config)
    for config in configs:
        train(config)


def trained(config: Config) -> tuple[Pretrained, Source]:
    """The net of a finished run, and its test images."""
    return load_checkpoint(config.workdir), open_data(config.data)[3]
