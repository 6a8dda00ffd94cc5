"""Nets that torchvision has. Its names for their modules are an argument: they differ by family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resnet_jax.models.spec import ModelSpec, NameTable

NAMES = frozenset(
    {
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
        *(f"efficientnet_b{number}" for number in range(8)),
    }
)


def in_torchvision(models: Mapping[str, ModelSpec], table: NameTable) -> dict[str, ModelSpec]:
    """`models` with torchvision's names for the nets that torchvision has."""
    return {
        name: replace(spec, name_tables={**spec.name_tables, "torchvision": table}) if name in NAMES else spec
        for name, spec in models.items()
    }
