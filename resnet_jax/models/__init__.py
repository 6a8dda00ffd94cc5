"""Networks: modules, their components, and the registry of every net by name."""

from __future__ import annotations

from resnet_jax.models.decoders.dense import SegmentationOutputs
from resnet_jax.models.decoders.detector import Detections, Targets
from resnet_jax.models.folding import fold_norms
from resnet_jax.models.image_text import CLIP, CLIPOutputs
from resnet_jax.models.inspect import Feature, Shapes, components, differing_arrays, feature_info, feature_names, shapes
from resnet_jax.models.registry import MODELS, as_model, create_model, get_spec, list_models, registered_name
from resnet_jax.models.resnet import Outputs, ResNet, Stage
from resnet_jax.models.sorting import natural_key, sort_components
from resnet_jax.models.spec import ModelSpec

__all__ = [
    "CLIP",
    "CLIPOutputs",
    "Detections",
    "Feature",
    "MODELS",
    "ModelSpec",
    "Outputs",
    "ResNet",
    "SegmentationOutputs",
    "Shapes",
    "Stage",
    "Targets",
    "as_model",
    "components",
    "create_model",
    "differing_arrays",
    "feature_info",
    "feature_names",
    "fold_norms",
    "get_spec",
    "list_models",
    "natural_key",
    "registered_name",
    "shapes",
    "sort_components",
]
