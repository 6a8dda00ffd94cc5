"""resnet-jax models: a table of the registered nets."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from resnet_jax.cli.counts import read_counts
from resnet_jax.config import argument, option
from resnet_jax.errors import did_you_mean


@dataclass(frozen=True)
class Request:
    """List the networks whose names match, with parameters, multiply-adds and input size."""

    pattern: str = argument('names of nets, as in a shell: "*20*"', "*")
    input_kind: Literal["any", "images", "series", "waveform", "spectrogram", "tokens", "image-text"] = option(
        "any", "only nets that take this; tokens: texts"
    )


def run(request: Request) -> None:
    nets = [net for net in read_counts() if request.input_kind in ("any", net.input_kind)]
    matches = [net for net in nets if fnmatchcase(net.name.casefold(), request.pattern.casefold())]
    if not matches:
        which = "" if request.input_kind == "any" else f" and takes {request.input_kind}"
        hint = did_you_mean(request.pattern.strip("*"), [net.name for net in nets], "see: resnet-jax models")
        raise ValueError(f"no model matches {request.pattern!r}{which}; {hint}")
    width = max(len(net.name) for net in matches)
    print(f"{'':{width}}{'parameters':>14}{'multiply-adds':>18}{'input':>12}")
    for net in matches:
        size = " x ".join(map(str, net.input_size))
        mark = "  *" if net.other_macs else ""
        print(f"{net.name:{width}}{net.parameters:>14,}{net.macs:>18,}{size:>12}{mark}")
    if any(net.other_macs for net in matches):
        print("* and multiply-adds that published counts do not include: resnet-jax summary NAME")
