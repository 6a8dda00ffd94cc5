"""The registry: every net by name."""

from __future__ import annotations

import warnings
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import flax.linen as nn

from resnet_jax.errors import check_type, described, did_you_mean
from resnet_jax.models.options import check_choice
from resnet_jax.models.partials import Partial
from resnet_jax.models.sorting import natural_key
from resnet_jax.models.spec import ModelSpec
from resnet_jax.models.stems import STEMS
from resnet_jax.models.zoo import cifar, clip, efficientnet, imagenet, preact, skipnet, variants

FAMILIES = (cifar, imagenet, variants, preact, clip, efficientnet, skipnet)
MODELS: dict[str, ModelSpec] = {
    name: replace(spec, name=name) for family in FAMILIES for name, spec in family.MODELS.items()
}
NOT_OPTIONS = ("parent", "name", "registry_name")  # fields of every net that are not options of `create_model`


def list_models(pattern: str = "*") -> list[str]:
    """Registered names that match a shell pattern (`"*resnet*_v1"`), ignoring case, with numbers in numeric order."""
    check_type(pattern, str, "a pattern of model names (str)")
    return sorted((name for name in MODELS if fnmatchcase(name.casefold(), pattern.casefold())), key=natural_key)


def get_spec(model: str | nn.Module) -> ModelSpec:
    """The registry's row of a net, by name or by a module that `create_model` made.

    Overrides (num_classes, dtype, conv, ...) do not change the row. A module with other `stages` has no row.

    Raises:
      ValueError: no model of this name, or a module that is not registered.
      TypeError: neither a name nor a module.
    """
    check_type(model, (str, nn.Module), "a model name (str) or a net of create_model")
    name = model if isinstance(model, str) else registered_name(model)
    if name is None:
        raise ValueError(f"{type(model).__name__} is not a registered net; expected a net of create_model")
    if name not in MODELS:
        raise ValueError(
            f"no model named {name!r}; {did_you_mean(name, MODELS, 'see list_models(), or resnet-jax models')}"
        )
    return MODELS[name]


def registered_name(model: nn.Module) -> str | None:
    """The name that `create_model` built a net by; None for other nets, and for copies with other `stages`."""
    name = getattr(model, "registry_name", None)
    if name not in MODELS:
        return None
    original = MODELS[name].build(parent=None)  # inside a compact method it must not become a submodule
    return name if getattr(model, "stages", None) == getattr(original, "stages", None) else None


def create_model(name: str | None = None, /, **overrides: Any) -> nn.Module:
    """The net called `name`, with fields of `ResNet` overridden: num_classes, in_channels, dtype, drop_path, ...

    `stem` may be "imagenet", "cifar", "deep" or "halving"; dtypes may be strings ("bfloat16"). Equal arguments give
    equal, hashable modules. Flax's `name` and `parent` are valid, too: the name of a submodule.

    `output_stride` 8 or 16 keeps the last maps finer: later strides become dilations. `dilation` is the rule for the
    pools in branches and shortcuts (D, T, anti-aliased, RS and Res2Net nets, CLIP's towers): "timm" does not dilate
    them, so that timm's weights give timm's numbers; "resample" dilates them, so that the net computes the features of
    the ordinary net on a finer grid.

    Raises:
      ValueError: an unknown name, or a value that no net can have. The message has the nearest valid choice.
      TypeError: an unknown override.
    """
    name = positional_name(name, overrides, stacklevel=3)
    spec = get_spec(name)
    default: Any = spec.build(parent=None)  # inside a compact method it must not become a submodule
    fields = [field for field in default.__dataclass_fields__ if field not in NOT_OPTIONS]
    for field in overrides:
        if field == "pretrained":
            raise TypeError(f'resnet_jax.create_model("{name}", pretrained=True) returns the net with its weights')
        if field not in fields and field not in ("parent", "name"):
            hint = "a net always returns them: model.apply(...).features" if field == "features_only" else ""
            raise TypeError(f"{name} has no option {field!r}; {hint or did_you_mean(field, fields)}")
    if isinstance(stem := overrides.get("stem"), str):
        check_choice("stem", stem, STEMS)
        overrides["stem"] = Partial(STEMS[stem], bare=True) if getattr(default.stem, "bare", False) else STEMS[stem]
    return spec.build(registry_name=name, **overrides)


def positional_name(name: str | None, overrides: dict[str, Any], stacklevel: int) -> str:
    """The name of a net, also where `create_model(name=...)` passes it; `stacklevel` counts from this function."""
    if name is None:
        if not isinstance(name := overrides.pop("name", None), str):
            raise TypeError(f'expected a model name (str), as "resnet50", got {described(name)}; see list_models()')
        warnings.warn(
            f'create_model(name="{name}") is now create_model("{name}"): `name` is the name of a submodule',
            FutureWarning,
            stacklevel=stacklevel,
        )
    check_type(name, str, "a model name (str)", "see list_models()")
    return name


def as_model(model: str | nn.Module) -> Any:
    """The net itself, or the net of a name.

    Raises:
      TypeError: neither a name nor a net with the fields of `ResNet`.
      ValueError: no model of this name.
    """
    expected = "a model name (str) or a net of create_model"
    if isinstance(model, str):
        return create_model(model)
    check_type(model, nn.Module, expected)
    if not all(hasattr(model, field) for field in ("stages", "image_size", "in_channels")):
        raise TypeError(f"expected {expected}, got {described(model)}")
    return model
