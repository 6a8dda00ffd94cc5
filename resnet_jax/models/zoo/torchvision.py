"""Nets that torchvision has: checksums and preprocessing of their published weights.

`python tests/weights/test_preprocessing.py` prints the table from an installed torchvision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resnet_jax.models.spec import IMAGENET, ModelSpec, NameTable
from resnet_jax.types import Preprocess

# By the checksum in the file name: net, crop, shorter side before the crop (pixels), interpolation.
WEIGHTS: dict[str, tuple[str, int, int, Any]] = {
    "7f5810bc": ("efficientnet_b0", 224, 256, "bicubic"),
    "bac287d4": ("efficientnet_b1", 240, 256, "bicubic"),
    "c27df63c": ("efficientnet_b1", 240, 255, "bilinear"),
    "c35c1473": ("efficientnet_b2", 288, 288, "bicubic"),
    "b3899882": ("efficientnet_b3", 300, 320, "bicubic"),
    "23ab8bcd": ("efficientnet_b4", 380, 384, "bicubic"),
    "1a07897c": ("efficientnet_b5", 456, 456, "bicubic"),
    "24a108a5": ("efficientnet_b6", 528, 528, "bicubic"),
    "c5b4e57e": ("efficientnet_b7", 600, 600, "bicubic"),
    "63fe2227": ("resnet101", 224, 256, "bilinear"),
    "cd907fc2": ("resnet101", 224, 232, "bilinear"),
    "394f9c45": ("resnet152", 224, 256, "bilinear"),
    "f82ba261": ("resnet152", 224, 232, "bilinear"),
    "f37072fd": ("resnet18", 224, 256, "bilinear"),
    "b627a593": ("resnet34", 224, 256, "bilinear"),
    "0676ba61": ("resnet50", 224, 256, "bilinear"),
    "11ad3fa6": ("resnet50", 224, 232, "bilinear"),
    "8ba56ff5": ("resnext101_32x8d", 224, 256, "bilinear"),
    "110c445d": ("resnext101_32x8d", 224, 232, "bilinear"),
    "173b62eb": ("resnext101_64x4d", 224, 232, "bilinear"),
    "7cdf4587": ("resnext50_32x4d", 224, 256, "bilinear"),
    "1a0047aa": ("resnext50_32x4d", 224, 232, "bilinear"),
    "32ee1156": ("wide_resnet101_2", 224, 256, "bilinear"),
    "d733dc28": ("wide_resnet101_2", 224, 232, "bilinear"),
    "95faca4d": ("wide_resnet50_2", 224, 256, "bilinear"),
    "9ba9bcbe": ("wide_resnet50_2", 224, 232, "bilinear"),
}


def in_torchvision(models: Mapping[str, ModelSpec], table: NameTable) -> dict[str, ModelSpec]:
    """`models` with torchvision's names and published weights for the nets that torchvision has."""
    return {name: _row(name, spec, table) for name, spec in models.items()}


def _row(name: str, spec: ModelSpec, table: NameTable) -> ModelSpec:
    weights = {
        checksum: Preprocess(size, resize, *IMAGENET, interpolation, f"torchvision, {checksum}")
        for checksum, (net, size, resize, interpolation) in WEIGHTS.items()
        if net == name
    }
    if not weights:
        return spec
    return replace(spec, name_tables={**spec.name_tables, "torchvision": table}, pretrained=weights)
