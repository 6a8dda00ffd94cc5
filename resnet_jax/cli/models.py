"""resnet-jax models: a table of the registered nets."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_jax.config import argument
from resnet_jax.errors import did_you_mean


@dataclass(frozen=True)
class Request:
    """List the networks whose names match, with parameters, multiply-adds and input size."""

    pattern: str = argument('names of nets, as in a shell: "*20*"', "*")


def run(request: Request) -> None:
    from resnet_jax.analysis.summary import totals
    from resnet_jax.models import list_models
    from resnet_jax.models.inspect import spatial_sizes

    names = list_models(request.pattern, input_kind="any")
    if not names:
        hint = did_you_mean(request.pattern.strip("*"), list_models(input_kind="any"), "see: resnet-jax models")
        raise ValueError(f"no model matches {request.pattern!r}; {hint}")
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
