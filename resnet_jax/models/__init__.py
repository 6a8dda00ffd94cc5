"""Networks: modules, their parts, and the registry of every net by name."""

from resnet_jax.models.registry import (
    MODELS,
    Feature,
    Outputs,
    ResNet,
    Shapes,
    Stage,
    as_model,
    create_model,
    feature_info,
    in_order,
    list_models,
    natural,
    parts,
    pieces,
    shapes,
)

__all__ = [
    "Feature",
    "MODELS",
    "Outputs",
    "ResNet",
    "Shapes",
    "Stage",
    "as_model",
    "create_model",
    "feature_info",
    "in_order",
    "list_models",
    "natural",
    "parts",
    "pieces",
    "shapes",
]
