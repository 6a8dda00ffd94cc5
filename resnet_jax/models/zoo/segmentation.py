"""Segmentation nets: rows of torchvision's names, and decoders on any backbone."""

from __future__ import annotations

from resnet_jax.models.spec import ModelSpec

MODELS: dict[str, ModelSpec] = {}
