"""What a file of weights says about its net: name, options, classes and preprocessing, as texts in its metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from resnet_jax.errors import UnreadableWeights, one_line, one_of
from resnet_jax.inputs import SequencePreprocess, preprocess_of
from resnet_jax.models import MODELS, create_model, get_spec, registered_name
from resnet_jax.models.inspect import backbone_of, has_texts, is_dense
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.partials import Partial
from resnet_jax.models.registry import class_of, default_net
from resnet_jax.models.stems import STEMS
from resnet_jax.types import Preprocess
from resnet_jax.weights.hub_config import MOST_PIXELS
from resnet_jax.weights.preprocessing import CROP_MODES, INTERPOLATIONS

# Fields in which nets with equal arrays may give other numbers.
SIMPLE = ("global_pool", "output_stride", "dilation")
OPTIONS = {"stem", "norm", *SIMPLE}  # of `create_model`, in metadata
# Fields of a segmenter, a detector or CLIP that metadata does not have.
NOT_STORED = (
    *("backbone", "num_classes", "frozen_norms", "registry_name", "dropout_rate", "parent", "name"),
    *("image_tower", "embed_dim", "init_logit_scale", "init_logit_bias"),
)
COMPONENTS = ("stages", "stem", "stem_features", "head", "conv", "norm", "act", *SIMPLE)


def to_metadata(
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    preprocess: Preprocess | SequencePreprocess | None = None,
) -> dict[str, str]:
    """Metadata of a file: the net's name as it is, the rest as JSON. The preprocessing's source has no folders."""
    values: dict[str, Any] = {"options": dict(options or {}), "classes": list(classes or ())}
    if preprocess is not None and not isinstance(preprocess, Preprocess):
        values["preprocess"] = preprocess.record()
    elif preprocess is not None:
        source = Path(preprocess.source)
        is_path = source.is_absolute() or source.suffix == ".json"
        values["preprocess"] = preprocess.record() | ({"source": source.name} if is_path else {})
    return {"architecture": name} | {key: json.dumps(value) for key, value in values.items() if value}


def options_of(model: Any, name: str) -> dict[str, Any]:
    """Options of `create_model(name, ...)`, as JSON holds them, that give the components of this net.

    Raises:
      ValueError: no options do.
    """
    default: Any = default_net(model)
    differing, body = differing_fields(model, default), backbone_of(model)
    options = {field: getattr(body, field) for field in differing if field in SIMPLE}
    if "stem" in differing and (stems := [key for key in STEMS if _with_stem(body, key).stem == body.stem]):
        options["stem"] = stems[0]
    if "norm" in differing and isinstance(body.norm, Partial) and body.norm.func is BatchNorm and not body.norm.args:
        options["norm"] = dict(body.norm.keywords)
    if is_dense(model) or has_texts(model):
        options |= {field: getattr(model, field) for field in differing if field in dense_fields(name)}
    spec, tower = get_spec(name), registered_name(body)
    if spec.chosen_net is not None and tower != spec.image_tower:
        options[spec.chosen_net] = tower
    if others := [field for field in differing if field not in options]:
        raise ValueError(f"{name} has no option that gives this net's {', '.join(others)}")
    return options


def differing_fields(model: Any, other: Any) -> list[str]:
    """Fields in which two nets of one class, or their backbones, differ in a way that may give other numbers."""
    body, other_body = backbone_of(model), backbone_of(other)
    differing = [field for field in COMPONENTS if getattr(body, field) != getattr(other_body, field)]
    if is_dense(model) or has_texts(model):
        name = get_spec(other).name
        standard: Any = create_model(name)  # has the default levels, which `other` on a small backbone has not
        nets = {field: standard if field == "levels" else other for field in dense_fields(name)}
        differing += [field for field, net in nets.items() if getattr(model, field) != getattr(net, field)]
    return differing


def dense_fields(name: str) -> list[str]:
    """Fields of a segmenter, a detector or CLIP beside the net inside and what files have in their arrays."""
    return [field for field in class_of(get_spec(name)).__dataclass_fields__ if field not in NOT_STORED]


def _with_stem(body: Any, stem: str) -> Any:
    """The net of `create_model` with the name of this one, and another stem."""
    return create_model(registered_name(body), stem=stem)


def read_metadata(
    metadata: Mapping[str, str], file: str
) -> tuple[dict[str, Any], list[str] | None, Preprocess | SequencePreprocess | None]:
    """Options, classes and preprocessing in the metadata that `to_metadata` makes; {} and None where they are absent.

    Raises:
      UnreadableWeights: they are of another form.
    """
    try:
        options = dict(json.loads(metadata.get("options", "{}")))
        name = metadata.get("architecture")
        is_around = name in MODELS and (MODELS[name].is_dense or MODELS[name].image_tower is not None)
        dense = dense_options(str(name), options) if is_around else {}
        if unknown := options.keys() - OPTIONS - dense.keys():
            raise ValueError(f"unknown options of the net: {', '.join(sorted(unknown))}")
        options |= dense
        if "norm" in options:
            options["norm"] = _norm(options["norm"])
        classes = json.loads(metadata.get("classes", "null"))
        if classes is not None and not (isinstance(classes, list) and all(isinstance(x, str) for x in classes)):
            raise ValueError(f"expected names of classes, got {str(classes)[:80]}")
        values = json.loads(metadata.get("preprocess", "null"))
        if values is not None:
            values = _preprocess(values) if values.get("kind", "images") == "images" else preprocess_of(values)
        return options, classes, values
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise UnreadableWeights(f"{file} has invalid metadata: {one_line(error)}") from None


def dense_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are fields of the segmenter, detector or CLIP `name`, or its backbone, as `create_model` takes them.

    Raises:
      ValueError: a value of another type than the field's.
    """
    default: Any = create_model(name)
    values = {}
    for field in [field for field in dense_fields(name) if field in options]:
        value, expected = _tuples(options[field]), getattr(default, field)
        if expected is not None and type(value) is not type(expected):
            raise ValueError(f"expected {field} as {expected}, got {str(value)[:80]}")
        values[field] = value
    if (inner := MODELS[name].chosen_net) is not None and inner in options:
        if options[inner] not in MODELS:
            raise ValueError(f"expected the name of a net as the {inner}, got {str(options[inner])[:80]}")
        values[inner] = options[inner]
    return values


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _norm(values: dict[str, Any]) -> Partial:
    numbers = {key: float(values[key]) for key in values.keys() & {"epsilon", "decay"}}
    if numbers.keys() != values.keys() or not all(0 <= x <= 1 for x in numbers.values()):
        raise ValueError(f"expected epsilon and decay of the norm, from 0 to 1, got {str(values)[:80]}")
    return Partial(BatchNorm, **numbers)


def _preprocess(values: dict[str, Any]) -> Preprocess:
    known = {field.name for field in fields(Preprocess)}
    if unknown := values.keys() - known:
        raise ValueError(f"unknown values of the preprocessing: {', '.join(sorted(unknown))}")
    pairs = {key: tuple(map(float, values[key])) for key in ("mean", "std")}
    if not all(map(math.isfinite, pairs["mean"])):
        raise ValueError("expected finite means")
    if len(pairs["mean"]) != len(pairs["std"]) or not all(0 < std < math.inf for std in pairs["std"]):
        raise ValueError("expected as many deviations above 0 as means")
    sizes = {key: int(values[key]) for key in ("image_size", "resize")}
    if min(sizes.values()) < 1 or max(sizes.values()) > MOST_PIXELS:
        raise ValueError(f"expected sizes of 1 to {MOST_PIXELS:,} pixels")
    for key, choices in {"interpolation": INTERPOLATIONS, "crop_mode": CROP_MODES}.items():
        if values.get(key, choices[0]) not in choices:
            raise ValueError(f"expected {key} {one_of(choices)}, got {str(values[key])[:80]!r}")
    return Preprocess(**values | pairs | sizes)
