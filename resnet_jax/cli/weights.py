"""resnet-jax weights: a table of published weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from resnet_jax.config import argument, option
from resnet_jax.errors import did_you_mean

if TYPE_CHECKING:
    from resnet_jax.models.published import PublishedWeights

FLOAT32 = 4  # bytes
NOTES = """top-1: published accuracy on ImageNet-1k, per cent. MB: size of the file; ~: four bytes a parameter.
-: not published. classes: of CLIP's nets, the length of the embedding; 0: no head."""


@dataclass(frozen=True)
class Request:
    """List published weights whose names match: parameters, classes, input size, licence, top-1 accuracy, file size."""

    pattern: str = argument('names of nets or of weights, as in a shell: "resnet50*", "*a1_in1k"', "*")
    json: bool = option(False, "print a JSON object a line, with everything the table of weights has")


def run(request: Request) -> None:
    from resnet_jax.models import list_models
    from resnet_jax.models.published import match

    rows = match(request.pattern)
    if not rows:
        if request.pattern in list_models():
            raise ValueError(f"no weights of {request.pattern} are published")
        hint = did_you_mean(request.pattern.strip("*"), list_models(), "see: resnet-jax models")
        raise ValueError(f"no published weights match {request.pattern!r}; {hint}")
    if request.json:
        for row in rows:
            print(json.dumps({"name": row.name, **asdict(row)}))
        return
    for line in table(rows):
        print(line)


def table(rows: Sequence[PublishedWeights]) -> list[str]:
    """Lines of at most 100 characters."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}} {'params':>6} {'classes':>7} {'input':>5} {'licence':<12} {'top-1':>5} {'MB':>5}"]
    for row in rows:
        size = f"~{row.parameters * FLOAT32 / 1e6:.0f}" if row.size_mib is None else f"{row.size_mib * 2**20 / 1e6:.0f}"
        top1 = "-" if row.top1 is None else f"{row.top1:.1f}"
        lines.append(
            f"{row.name:{width}} {f'{row.parameters / 1e6:.1f}M':>6} {row.classes:>7,} {row.eval_size:>5} "
            f"{row.licence or '-':<12} {top1:>5} {size:>5}"
        )
    return [*lines, *NOTES.split("\n")]
