"""How images are prepared for published weights: by the file of the weights, where it is known."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import flax.linen as nn

from resnet_jax.models import MODELS, pieces
from resnet_jax.models.heads import AttentionPoolHead, ConvHead, NormHead
from resnet_jax.types import Preprocess

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # means and standard deviations of R, G, B in [0, 1]
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# torchvision's weights by the checksum in the file's name: net, crop, shorter side before it, interpolation. Means and
# deviations are ImageNet's. `python tests/weights/test_preprocessing.py` prints it.
TORCHVISION = {
    "7f5810bc": ("efficientnet_b0", 224, 256, "bicubic"),
    "bac287d4": ("efficientnet_b1", 240, 256, "bicubic"),
    "c27df63c": ("efficientnet_b1", 240, 255, "bilinear"),
    "c35c1473": ("efficientnet_b2", 288, 288, "bicubic"),
    "b3899882": ("efficientnet_b3", 300, 320, "bicubic"),
    "23ab8bcd": ("efficientnet_b4", 380, 384, "bicubic"),
    "1a07897c": ("efficientnet_b5", 456, 456, "bicubic"),
    "24a108a5": ("efficientnet_b6", 528, 528, "bicubic"),
    "c5b4e57e": ("efficientnet_b7", 600, 600, "bicubic"),
    "63fe2227": ("resnet101", 224, 256, "bilinear"),
    "cd907fc2": ("resnet101", 224, 232, "bilinear"),
    "394f9c45": ("resnet152", 224, 256, "bilinear"),
    "f82ba261": ("resnet152", 224, 232, "bilinear"),
    "f37072fd": ("resnet18", 224, 256, "bilinear"),
    "b627a593": ("resnet34", 224, 256, "bilinear"),
    "0676ba61": ("resnet50", 224, 256, "bilinear"),
    "11ad3fa6": ("resnet50", 224, 232, "bilinear"),
    "8ba56ff5": ("resnext101_32x8d", 224, 256, "bilinear"),
    "110c445d": ("resnext101_32x8d", 224, 232, "bilinear"),
    "173b62eb": ("resnext101_64x4d", 224, 232, "bilinear"),
    "7cdf4587": ("resnext50_32x4d", 224, 256, "bilinear"),
    "1a0047aa": ("resnext50_32x4d", 224, 232, "bilinear"),
    "32ee1156": ("wide_resnet101_2", 224, 256, "bilinear"),
    "d733dc28": ("wide_resnet101_2", 224, 232, "bilinear"),
    "95faca4d": ("wide_resnet50_2", 224, 256, "bilinear"),
    "9ba9bcbe": ("wide_resnet50_2", 224, 232, "bilinear"),
}


def hub_config(file: Path) -> dict[str, Any]:
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


def config_of(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`config`, if it is that of the net `name`: its architecture is this one, an equal one or absent; otherwise {}."""
    architecture = config.get("architecture", name)
    if architecture == name:
        return config
    is_equal = name in MODELS and architecture in MODELS and MODELS[architecture]() == MODELS[name]()
    return config if is_equal else {}


def preprocess_for(model: nn.Module, name: str, layout: str, file: Path, config: Mapping[str, Any]) -> Preprocess:
    """How images are prepared for the weights in `file`; `source` says where that is known from.

    A net of one channel has the averages of the means and deviations; a net of other numbers of channels has none.

    Args:
      config: timm's configuration of this net (`config_of`), or {}.

    Raises:
      ValueError: `config` has values that a `Preprocess` cannot have.
    """
    checksum = re.search(r"-([0-9a-f]{8})(?![0-9a-f])", file.name)
    known = TORCHVISION.get(checksum[1]) if checksum else None
    if known and known[0] == name:
        preprocess = _torchvision(known, f"torchvision, {checksum[0][1:] if checksum else ''}")
    elif config:
        preprocess = _timm(config, str(file.with_name("config.json")))
    else:
        preprocess = _assumed(model, name, layout)
    channels, mean, std = model.in_channels, preprocess.mean, preprocess.std
    if channels == len(mean):
        return preprocess
    if channels != 1:
        return replace(preprocess, mean=(), std=())
    return replace(preprocess, mean=(math.fsum(mean) / len(mean),), std=(math.fsum(std) / len(std),))


def _torchvision(known: tuple[str, int, int, Any], source: str) -> Preprocess:
    _, size, resize, interpolation = known
    return Preprocess(size, resize, *IMAGENET, interpolation=interpolation, source=source)


def _timm(config: Mapping[str, Any], source: str) -> Preprocess:
    """As timm's evaluation has it: at the size for testing, where there is one. What is absent has timm's defaults.

    Raises:
      ValueError: values of another type, shape or range than timm's.
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
    check(interpolation in ("bilinear", "bicubic"), "interpolation to be bilinear or bicubic", repr(interpolation))
    check(_are_numbers([crop]) and crop > 0, "crop_pct to be a number above 0", repr(crop))
    mode = config.get("crop_mode") or "center"
    note = "" if mode == "center" else f"; crop_mode {mode!r} is not applied, crops are central"
    mean, std = (config.get(key) or default for key, default in zip(("mean", "std"), IMAGENET, strict=True))
    for key, values in {"mean": mean, "std": std}.items():
        is_valid = _are_numbers(values) and len(values) in (size[0], 3) and all(0 <= x <= 1 for x in values)
        check(is_valid, f"{key} to be {size[0]} numbers from 0 to 1, one per channel", values)
    check(len(mean) == len(std) and min(std) > 0, "as many deviations above 0 as means", f"{mean}, {std}")
    return Preprocess(size[1], math.floor(size[1] / crop), tuple(mean), tuple(std), interpolation, source + note)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in values
    )


def _assumed(model: nn.Module, name: str, layout: str) -> Preprocess:
    source = f"assumed: the file is not known; these are the first published weights' of {name}"
    first = next((row for row in TORCHVISION.values() if row[0] == name), None)
    size, has = model.image_size, set(pieces(model))
    if first is not None and (layout == "torchvision" or ConvHead not in has):
        return _torchvision(first, source)
    if ConvHead in has:  # 32 pixels around the crop, as in the paper's code
        mean_std = HALF if "_cc_" in name else IMAGENET
        return Preprocess(size, size + 32, *mean_std, interpolation="bicubic", source=source)
    if AttentionPoolHead in has:
        return Preprocess(size, size, *OPENAI, interpolation="bicubic", source=source)
    if NormHead in has:
        return Preprocess(size, size, *HALF, source=source)
    return Preprocess(size, round(size / 0.875), *IMAGENET, source=source)
