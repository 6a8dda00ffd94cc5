"""Networks: modules, their components, and the registry of every net by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnet_jax.models.inspect import Feature, Shapes, components, feature_info, feature_names, shapes
from resnet_jax.models.registry import MODELS, as_model, create_model, get_spec, list_models, registered_name
from resnet_jax.models.resnet import Outputs, ResNet, Stage
from resnet_jax.models.sorting import natural_key, sort_components
from resnet_jax.models.spec import ModelSpec
from resnet_jax.moved import renamed_names

__all__ = [
    "Feature",
    "MODELS",
    "ModelSpec",
    "Outputs",
    "ResNet",
    "Shapes",
    "Stage",
    "as_model",
    "components",
    "create_model",
    "feature_info",
    "feature_names",
    "get_spec",
    "list_models",
    "natural_key",
    "registered_name",
    "shapes",
    "sort_components",
]

RENAMED = {
    "in_order": "models.sorting.sort_components",
    "natural": "models.sorting.natural_key",
    "parts": "models.inspect.feature_names",
    "pieces": "models.inspect.components",
}
if not TYPE_CHECKING:  # names of version 0.1.0
    __getattr__ = renamed_names(__name__, RENAMED)
