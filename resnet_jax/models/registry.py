"""The registry: every net by name."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import fields as fields_of
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import flax.linen as nn

from resnet_jax.errors import check_type, described, did_you_mean
from resnet_jax.models.heads import LinearHead
from resnet_jax.models.options import check_choice
from resnet_jax.models.partials import Partial
from resnet_jax.models.sorting import natural_key
from resnet_jax.models.spec import INPUT_KINDS, InputKind, ModelSpec
from resnet_jax.models.stems import STEMS
from resnet_jax.models.zoo import (
    audio,
    cifar,
    clip,
    detection,
    efficientnet,
    imagenet,
    preact,
    segmentation,
    series,
    skipnet,
    texts,
    variants,
)

FAMILIES = (
    *(cifar, imagenet, variants, preact, clip, efficientnet, skipnet, segmentation, detection),
    *(series, audio, texts),
)
MODELS: dict[str, ModelSpec] = {
    name: replace(spec, name=name) for family in FAMILIES for name, spec in family.MODELS.items()
}
NOT_OPTIONS = ("parent", "name", "registry_name")  # fields of every net that are not options of `create_model`


def list_models(pattern: str = "*", *, input_kind: InputKind | Literal["any"] = "images") -> list[str]:
    """Registered names that match a shell pattern (`"*resnet*_v1"`), ignoring case, with numbers in numeric order.

    Args:
      input_kind: what the nets take: "images", "series", "waveform", "spectrogram", "tokens", "image-text",
        or "any" of them.

    Raises:
      TypeError, ValueError: a pattern that is no str, or another kind.
    """
    check_type(pattern, str, "a pattern of model names (str)")
    check_choice("input_kind", input_kind, (*INPUT_KINDS, "any"))
    kinds = INPUT_KINDS if input_kind == "any" else (input_kind,)
    names = (name for name, spec in MODELS.items() if spec.input_kind in kinds)
    return sorted((name for name in names if fnmatchcase(name.casefold(), pattern.casefold())), key=natural_key)


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
    """The name that `create_model` built a net by; None for other nets, and for copies with other `stages`.

    Stages of a library's net, which its name table has, count as those of the row.
    A net around another one that is not registered has no name either.
    """
    name = getattr(model, "registry_name", None)
    if name not in MODELS:
        return None
    if (inner := MODELS[name].chosen_net) is not None:
        return name if registered_name(getattr(model, inner)) is not None else None
    original = create_model(MODELS[name].backbone or name, parent=None)  # parent: not a submodule of a compact method's
    tables = MODELS[name].name_tables.values()
    known = [getattr(original, "stages", None), *(table.overrides.get("stages") for table in tables)]
    return name if getattr(model, "stages", None) in known else None


def default_net(model: Any) -> Any:
    """The net of `create_model` with the name of this one, and of its backbone; for others the net itself.

    A detector on a backbone of the caller's choice has this one's levels: the default ones may not be there.
    """
    name = registered_name(model)
    if name is None:
        return model
    options: dict[str, Any] = {}
    if (inner := MODELS[name].chosen_net) is not None:
        options = {"levels": model.levels} if hasattr(model, "levels") else {}
        options[inner] = registered_name(getattr(model, inner))
    return create_model(name, parent=None, **options)


def create_model(name: str | None = None, /, **overrides: Any) -> nn.Module:
    """The net called `name`, with fields of `ResNet` overridden: num_classes, in_channels, dtype, drop_path, ...

    `stem` may be "imagenet", "cifar", "deep" or "halving"; dtypes may be strings ("bfloat16"). Equal arguments give
    equal, hashable modules. Flax's `name` and `parent` are valid, too: the name of a submodule.

    A segmenter or detector has the fields of its class (`DeepLabV3`, ...) as options, and passes all others to its
    backbone. The nets that are not named after a backbone ("deeplabv3", ...) take `backbone`: a name, or a net, whose
    fields stay as they are.

    CLIP's nets (`clip_resnet50`, ...) have the fields of `CLIP` as options, and pass all others to their image tower.
    `image_tower` names another net of images as the tower.

    `output_stride` 8 or 16 keeps the last maps finer: later strides become dilations. `dilation` is the rule for the
    pools in branches and shortcuts (D, T, anti-aliased, RS and Res2Net nets, CLIP's towers): "timm" does not dilate
    them, so that timm's weights give timm's numbers; "resample" dilates them, so that the net computes the features of
    the ordinary net on a finer grid. "smp" is timm's, but dilates the first convolution of a stage, too, as
    segmentation_models_pytorch does.

    Raises:
      ValueError: an unknown name, or a value that no net can have. The message has the nearest valid choice.
      TypeError: an unknown override.
    """
    name = positional_name(name, overrides, stacklevel=3)
    spec = get_spec(name)
    if spec.is_dense:
        return _on_backbone(spec, overrides)
    if spec.image_tower is not None:
        return _with_image_tower(spec, spec.image_tower, overrides)
    default: Any = spec.build(parent=None)  # inside a compact method it must not become a submodule
    return spec.build(registry_name=name, **_checked(name, overrides, default))


def _on_backbone(spec: ModelSpec, options: dict[str, Any]) -> nn.Module:
    """A dense net: fields of its class are its options, and all others are the backbone's."""
    kind = class_of(spec)
    if "backbone" in options and not spec.takes_backbone:
        generic = next(name for name, row in MODELS.items() if row.takes_backbone and class_of(row) is kind)
        hint = f'create_model("{generic}", backbone=...) takes one'
        raise TypeError(f"{spec.name} has no option 'backbone'; {hint}")
    fields = [field.name for field in fields_of(kind)]  # without its constants
    dense = {option: options.pop(option) for option in fields if option in options and option not in NOT_OPTIONS[2:]}
    backbone = dense.pop("backbone", spec.backbone)
    check_type(backbone, (str, nn.Module), "backbone to be a model name (str) or a net of create_model")
    net: Any = create_model(backbone, parent=None) if isinstance(backbone, str) else as_model(backbone)
    if hasattr(net, "backbone"):
        raise ValueError(f"backbone: expected a net with one output per image, got {type(net).__name__}")
    values = _checked(spec.name, options, net, [field for field in fields if field not in NOT_OPTIONS])
    if isinstance(backbone, str):
        values = {"image_size": spec.image_size, **_defaults(spec, net), **values}
    values = {"head": LinearHead, **values}  # others have layers, which no decoder uses
    return spec.build(backbone=net.clone(num_classes=0, **values), registry_name=spec.name, **dense)


def _with_image_tower(spec: ModelSpec, image_tower: str, options: dict[str, Any]) -> nn.Module:
    """A net of images and texts: fields of its class are its options, and all others are the image tower's."""
    if options.get("num_classes"):
        count = options["num_classes"]
        raise ValueError(f"{spec.name} has no classes; did you mean embed_dim={count}, the length of its features?")
    image_tower = options.pop("image_tower", image_tower)
    check_type(image_tower, str, "image_tower to be a model name (str)")
    try:
        tower_spec = get_spec(image_tower)
    except ValueError as error:
        raise ValueError(f"image_tower: {error}") from None
    if tower_spec.input_kind != "images" or tower_spec.is_dense:
        expected = f"expected a net of images with one output for each, as {spec.image_tower} or resnet50"
        raise ValueError(f"image_tower: {expected}, got {image_tower}")
    fields = [field.name for field in fields_of(class_of(spec)) if field.name not in (*NOT_OPTIONS, "image_tower")]
    around = {option: options.pop(option) for option in (*fields, "parent", "name") if option in options}
    tower: Any = create_model(image_tower, parent=None)
    values = _checked(spec.name, options, tower, [*fields])
    return spec.build(image_tower=tower.clone(**values), registry_name=spec.name, **around)


def class_of(spec: ModelSpec) -> Any:
    """The class of the net that a row builds."""
    build: Any = spec.build
    while isinstance(build, Partial):
        build = build.func
    return build


def _defaults(spec: ModelSpec, net: Any) -> dict[str, Any]:
    """The row's options of a backbone that is chosen by name; an output stride only if the net has a larger one."""
    options = dict(spec.backbone_options)
    strides = net.stem.total_strides * math.prod(stage.strides for stage in net.stages)
    if options.get("output_stride", 0) >= strides:
        del options["output_stride"]
    return options


def _checked(name: str, overrides: dict[str, Any], net: Any, others: Sequence[str] = ()) -> dict[str, Any]:
    """Options of a net of this kind, with the stem's class for its name. Raises TypeError for unknown ones."""
    fields = [field for field in net.__dataclass_fields__ if field not in NOT_OPTIONS]
    for field in overrides:
        if field == "pretrained":
            raise TypeError(f'resnet_jax.create_model("{name}", pretrained=True) returns the net with its weights')
        if field not in fields and field not in ("parent", "name"):
            hint = "a net always returns them: model.apply(...).features" if field == "features_only" else ""
            raise TypeError(
                f"{name} has no option {field!r}; {hint or did_you_mean(field, dict.fromkeys([*others, *fields]))}"
            )
    if not isinstance(stem := overrides.get("stem"), str):
        return overrides
    check_choice("stem", stem, STEMS)
    bare = getattr(net.stem, "bare", False)
    return {**overrides, "stem": Partial(STEMS[stem], bare=True) if bare else STEMS[stem]}


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
