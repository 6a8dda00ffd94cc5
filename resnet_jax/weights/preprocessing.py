"""Preprocessing of images for a file of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import flax.linen as nn

from resnet_jax.errors import one_of
from resnet_jax.models import ModelSpec
from resnet_jax.models.published import PublishedWeights
from resnet_jax.models.spec import IMAGENET
from resnet_jax.types import Preprocess
from resnet_jax.weights.hub_config import MOST_PIXELS
from resnet_jax.weights.transformers_config import read_processor

INTERPOLATIONS, CROP_MODES = ("bilinear", "bicubic", "lanczos", "nearest"), ("center", "squash", "border", "pad")


def preprocess_for(
    model: nn.Module,
    spec: ModelSpec | None,
    name: str,
    layout: str,
    file: Path,
    config: Mapping[str, Any],
    row: PublishedWeights | None,
) -> Preprocess:
    """Preprocessing of images for the weights in `file`; its `source` says where the values come from.

    A net of one channel gets the averages of the means and deviations, a net of another number of channels gets none.

    Args:
      spec: the row of the net; None: it has none.
      config: timm's configuration of this net (`config_for`), or {}.
      row: the published weights that the file holds; None: not known.

    Raises:
      ValueError: `config` has values that a `Preprocess` cannot have.
    """
    if row is not None:
        preprocess = row.preprocess
    elif layout == "transformers":
        preprocess = read_processor(file) or _assumed(model, spec, name, layout)
    elif config:
        preprocess = _timm(config, str(file.with_name("config.json")))
    else:
        preprocess = _assumed(model, spec, name, layout)
    return adapted_to(preprocess, model.in_channels)


def adapted_to(preprocess: Any, channels: int) -> Any:
    """The preprocessing for a net of another number of channels: averages for one, and no values for others.

    That of series, sounds and texts, a `SequencePreprocess`, stays as it is.
    """
    if not isinstance(preprocess, Preprocess):
        return preprocess
    mean, std = preprocess.mean, preprocess.std
    if channels == len(mean) or not mean:
        return preprocess
    if channels != 1:
        return replace(preprocess, mean=(), std=())
    return replace(preprocess, mean=(math.fsum(mean) / len(mean),), std=(math.fsum(std) / len(std),))


def _assumed(model: nn.Module, spec: ModelSpec | None, name: str, layout: str) -> Preprocess:
    """That of the first published weights of the net; without a row or weights, the usual one for ImageNet.

    A net that takes no images gets one without mean and deviation, which refuses images.
    """
    rows = spec.pretrained if spec is not None and layout == "torchvision" else ()
    if torchvision := [row for row in rows if row.source == "torchvision"]:
        published = torchvision[0].preprocess
    elif (library := _of_library(spec, layout)) is not None:
        published = library
    elif isinstance(model.image_size, tuple):  # it takes series, sound or text
        size = max(model.image_size)
        return Preprocess(size, size, (), (), source=f"none: {name} takes no images")
    else:
        size = model.image_size
        source = f"assumed: no weights of {name} are published; these are the usual values for ImageNet"
        return Preprocess(size, round(size / 0.875), *IMAGENET, source=source)
    return replace(published, source=f"assumed: unknown file; these are usual values for {name}")


def _of_library(spec: ModelSpec | None, layout: str) -> Preprocess | None:
    """That of the library's weights of the net; None: it is not known."""
    if spec is None:
        return None
    table = spec.name_tables.get(layout)
    return table.preprocess if table is not None and table.preprocess is not None else spec.preprocess


def _timm(config: Mapping[str, Any], source: str) -> Preprocess:
    """Preprocessing of timm's evaluation: at the test size, if there is one. Absent values have timm's defaults.

    Raises:
      ValueError: values of another type, shape or range.
    """

    def check(valid: bool, expected: str, got: Any) -> None:
        if not valid:
            raise ValueError(f"{source}: expected {expected}, got {got}")

    nested = config.get("pretrained_cfg") or {}
    check(isinstance(nested, dict), "pretrained_cfg to be an object", repr(nested))
    config = nested or config
    tested = "test_input_size" if config.get("test_input_size") else "input_size"
    size: Any = config.get(tested) or (3, 224, 224)
    interpolation: Any = config.get("interpolation") or "bicubic"
    crop = config.get("test_crop_pct") if tested == "test_input_size" else None
    crop = crop or config.get("crop_pct") or 0.875
    is_shape = _are_numbers(size) and len(size) == 3 and all(isinstance(x, int) and x > 0 for x in size)
    check(is_shape and size[1] == size[2], f"{tested} to be a square [C, S, S]", size)
    check(interpolation in INTERPOLATIONS, f"interpolation to be {one_of(INTERPOLATIONS)}", repr(interpolation))
    check(size[1] <= MOST_PIXELS, f"{tested} to be at most {MOST_PIXELS:,} pixels", size)
    check(_are_numbers([crop]) and crop > 0, "crop_pct to be a number above 0", repr(crop))
    check(size[1] / crop <= MOST_PIXELS, f"at most {MOST_PIXELS:,} pixels before the crop", f"crop_pct={crop}")
    mode: Any = config.get("crop_mode") or "center"
    modes = CROP_MODES[:3]  # timm pads no image
    check(mode in modes, f"crop_mode to be {one_of(modes)}", repr(mode))
    mean, std = (config.get(key) or default for key, default in zip(("mean", "std"), IMAGENET, strict=True))
    for key, values in {"mean": mean, "std": std}.items():
        is_valid = _are_numbers(values) and len(values) in (size[0], 3) and all(0 <= x <= 1 for x in values)
        check(is_valid, f"{key} to be {size[0]} numbers from 0 to 1, one per channel", values)
    check(len(mean) == len(std) and min(std) > 0, "std to be above 0, one value per mean", f"{mean}, {std}")
    return Preprocess(size[1], math.floor(size[1] / crop), tuple(mean), tuple(std), interpolation, source, mode)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in values
    )
