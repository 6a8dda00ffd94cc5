"""Weights that timm, torchvision and open_clip publish for the registered nets, as these libraries describe them.

`docs/published_weights.py` writes published.json from the installed libraries.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from resnet_jax.errors import check_type, did_you_mean, listed
from resnet_jax.types import Preprocess


@dataclass(frozen=True)
class PublishedWeights:
    """One file of weights. None: the library does not publish this."""

    model: str  # a name of `list_models()`
    tag: str  # "a1_in1k", "IMAGENET1K_V2"
    source: Literal["timm", "torchvision", "open_clip"]
    classes: int  # outputs of the published head; 0: no head
    parameters: int
    image_size: int  # side of the input in training, pixels
    crop_pct: float  # image size over the side before the crop
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    hub_id: str | None = None  # of the repository with config.json and model.safetensors
    url: str | None = None  # of a PyTorch file
    checksum: str | None = None  # first eight hexadecimal digits of the SHA-256 of the file at `url`, from that
    labels: str | None = None  # the label set of the outputs (`resnet_jax.weights.labels`); None: no classes
    test_size: int | None = None  # side of the input for the best accuracy, where it differs
    test_crop_pct: float | None = None
    resize: int | None = None  # side before the crop, where `crop_pct` does not give it
    crop_mode: Literal["center", "squash", "border", "pad"] = "center"
    is_fixed_size: bool = False  # the net takes images of `image_size` alone
    first_conv: str | None = None  # the library's name of the first convolution, whose inputs are the image's channels
    classifier: str | None = None  # the library's name of the last layer
    licence: str | None = None  # as SPDX writes it
    top1: float | None = None  # published accuracy on ImageNet-1k, per cent
    miou: float | None = None  # published mean intersection over union of a segmenter, per cent
    box_ap: float | None = None  # published average precision of a detector's boxes on COCO, per cent
    mask_ap: float | None = None  # the same of its masks
    norm_epsilon: float | None = None  # of the backbone's norms, where it is not the net's
    size_mib: float | None = None  # of the file at `url`, MiB

    @property
    def name(self) -> str:
        """As commands accept it: "timm/resnet50.a1_in1k"."""
        return f"{self.source}/{self.model}.{self.tag}"

    @property
    def eval_size(self) -> int:
        """Side of the input in evaluation, pixels."""
        return self.test_size or self.image_size

    @property
    def preprocess(self) -> Preprocess:
        """Evaluation's preprocessing, at the test size if there is one."""
        crop_pct = (self.test_crop_pct if self.test_size else None) or self.crop_pct
        resize = self.resize or math.floor(self.eval_size / crop_pct)
        return Preprocess(self.eval_size, resize, self.mean, self.std, self.interpolation, self.name, self.crop_mode)


def published(model: str) -> tuple[PublishedWeights, ...]:
    """Weights of a net, the default of timm or open_clip first and torchvision's last; () if nobody publishes any."""
    return _table().get(model, ())


def find(model: str, tag: str | None = None) -> PublishedWeights:
    """The weights of a net with this tag; without a tag, the first.

    Raises:
      ValueError: no such tag, or no weights of this net. The message has the nearest choice.
    """
    check_type(model, str, "a model name (str)", "see list_models()")
    rows = {row.tag: row for row in published(model)}
    if not rows:
        hint = did_you_mean(model, _table(), "see: resnet-jax weights")
        raise ValueError(f"no weights of {model!r} are published; {hint}")
    if tag is None:
        return next(iter(rows.values()))
    if tag not in rows:
        hint = did_you_mean(tag, rows, f"expected {listed(rows)}")
        raise ValueError(f"no weights {tag!r} of {model} are published; {hint}")
    return rows[tag]


def match(pattern: str = "*") -> list[PublishedWeights]:
    """Weights whose model, "model.tag" or name matches a shell pattern, ignoring case; nets with numbers in order."""
    pattern = pattern.casefold()

    def matches(row: PublishedWeights) -> bool:
        names = (row.model, f"{row.model}.{row.tag}", row.name)
        return any(fnmatchcase(name.casefold(), pattern) for name in names)

    return [row for rows in _table().values() for row in rows if matches(row)]


@cache
def _table() -> dict[str, tuple[PublishedWeights, ...]]:
    """All rows by model, in the order of `list_models`."""
    rows: dict[str, list[PublishedWeights]] = {}
    for values in json.loads(files(__package__).joinpath("published.json").read_text("utf-8")):
        row = from_json(values)
        rows.setdefault(row.model, []).append(row)
    return {model: tuple(weights) for model, weights in rows.items()}


def from_json(values: dict[str, Any]) -> PublishedWeights:
    return PublishedWeights(**values | {key: tuple(values[key]) for key in ("mean", "std")})
