"""resnet-jax models: a table of the registered nets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resnet_jax.config import argument, option
from resnet_jax.errors import did_you_mean


@dataclass(frozen=True)
class Request:
    """List the networks whose names match, with parameters, multiply-adds and input size."""

    pattern: str = argument('names of nets, as in a shell: "*20*"', "*")
    input_kind: Literal["any", "images", "series", "waveform", "spectrogram", "tokens"] = option(
        "any", "only nets that take this; tokens: texts"
    )


def run(request: Request) -> None:
    from resnet_jax.analysis.summary import totals
    from resnet_jax.models import list_models
    from resnet_jax.models.inspect import spatial_sizes

    names = list_models(request.pattern, input_kind=request.input_kind)
    if not names:
        which = "" if request.input_kind == "any" else f" and takes {request.input_kind}"
        hint = did_you_mean(
            request.pattern.strip("*"), list_models(input_kind=request.input_kind), "see: resnet-jax models"
        )
        raise ValueError(f"no model matches {request.pattern!r}{which}; {hint}")
    width = max(map(len, names))
    print(f"{'':{width}}{'parameters':>14}{'multiply-adds':>18}{'input':>12}")
    has_other_macs = False
    for name in names:
        counts = totals(name)
        size = " x ".join(map(str, spatial_sizes(counts.image_size)))
        mark = "  *" if counts.other_macs else ""
        has_other_macs |= bool(mark)
        print(f"{name:{width}}{counts.parameters:>14,}{counts.macs:>18,}{size:>12}{mark}", flush=True)
    if has_other_macs:
        print("* and multiply-adds that published counts do not include: resnet-jax summary NAME")
