"""resnet-jax summary: a net by stage."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_jax.config import SIDE, argument, option
from resnet_jax.errors import did_you_mean
from resnet_jax.files import expanded


@dataclass(frozen=True)
class Request:
    """Parameters, statistics and multiply-adds of a network, by stage."""

    name: str = argument("the net")
    image_size: int | None = option(None, "pixels a side", none="the size of its publication")


def run(request: Request) -> None:
    from resnet_jax.analysis.summary import summary
    from resnet_jax.models import list_models

    if request.image_size is not None and not 1 <= request.image_size <= SIDE:
        raise ValueError(f"--image-size: expected at least 1 pixel, at most {SIDE:,}, got {request.image_size}")
    names = list_models(input_kind="any")
    if request.name not in names:
        hint = did_you_mean(request.name, names, "see: resnet-jax models")
        if expanded(request.name).exists():
            hint = f"expected the name of a net, as resnet-jax models lists them{_net_of_run(request.name)}"
        raise ValueError(f"no model named {request.name!r}; {hint}")
    print(summary(request.name, request.image_size))


def _net_of_run(path: str) -> str:
    """The end of the message for a path: the net of the run there; "": it is none."""
    from resnet_jax.runs.files.config_file import read_config

    try:
        return f"; did you mean {read_config(path).model.name}, the net of this run?"
    except (OSError, ValueError):
        return ""
