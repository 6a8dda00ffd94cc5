"""How images are prepared for published weights: by the file of the weights, where it is known."""

from __future__ import annotations

import json
import math
import re
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
    """timm's configuration of these weights, in a `config.json` beside the file; {} if there is none.

    Raises:
      ValueError: it is no JSON.
    """
    path = file.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    return config if isinstance(config, dict) and config.keys() & {"architecture", "pretrained_cfg"} else {}


def preprocess_for(model: nn.Module, name: str, layout: str, file: Path, config: Mapping[str, Any]) -> Preprocess:
    """How images are prepared for the weights in `file`; `source` says where that is known from.

    A net of one channel has the means of mean and deviation; a net of other numbers of channels has none.

    Raises:
      ValueError: `config` asks for what a `Preprocess` cannot be.
    """
    checksum = re.search(r"-([0-9a-f]{8})(?![0-9a-f])", file.name)
    known = TORCHVISION.get(checksum[1]) if checksum else None
    architecture = config.get("architecture")
    if known and known[0] == name:
        found = _torchvision(known, f"torchvision, {checksum[0][1:] if checksum else ''}")
    elif config and (architecture == name or architecture not in MODELS):
        found = _timm(config.get("pretrained_cfg", config), str(file.with_name("config.json")))
    else:
        found = _assumed(model, name, layout)
    channels = model.in_channels
    if channels == len(found.mean):
        return found
    if channels != 1:
        return replace(found, mean=(), std=())
    return replace(found, mean=(math.fsum(found.mean) / 3,), std=(math.fsum(found.std) / 3,))


def _torchvision(known: tuple[str, int, int, Any], source: str) -> Preprocess:
    _, size, resize, interpolation = known
    return Preprocess(size, resize, *IMAGENET, interpolation=interpolation, source=source)


def _timm(config: Mapping[str, Any], source: str) -> Preprocess:
    """As timm's evaluation has it: at the size for testing, where there is one. What is absent has timm's defaults."""
    tested = "test_input_size" if config.get("test_input_size") else "input_size"
    size = config.get(tested) or (3, 224, 224)
    interpolation: Any = config.get("interpolation") or "bicubic"
    crop = config.get("test_crop_pct") if tested == "test_input_size" else None
    crop = crop or config.get("crop_pct") or 0.875
    if len(size) != 3 or size[1] != size[2] or interpolation not in ("bilinear", "bicubic"):
        got = f"{tested}={list(size)}, interpolation={interpolation!r}"
        raise ValueError(f"{source}: expected a square [C, S, S] and bilinear or bicubic, got {got}")
    mode = config.get("crop_mode") or "center"
    note = "" if mode == "center" else f"; crop_mode {mode!r} is not applied, crops are central"
    mean, std = (tuple(config.get(key) or default) for key, default in zip(("mean", "std"), IMAGENET, strict=True))
    return Preprocess(size[1], math.floor(size[1] / crop), mean, std, interpolation, source + note)


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
