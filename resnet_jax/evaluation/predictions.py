"""Predictions for image files, in batches, as they come."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.formats import image_files_below
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import Label
from resnet_jax.errors import DataError
from resnet_jax.files import expanded
from resnet_jax.types import Pretrained


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of an image with their probabilities; or why it could not be read."""

    image: str
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return f"unreadable: {self.error}"
        return f"{self.image}: {', '.join(f'{name} {share:.4f}' for name, share in self.top)}"

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        return {"image": self.image, "top": [{"class": name, "probability": share} for name, share in self.top]}


STDIN = Path("-")
MOST = 10**6  # images at a time


class _Images(ImageFileSource):
    """Image files; "-" is read from standard input."""

    def __getitem__(self, index: int) -> tuple[bytes, Label]:
        return (self._stdin, int(self.labels[index])) if self.paths[index] == STDIN else super().__getitem__(index)

    @cached_property
    def _stdin(self) -> bytes:
        data = sys.stdin.buffer.read()
        if not data and len(self.paths) == 1:
            raise DataError("expected an image on standard input, got nothing; as: predict RUN - < photo.jpg")
        return data


def image_files(paths: Sequence[str | Path]) -> list[Path]:
    """Files as they are named, those that a pattern ("*.jpg") matches, and those below folders; "-" is standard input.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: a folder without images, or a web address.
    """
    files: list[Path] = []
    for name in paths:
        path = expanded(name)
        if path == STDIN or path.is_file():
            files.append(path)
        elif path.exists():
            inside = sorted(image_files_below(path)) if path.is_dir() else [path]
            if not inside:
                raise ValueError(f"{path} has no images")
            files += inside
        elif re.match(r"[a-z]+://", str(name)):
            raise ValueError(f"expected an image file or a folder, got the address {name}; nothing is downloaded")
        elif matches := sorted(glob.glob(str(path), recursive=True)):
            files += image_files(matches)
        else:
            raise FileNotFoundError(f"no image or folder {str(path)!r}")
    return files


def predict(
    net: Pretrained, classes: Sequence[str], files: Sequence[Path], *, batch_size: int = 32, top: int = 5
) -> Iterator[Prediction]:
    """What `net` takes each file for, in their order. The images are resized and cropped as for its evaluation.

    Args:
      classes: their names, in the order of the net's outputs.
      top: how many classes an image; at most all.

    Raises:
      ValueError: a number below 1 or above a million.
      DataError: standard input is the only image, and empty.
    """
    for name, value in (("batch_size", batch_size), ("top", top)):
        if not 1 <= value <= MOST:
            raise ValueError(f"{name}={value}; wanted: at least 1, at most {MOST:,}")
    preprocess, variables = net.preprocess, jax.device_put(net.variables)
    source = StreamingLoader(
        _Images(files, np.zeros(len(files), np.int32), tuple(classes)),
        preprocess.image_size,
        resize=preprocess.resize,
        channels=len(preprocess.mean),
        interpolation=preprocess.interpolation,
        skip_unreadable=True,
    )

    @jax.jit
    def probabilities(variables: Any, images: Any) -> Any:
        outputs: Any = net.model.apply(variables, preprocess(images), train=False)
        return jax.nn.softmax(outputs.logits)

    names = iter(files)
    for batch in source.eval_batches(batch_size):
        shares = np.asarray(probabilities(variables, batch["image"]))
        likeliest = np.argsort(-shares, axis=-1, kind="stable")[:, :top]
        # The files last: zip must not take one more than the batch has.
        for mask, own, order, file in zip(batch["mask"], shares, likeliest, names, strict=False):
            if mask:
                yield Prediction(str(file), tuple((classes[i], float(own[i])) for i in order))
            else:
                yield Prediction(str(file), error=source.skipped[str(file)])
