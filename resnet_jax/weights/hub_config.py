"""timm's `config.json` beside a file of weights: architecture, preprocessing and class names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_jax.models import MODELS


def read_hub_config(file: Path) -> dict[str, Any]:
    """timm's configuration in a `config.json` beside the file; {} if there is none.

    A file that is not valid JSON is ignored with a warning, another kind of configuration without one.
    """
    path = file.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        warnings.warn(f"{path} is not valid JSON and is ignored: {error}", stacklevel=3)
        return {}
    if not isinstance(config, dict) or not config.keys() & {"architecture", "pretrained_cfg"}:
        return {}
    return config if isinstance(config.get("architecture", ""), str) else {}


def config_for(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`config`, if it is that of the net `name`: its architecture is this one, an equal one or absent; otherwise {}."""
    architecture = config.get("architecture", name)
    if architecture == name:
        return config
    is_equal = name in MODELS and architecture in MODELS and MODELS[architecture].build == MODELS[name].build
    return config if is_equal else {}


def label_names(config: Mapping[str, Any], classes: int) -> tuple[str, ...] | None:
    """Names of the classes in timm's configuration; None unless there are `classes` of them."""
    nested = config.get("pretrained_cfg")
    names = config.get("label_names") or (nested.get("label_names") if isinstance(nested, dict) else None)
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == classes else None
