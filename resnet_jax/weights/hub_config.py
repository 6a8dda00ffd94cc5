"""timm's `config.json` beside a file of weights: architecture, preprocessing and class names."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_jax.errors import listed
from resnet_jax.models import MODELS

MOST_PIXELS = 10_000  # of a side; an image of more takes the memory
# Arguments of timm's nets that arrays have in their shapes, or that concern training alone.
HARMLESS = ("num_classes", "in_chans", "img_size", "drop_rate", "drop_path_rate", "drop_block_rate", "zero_init_last")


def read_hub_config(file: Path) -> dict[str, Any]:
    """timm's configuration in a `config.json` beside the file; {} if there is none.

    A file that is not valid JSON is ignored with a warning, another kind of configuration without one.
    """
    config = read_json(file.with_name("config.json"), stacklevel=4)
    if not config.keys() & {"architecture", "pretrained_cfg"}:
        return {}
    return config if isinstance(config.get("architecture", ""), str) else {}


def read_json(path: Path, stacklevel: int = 4) -> dict[str, Any]:
    """The object in a file of JSON; {} if there is no such file, and, with a warning, if it is not valid."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        warnings.warn(f"{path} is not valid JSON and is ignored: {error}", stacklevel=stacklevel)
        return {}
    return values if isinstance(values, dict) else {}


def open_clip_options(file: Path) -> dict[str, Any]:
    """Options of CLIP that `open_clip_config.json` beside the file says and no array shows; {} if there is none."""
    config = read_json(file.with_name("open_clip_config.json")).get("model_cfg")
    if not isinstance(config, dict):
        return {}
    return {"text_act": "quick_gelu" if config.get("quick_gelu") is True else "gelu"}  # exact unless it says so


def check_arguments(config: Mapping[str, Any], file: str) -> None:
    """Raises ValueError if the configuration changes its net in ways that the arrays do not show."""
    arguments = config.get("model_args") or {}
    if not isinstance(arguments, dict):
        raise ValueError(f"{file}: expected model_args of config.json to be an object, got {str(arguments)[:80]}")
    if others := [f"{name}={value!r}"[:80] for name, value in arguments.items() if name not in HARMLESS]:
        raise ValueError(f"{file}: config.json changes its net by model_args that are not known: {listed(others, 3)}")


def config_for(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`config`, if it is that of the net `name`: its architecture is this one, an equal one or absent; otherwise {}."""
    architecture = config.get("architecture", name)
    if architecture == name:
        return config
    is_equal = name in MODELS and architecture in MODELS and MODELS[architecture].build == MODELS[name].build
    return config if is_equal else {}


def label_names(config: Mapping[str, Any], classes: int) -> tuple[str, ...] | None:
    """Names of the classes in timm's configuration; None unless there are `classes` of them.

    Others than texts and numbers are ignored with a warning.
    """
    nested = config.get("pretrained_cfg")
    names = config.get("label_names") or (nested.get("label_names") if isinstance(nested, dict) else None)
    if not isinstance(names, list) or len(names) != classes:
        return None
    if others := [name for name in names if not isinstance(name, str | int | float) or isinstance(name, bool)]:
        problem = f"expected texts or numbers, got {listed(map(repr, others), 3)}"
        warnings.warn(f"label_names of config.json are ignored: {problem}", stacklevel=4)
        return None
    return tuple(map(str, names))
