"""First weights of a segmenter or detector: those of such a net, or of a classifier, for its backbone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.errors import NotFinite, WrongModel, listed, one_of
from resnet_jax.models import MODELS, shapes
from resnet_jax.models.inspect import backbone_of, is_dense
from resnet_jax.models.partials import Partial
from resnet_jax.types import Pretrained, Variables
from resnet_jax.weights import load_pretrained

SIDE = 64  # pixels of the image that a net is traced on; parameters do not depend on it
HEAD = ("params", "head")
SAME = ("stages", "stem", "conv", "act")  # in others the same arrays mean another net


def read_dense(source: str | Path, model: Any, net: str, *, ema: bool | None) -> Pretrained:
    """Weights from a file for `model`, or for its backbone where `net`, the file's registered net, is a classifier.

    Raises:
      ValueError: they are of another net, or not finite.
    """
    whole = MODELS[net].is_dense
    try:
        loaded = load_pretrained(
            source, model=model if whole else model.backbone, num_classes=None if whole else 0, ema=ema
        )
    except WrongModel as error:
        option = "--model.name" if whole else "--model.options backbone="
        raise ValueError(
            f"{error.file} is {error.match}; choose its net: {option} {one_of(error.match.names)}"
        ) from None
    except NotFinite as error:
        raise ValueError(error.problem) from None
    return loaded


def fit_dense(loaded: Pretrained, model: Any, source: str | Path, *, keeps_head: bool) -> Variables:
    """The variables for `model` from a net like it, or from a classifier for its backbone.

    Layers with an output for each class are not among them, unless `keeps_head`. Scales of frozen norms are adapted to
    the model's epsilon: see `note_epsilon`.

    Raises:
      ValueError: the arrays do not fit the model, or belong to one with other components.
    """
    theirs = flatten_dict(loaded.variables)
    if not is_dense(loaded.model):
        theirs = {(at[0], "backbone", *at[1:]): x for at, x in theirs.items() if at[:2] != HEAD}
    expected = {at: x.shape for at, x in flatten_dict(shapes(model, SIDE).variables).items()}
    new = set() if keeps_head else _class_layers(model, expected)
    if not is_dense(loaded.model):
        new |= {at for at in expected if at[1] != "backbone"}
    used = {at: x for at, x in theirs.items() if at not in new}
    different = [
        f"{'/'.join(at)}: expected {list(expected.get(at, ()))}, got {_shape_of(used.get(at))}"
        for at in sorted((used.keys() | expected.keys()) - new)
        if at not in used or used[at].shape != expected.get(at)
    ]
    if different:
        raise ValueError(f"the weights of {source} ({loaded.name}) do not fit the model: {listed(different, 3)}")
    for name in SAME:
        if getattr(backbone_of(loaded.model), name) != getattr(model.backbone, name):
            raise ValueError(f"the weights of {source} ({loaded.name}) are of a backbone with another {name}")
    if (epsilons := _epsilons(loaded, model)) is not None and _is_frozen(model):
        used |= _scales(used, *epsilons)
    return unflatten_dict(used)


def note_epsilon(loaded: Pretrained, model: Any) -> list[str]:
    """A note if norms of the weights' backbone have another epsilon than the model's.

    The scales of frozen norms are adapted to it and the maps are the same; otherwise the maps differ a little.
    """
    if (epsilons := _epsilons(loaded, model)) is None:
        return []
    theirs, ours = epsilons
    if _is_frozen(model):
        return [f"the scales of the backbone's norms are adapted from epsilon {theirs:g} to {ours:g}"]
    return [f"the weights were trained with norms of epsilon {theirs:g}; those of this backbone have {ours:g}"]


def _is_frozen(model: Any) -> bool:
    return "all" in model.backbone.frozen_norms


def _scales(arrays: Mapping[tuple[str, ...], Any], theirs: float, ours: float) -> dict[tuple[str, ...], np.ndarray]:
    """The backbone's scales with which norms of epsilon `ours` compute what those of `theirs` do."""
    scales = {}
    for at, var in arrays.items():
        if at[:2] == ("batch_stats", "backbone") and at[-1] == "var":
            place = ("params", *at[1:-1], "scale")
            # torchvision's variances may be denormal numbers of float32, which some devices take for 0.
            scale, wide = np.asarray(arrays[place]), np.asarray(var, np.float64)
            scales[place] = (scale * np.sqrt((wide + ours) / (wide + theirs))).astype(scale.dtype)
    return scales


def _epsilons(loaded: Pretrained, model: Any) -> tuple[float, float] | None:
    """Those of the norms in both backbones; None if they are equal."""
    theirs, ours = (_epsilon(backbone_of(net).norm) for net in (loaded.model, model))
    return None if theirs is None or ours is None or theirs == ours else (theirs, ours)


def _epsilon(norm: Any) -> float | None:
    """That of a norm, None if it has none."""
    keywords = norm.keywords if isinstance(norm, Partial) else {}
    default = getattr(norm.func if isinstance(norm, Partial) else norm, "epsilon", None)
    return keywords.get("epsilon", default)


def _shape_of(array: Any) -> str:
    return "nothing" if array is None else str(list(array.shape))


def _class_layers(model: Any, expected: dict[tuple[str, ...], tuple[int, ...]]) -> set[tuple[str, ...]]:
    """Paths of the arrays whose shape depends on the number of classes."""
    other = model.clone(num_classes=model.num_classes + 1)
    return {at for at, x in flatten_dict(shapes(other, SIDE).variables).items() if x.shape != expected[at]}
