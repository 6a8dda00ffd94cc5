"""config.json and preprocessor_config.json of Hugging Face transformers, beside a file of weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_jax.types import Preprocess
from resnet_jax.weights.hub_config import MOST_PIXELS, read_json

# Values of config.json by "model_type" with which the registered nets give transformers' numbers; the first is assumed.
EXPECTED: dict[str, dict[str, tuple[Any, ...]]] = {
    "resnet": {"hidden_act": ("relu",), "downsample_in_bottleneck": (False,)},
    "bit": {
        "hidden_act": ("relu",),
        "layer_type": ("preactivation",),
        "global_padding": (None,),
        "embedding_dynamic_padding": (False,),
        "num_groups": (32,),
        "output_stride": (32,),
    },
    "efficientnet": {"hidden_act": ("swish", "silu"), "batch_norm_eps": (1e-3,), "pooling_type": ("mean",)},
}
FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
# Kinds of image processors: whether they crop, and whether a size of one number is the shorter side.
PROCESSORS = {
    "ConvNext": (True, True),
    "Bit": (True, True),
    "CLIP": (True, True),
    "ViT": (False, False),
    "EfficientNet": (False, False),
}
WARPED = 384  # ConvNext's processor squashes images to this size and larger ones, and crops smaller ones


def read_classes(file: Path) -> dict[str, list[str]]:
    """The names of the classes, as timm's configuration has them: {"label_names": [...]}; {} if they have none.

    Raises:
      ValueError: the configuration is of a net with other numbers than the registered one.
    """
    path = file.with_name("config.json")
    config = read_json(path)
    for key, values in EXPECTED.get(str(config.get("model_type")), {}).items():
        if (got := config.get(key, values[0])) not in values:
            raise ValueError(f"{path}: expected {key} {values[0]!r}, got {got!r}, with which the numbers differ")
    labels = config.get("id2label")
    if not isinstance(labels, dict):
        return {}
    names = [labels.get(str(index)) for index in range(len(labels))]
    has_names = all(isinstance(name, str) for name in names) and names != [f"LABEL_{k}" for k in range(len(names))]
    return {"label_names": [str(name) for name in names]} if has_names else {}


def read_processor(file: Path) -> Preprocess | None:
    """Preprocessing in preprocessor_config.json; None if there is none.

    One that a `Preprocess` cannot follow is ignored with a warning.
    """
    path = file.with_name("preprocessor_config.json")
    if not (values := read_json(path)):
        return None
    try:
        return _preprocess(values, str(path))
    except (ValueError, TypeError, KeyError) as error:
        reason = f"expected a valid {error}" if isinstance(error, KeyError) else error
        warnings.warn(f"{path} is ignored: {reason}", stacklevel=4)
        return None


def _preprocess(values: Mapping[str, Any], source: str) -> Preprocess:
    """Raises ValueError, TypeError or KeyError for values that a `Preprocess` cannot have."""
    name = str(values.get("image_processor_type") or values.get("feature_extractor_type"))
    kind = name.removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in PROCESSORS:
        raise ValueError(f"expected an image processor of {', '.join(PROCESSORS)}, got {name}")
    steps = {f"do_{step}": values.get(f"do_{step}", True) for step in ("resize", "rescale", "normalize")}
    is_scaled = abs(values.get("rescale_factor", 1 / 255) - 1 / 255) < 1e-6 and not values.get("rescale_offset")
    if not all(steps.values()) or not is_scaled:
        raise ValueError("expected images that are resized, scaled to 0 to 1 and normalised")
    crops, is_shorter = PROCESSORS[kind]
    size = values["size"]
    is_shorter = "shortest_edge" in size if isinstance(size, dict) else is_shorter
    resize = _side(size)
    if kind == "ConvNext":
        crop, is_shorter = resize, resize < WARPED
        resize = int(crop / (values.get("crop_pct") or 224 / 256)) if is_shorter else crop
    elif values.get("do_center_crop", crops):
        crop = _side(values["crop_size"])
    elif is_shorter:
        raise ValueError("expected a crop, got images of any shape")
    else:
        crop = resize
    mean, std = (tuple(map(float, values[key])) for key in ("image_mean", "image_std"))
    if resize > MOST_PIXELS:
        raise ValueError(f"expected at most {MOST_PIXELS:,} pixels before the crop, got {resize:,}")
    if len(mean) != len(std) or min(std) <= 0:
        raise ValueError(f"expected as many deviations above 0 as means, got {mean}, {std}")
    if kind == "EfficientNet" and values.get("include_top", True):  # this processor divides twice
        std = tuple(x * x for x in std)
    interpolation: Any = FILTERS[values["resample"]]
    return Preprocess(crop, resize, mean, std, interpolation, source, "center" if is_shorter else "squash")


def _side(size: Any) -> int:
    """The side of a square, in any of transformers' forms."""
    sides = set(size.values()) if isinstance(size, dict) else {size}
    if len(sides) != 1 or not isinstance(side := sides.pop(), int) or not 0 < side <= MOST_PIXELS:
        raise ValueError(f"expected a square of 1 to {MOST_PIXELS:,} pixels, got {size}")
    return side
