"""Parameters and multiply-adds of a net, by stage and by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax

from resnet_jax.models import as_model, create_model, feature_names, natural_key, shapes


@dataclass(frozen=True)
class ComponentSummary:
    """One part of a net. `output` is the shape of its feature map for one image, [H, W, C], where it has one."""

    name: str
    parameters: int  # trained ones
    statistics: int  # running means and variances
    macs: int  # multiply-adds of convolutions and dense layers, one image
    other_macs: int  # fixed filters, convolutions along channels, products of activations, kernels made per example
    output: tuple[int, ...] = ()


@dataclass(frozen=True)
class Summary:
    """Totals of a net, `stages` ("stem", "stage1", ..., "head") and `blocks` ("stage1_block0", ...) by name."""

    name: str
    image_size: int
    total: ComponentSummary
    stages: dict[str, ComponentSummary]
    blocks: dict[str, ComponentSummary]

    @property
    def parameters(self) -> int:
        return self.total.parameters

    @property
    def macs(self) -> int:
        return self.total.macs

    @property
    def other_macs(self) -> int:
        return self.total.other_macs

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
        if self.other_macs:
            lines.append(f"and {self.other_macs:,} multiply-adds that published counts leave out:")
            lines.append("fixed filters, attention along channels, products of activations, kernels made per example")
        return "\n".join(lines)


def summary(name: str | nn.Module, image_size: int | None = None) -> Summary:
    """Counts for one image of `image_size` pixels a side (default: the size the net was published with).

    Nothing is computed: the net is traced, and its multiply-adds are counted where convolutions and dense layers are
    called.

    Raises:
      TypeError: neither a name nor a net.
      ValueError: no such model, or an image size below 1.
    """
    model = as_model(name)
    size = model.image_size if image_size is None else image_size
    outputs, variables, macs, other = shapes(model, size)
    params, stats = variables["params"], variables.get("batch_stats", {})
    blocks = {
        child: ComponentSummary(
            child, _size(params[child]), _size(stats.get(child, {})), _of(child, macs), _of(child, other)
        )
        for child in sorted(params, key=natural_key)
    }
    stages = {}
    known = (*feature_names(model), "head")
    others = [child for child in blocks if "_block" not in child and child not in known]
    for part in (*known, *others):
        rows = [row for child, row in blocks.items() if child == part or child.startswith(f"{part}_")]
        maps = outputs.features | {"head": outputs.logits}
        stages[part] = _sum(part, rows, tuple(maps[part].shape[1:]) if part in maps else ())
    total = _sum("total", stages.values())
    label = name if isinstance(name, str) else type(name).__name__
    return Summary(label, size, total, stages, {child: row for child, row in blocks.items() if "_block" in child})


def totals(name: str) -> Summary:
    """`summary(name)` without its tables, for nets of any depth in the same time.

    Only the first two blocks of each stage are traced: the others are as the second.
    """
    model = create_model(name)
    short = model.clone(stages=tuple(replace(stage, depth=min(stage.depth, 2)) for stage in model.stages))
    counted = summary(short)
    rows = [counted.total]
    for number, stage in enumerate(model.stages, start=1):
        rows += [counted.blocks[f"stage{number}_block1"]] * (stage.depth - 2) if stage.depth > 2 else []
    return Summary(name, counted.image_size, _sum("total", rows), {}, {})


def _of(child: str, macs: Mapping[str, int]) -> int:
    return sum(count for part, count in macs.items() if part.partition("/")[0] == child)


def _size(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _sum(name: str, rows: Iterable[ComponentSummary], output: tuple[int, ...] = ()) -> ComponentSummary:
    rows = list(rows)
    return ComponentSummary(
        name,
        parameters=sum(row.parameters for row in rows),
        statistics=sum(row.statistics for row in rows),
        macs=sum(row.macs for row in rows),
        other_macs=sum(row.other_macs for row in rows),
        output=output,
    )
