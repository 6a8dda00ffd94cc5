"""Nets by name, with or without published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

import flax.linen as nn

from resnet_jax.errors import check_type
from resnet_jax.models import registry
from resnet_jax.types import Pretrained

PASSED_ON = ("num_classes", "in_channels", "dtype")  # options that `load_pretrained` has, too


@overload
def create_model(name: str | None = None, /, *, pretrained: Literal[False] = False, **overrides: Any) -> nn.Module: ...


@overload
def create_model(name: str, /, *, pretrained: Literal[True] | str, **overrides: Any) -> Pretrained: ...


@overload
def create_model(name: str, /, *, pretrained: bool | str, **overrides: Any) -> nn.Module | Pretrained: ...


def create_model(
    name: str | None = None, /, *, pretrained: bool | str = False, **overrides: Any
) -> nn.Module | Pretrained:
    """The net called `name`; with `pretrained`, a `Pretrained`: the net, its published weights and their preprocessing.

    Args:
      name: one of `list_models()`.
      pretrained: True: the default weights, which are timm's default (through huggingface_hub, extra `hub`), or
        torchvision's newest for a net that timm has no weights of. A tag ("a1_in1k", "IMAGENET1K_V2"): these weights;
        `resnet-jax weights NAME` lists them. False: none.
      overrides: options of the net, as for `resnet_jax.models.create_model`: num_classes (another number than the
        weights' makes a new head), in_channels, dtype, drop_path, ...

    Raises:
      ValueError: an unknown name or tag, no published weights, or a value that no net can have. The message has the
        nearest valid choice.
      TypeError: an unknown override.
      DownloadFailed, MissingExtra, UnreadableWeights: as `load_pretrained`, which has more options.
    """
    check_type(pretrained, (bool, str), "pretrained to be True, False or a tag (str)")
    name = registry.positional_name(name, overrides, stacklevel=3)
    if pretrained is False:
        return registry.create_model(name, **overrides)
    from resnet_jax.models.published import find, published
    from resnet_jax.weights import load_pretrained
    from resnet_jax.weights.sources.tags import default_weights

    registry.get_spec(name)  # raises for an unknown name
    row = default_weights(name) if pretrained is True else None
    is_tag = pretrained in [row.tag for row in published(name)]  # also where a file or folder has this name
    if isinstance(pretrained, str) and not is_tag and ("/" in pretrained or Path(pretrained).exists()):
        raise ValueError(
            f"expected pretrained to be a tag, got {pretrained!r}; did you mean load_pretrained({pretrained!r})?"
        )
    row = row or find(name, None if pretrained is True else pretrained)
    options = {option: overrides.pop(option) for option in PASSED_ON if option in overrides}
    if not overrides:
        return load_pretrained(row.name, model=name, **options)
    model = registry.create_model(name, **overrides)
    return load_pretrained(row.name, model=model, **{"num_classes": row.classes} | options)
