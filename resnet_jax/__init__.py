"""Deep residual networks in JAX and Flax."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.analysis import Summary, summary
from resnet_jax.models import Feature, Outputs, create_model, feature_info, list_models
from resnet_jax.training.state import TrainState
from resnet_jax.training.steps import make_eval_step, make_train_step
from resnet_jax.types import Preprocess, Pretrained
from resnet_jax.weights import load_pretrained, save_torch_state

__version__ = "0.2.0.dev0"

__all__ = [
    "Feature",
    "Outputs",
    "Preprocess",
    "Pretrained",
    "Summary",
    "TrainState",
    "create_model",
    "feature_info",
    "list_models",
    "load_checkpoint",
    "load_pretrained",
    "make_eval_step",
    "make_train_step",
    "save_torch_state",
    "summary",
]


def load_checkpoint(
    path: str | Path, step: str | int = "latest", *, ema: bool = False, allow_nonfinite: bool = False
) -> Pretrained:
    """See `resnet_jax.training.checkpoint.load_checkpoint`; imports Orbax only when called."""
    from resnet_jax.training import checkpoint

    return checkpoint.load_checkpoint(path, step, ema=ema, allow_nonfinite=allow_nonfinite)
