"""Parameters and multiply-adds of a net, by stage and by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax

from resnet_jax.models import as_model, create_model, feature_names, natural_key, shapes
from resnet_jax.models.inspect import ImageSize, backbone_of, spatial_sizes

INNER = ("backbone", "image_tower")  # the field of a net that holds another one


@dataclass(frozen=True)
class ComponentSummary:
    """Parameters, statistics and multiply-adds of one stage or block."""

    name: str
    parameters: int  # trainable
    statistics: int  # running means and variances
    macs: int  # multiply-adds of convolutions, dense layers and kernels made for an example; one input
    other_macs: int  # those of fixed filters, convolutions along the channels and products of activations
    output: tuple[int, ...] = ()  # shape of the feature map for one input, [*spatial, C]; () without one


@dataclass(frozen=True)
class Summary:
    """Totals of a net, `stages` ("stem", "stage1", ..., "head") and `blocks` ("stage1_block0", ...) by name."""

    name: str
    image_size: int | tuple[int, ...]  # as it was passed to `summary`
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
        components = [*self.stages.values(), self.total]
        width = max(8, *(len(one.name) + 1 for one in components))
        sizes = spatial_sizes(self.image_size)
        unit = "positions" if len(sizes) == 1 else "pixels"
        lines = [f"{self.name}, {' x '.join(map(str, sizes))} {unit}"]
        lines.append(f"{'':{width}}{'output':>16}{'parameters':>16}{'statistics':>12}{'multiply-adds':>18}")
        for one in components:
            output = " x ".join(map(str, one.output))
            lines.append(f"{one.name:<{width}}{output:>16}{one.parameters:>16,}{one.statistics:>12,}{one.macs:>18,}")
        if self.other_macs:
            lines.append(f"and {self.other_macs:,} multiply-adds that published counts exclude:")
            lines.append("fixed filters, attention along channels, products of activations")
        return "\n".join(lines)


def summary(name: str | nn.Module, image_size: ImageSize | None = None) -> Summary:
    """Parameters and multiply-adds of a net for one input.

    The net is traced, and multiply-adds are counted where convolutions and dense layers are called. No array is
    computed.

    Args:
      image_size: 224 is an image of 224 x 224 pixels; (4096,) a series of 4,096 positions, (16, 112, 112) a volume;
        None: the published size.

    Raises:
      TypeError: neither a name nor a net.
      ValueError: no model of this name, or a size that no input can have.
    """
    model = as_model(name)
    size = model.image_size if image_size is None else image_size
    size = tuple(size) if isinstance(size, Sequence) else size
    outputs, variables, macs, other_macs = shapes(model, size)
    params, stats = _flat(variables["params"]), _flat(variables.get("batch_stats", {}))
    macs, other_macs = _below_inner(macs), _below_inner(other_macs)
    components = {
        child: ComponentSummary(
            name=child,
            parameters=_size(params[child]),
            statistics=_size(stats.get(child, {})),
            macs=_macs_of(child, macs),
            other_macs=_macs_of(child, other_macs),
        )
        for child in sorted(params, key=natural_key)
    }
    maps = _maps(model, outputs, size)
    names = (*feature_names(model), *(["head"] if "head" in maps or "head" in params else []))
    others = [child for child in components if "_block" not in child and child not in names]
    stages = {}
    for stage in (*names, *others):
        members = [one for child, one in components.items() if child == stage or child.startswith(f"{stage}_")]
        stages[stage] = _sum(stage, members, tuple(maps[stage].shape[1:]) if stage in maps else ())
    label = name if isinstance(name, str) else type(name).__name__
    blocks = {child: one for child, one in components.items() if "_block" in child}
    return Summary(label, size, _sum("total", stages.values()), stages, blocks)


def totals(name: str) -> Summary:
    """`summary(name)` without stages and blocks, for nets of any depth in the same time.

    Only the first two blocks of each stage are traced: the others equal the second.
    """
    model = create_model(name)
    short = model.clone(stages=tuple(replace(stage, depth=min(stage.depth, 2)) for stage in model.stages))
    traced = summary(short)
    components = [traced.total]
    for number, stage in enumerate(model.stages, start=1):
        if stage.depth > 2:
            components += [traced.blocks[f"stage{number}_block1"]] * (stage.depth - 2)
    return Summary(name, traced.image_size, _sum("total", components), {}, {})


def _maps(model: Any, outputs: Any, size: ImageSize) -> dict[str, Any]:
    """The output of each stage; for a segmenter those of the backbone, and its logits as the decoder's.

    CLIP's have those of the image tower, whose head gives the image features.
    """
    if backbone_of(model) is model:
        return outputs.features | {"head": outputs.logits}
    maps = shapes(backbone_of(model), size).outputs.features
    if hasattr(outputs, "image_features"):
        return maps | {"head": outputs.image_features, "text_tower": outputs.text_features}
    heads = {"decoder": getattr(outputs, "logits", None), "auxiliary": getattr(outputs, "auxiliary", None)}
    return maps | {name: x for name, x in heads.items() if x is not None}


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Children by name, with those of the inner net in its place."""
    inner = {name: x for net in INNER for name, x in tree.get(net, {}).items()}
    return {**inner, **{name: x for name, x in tree.items() if name not in INNER}}


def _below_inner(macs: Mapping[str, int]) -> dict[str, int]:
    """Counts by paths, with those of the inner net's submodules in its place."""
    return {path.partition("/")[2] if path.partition("/")[0] in INNER else path: n for path, n in macs.items()}


def _macs_of(child: str, macs: Mapping[str, int]) -> int:
    return sum(count for path, count in macs.items() if path.partition("/")[0] == child)


def _size(tree: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _sum(name: str, components: Iterable[ComponentSummary], output: tuple[int, ...] = ()) -> ComponentSummary:
    components = list(components)
    return ComponentSummary(
        name,
        parameters=sum(one.parameters for one in components),
        statistics=sum(one.statistics for one in components),
        macs=sum(one.macs for one in components),
        other_macs=sum(one.other_macs for one in components),
        output=output,
    )
