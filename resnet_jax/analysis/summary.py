"""Parameters and multiply-adds of a net, by stage and by block."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax.models import create_model, natural, parts
from resnet_jax.ops import tally_macs


@dataclass(frozen=True)
class Row:
    """One part of a net. `output` is the shape of its feature map for one image, [H, W, C], where it has one."""

    name: str
    parameters: int  # trained ones
    statistics: int  # running means and variances
    macs: int  # multiply-adds of convolutions and dense layers, one image
    output: tuple[int, ...] = ()


@dataclass(frozen=True)
class Summary:
    """Totals of a net, `stages` ("stem", "stage1", ..., "head") and `blocks` ("stage1_block0", ...) by name."""

    name: str
    image_size: int
    total: Row
    stages: dict[str, Row]
    blocks: dict[str, Row]

    @property
    def parameters(self) -> int:
        return self.total.parameters

    @property
    def macs(self) -> int:
        return self.total.macs

    @property
    def statistics(self) -> int:
        return self.total.statistics

    def __str__(self) -> str:
        rows = [*self.stages.values(), self.total]
        lines = [f"{self.name}, {self.image_size} x {self.image_size} pixels"]
        lines.append(f"{'':8}{'output':>16}{'parameters':>16}{'statistics':>12}{'multiply-adds':>18}")
        for row in rows:
            output = " x ".join(map(str, row.output))
            lines.append(f"{row.name:8}{output:>16}{row.parameters:>16,}{row.statistics:>12,}{row.macs:>18,}")
        return "\n".join(lines)


def summary(name: str | nn.Module, image_size: int | None = None) -> Summary:
    """Counts for one image of `image_size` pixels a side (default: the size the net was published with).

    Nothing is computed: the net is traced with `jax.eval_shape`, and its multiply-adds are counted where convolutions
    and dense layers are called.

    Raises:
      ValueError: no such model.
    """
    model = create_model(name) if isinstance(name, str) else name
    size = image_size or model.image_size
    macs: defaultdict[str, int] = defaultdict(int)
    inside: list[str] = []  # the child of the net that is being called

    def follow(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if len(context.module.path) != 1:
            return call(*args, **kwargs)
        inside.append(context.module.path[0])
        try:
            return call(*args, **kwargs)
        finally:
            inside.pop()

    def record(count: int) -> None:
        macs[inside[-1] if inside else ""] += count

    def initialise() -> Any:
        images = jnp.zeros((1, size, size, model.in_channels), model.dtype)
        return model.init_with_output(jax.random.key(0), images, train=False)

    with nn.intercept_methods(follow), tally_macs(record):
        outputs, variables = jax.eval_shape(initialise)

    params, stats = variables["params"], variables.get("batch_stats", {})
    blocks = {
        child: Row(child, _size(params[child]), _size(stats.get(child, {})), macs[child])
        for child in sorted(params, key=natural)
    }
    stages = {}
    for part in (*parts(model), "head"):
        rows = [row for child, row in blocks.items() if child == part or child.startswith(f"{part}_")]
        output = outputs.features[part].shape[1:] if part in outputs.features else outputs.logits.shape[1:]
        stages[part] = _sum(part, rows, tuple(output))
    total = _sum("total", stages.values())
    label = name if isinstance(name, str) else type(name).__name__
    return Summary(label, size, total, stages, {child: row for child, row in blocks.items() if "_block" in child})


def _size(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _sum(name: str, rows: Iterable[Row], output: tuple[int, ...] = ()) -> Row:
    rows = list(rows)
    return Row(
        name,
        parameters=sum(row.parameters for row in rows),
        statistics=sum(row.statistics for row in rows),
        macs=sum(row.macs for row in rows),
        output=output,
    )
