"""Deep residual networks in JAX and Flax."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_jax import old_names

old_names.install()

if TYPE_CHECKING:
    from resnet_jax.analysis.summary import Summary, summary
    from resnet_jax.create import create_model
    from resnet_jax.models import (
        CLIP,
        CLIPOutputs,
        Detections,
        Feature,
        ModelSpec,
        Outputs,
        SegmentationOutputs,
        Targets,
        feature_info,
        fold_norms,
        get_spec,
        list_models,
    )
    from resnet_jax.steps import make_eval_step, make_train_step
    from resnet_jax.training.state import TrainState
    from resnet_jax.types import Preprocess, Pretrained
    from resnet_jax.weights import load_pretrained, save_torch_state
    from resnet_jax.weights.checkpoint import save_checkpoint

__version__ = "0.2.0.dev0"

__all__ = [
    "CLIP",
    "CLIPOutputs",
    "Detections",
    "Feature",
    "ModelSpec",
    "Outputs",
    "Preprocess",
    "Pretrained",
    "SegmentationOutputs",
    "Summary",
    "Targets",
    "TrainState",
    "create_model",
    "feature_info",
    "fold_norms",
    "get_spec",
    "list_models",
    "load_checkpoint",
    "load_pretrained",
    "make_eval_step",
    "make_train_step",
    "save_checkpoint",
    "save_torch_state",
    "summary",
]

# Imported at first use, so that the command line starts, and answers --help and mistakes, without JAX.
_MODULES = {
    **dict.fromkeys(("Summary", "summary"), "analysis"),
    **dict.fromkeys(
        ("CLIP", "CLIPOutputs", "Detections", "Feature", "ModelSpec", "Outputs", "SegmentationOutputs", "Targets"),
        "models",
    ),
    "create_model": "create",
    **dict.fromkeys(("feature_info", "fold_norms", "get_spec", "list_models"), "models"),
    "TrainState": "training.state",
    **dict.fromkeys(("make_eval_step", "make_train_step"), "steps"),
    **dict.fromkeys(("Preprocess", "Pretrained"), "types"),
    "save_checkpoint": "weights.checkpoint",
    **dict.fromkeys(("load_pretrained", "save_torch_state"), "weights"),
}
_PACKAGES = (  # `resnet_jax.models` without an import
    *("analysis", "checkpoints", "config", "data", "distributed", "evaluation", "experiments", "images", "metrics"),
    *("models", "ops", "runs", "tasks", "training", "types", "weights"),
)


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *_PACKAGES})


def load_checkpoint(
    path: str | Path, step: str | int = "latest", *, ema: bool = False, allow_nonfinite: bool = False
) -> Pretrained:
    """See `resnet_jax.weights.checkpoint.load_checkpoint`; imports Orbax only when called."""
    from resnet_jax.weights import checkpoint

    return checkpoint.load_checkpoint(path, step, ema=ema, allow_nonfinite=allow_nonfinite)
