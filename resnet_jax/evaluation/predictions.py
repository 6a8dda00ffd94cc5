"""Predictions and feature maps for image files, in batches; `sequences` has those for series, sounds and texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.dense import DenseSource
from resnet_jax.evaluation.evaluate import in_flight
from resnet_jax.evaluation.image_inputs import ImageInputs, Unlabelled
from resnet_jax.tasks import Rows, Task
from resnet_jax.text import printable
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.types import Array, Preprocess, Pretrained

MAX_BATCH = 10**6  # images
LONGEST = 80  # letters of a text that are shown beside its prediction
SIZES = ("size", "original_size")  # of an image on the canvas and in its file, for predictions in pixels


@dataclass(frozen=True)
class Prediction:
    """A task's prediction for an image, a series, a sound or a text, or why it could not be read."""

    image: str  # name of the file, place in a file, or the text itself
    values: Mapping[str, Any]  # as JSON holds them
    text: str  # for people
    error: str | None = None
    columns: Mapping[str, Any] | None = None  # cells of a table by column; None: unreadable
    results: Sequence[Mapping[str, Any]] | None = None  # each object in the image; None: the task predicts none
    picture: np.ndarray | None = None  # the image with what is predicted, uint8 [H, W, 3], if it was asked for

    noun: str = "image"  # what it is, in records

    def __str__(self) -> str:
        name = self.image if self.noun != "text" or len(self.image) <= LONGEST else f"{self.image[:LONGEST]}..."
        return printable(f"{name}: {self.text}" if self.error is None else f"unreadable: {self.error}")

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {self.noun: self.image, **(self.values if self.error is None else {"error": self.error})}


class FileOutputs(NamedTuple):
    """Prediction of a net for an image file."""

    file: Path
    rows: Rows | None  # None: unreadable
    error: str | None = None
    pixels: Callable[[], np.ndarray] | None = None  # reads the image at its own size: uint8 [H, W, 3]


def predict(
    net: Pretrained,
    task: Task,
    files: Sequence[Path],
    *,
    batch_size: int = 32,
    top: int = 5,
    min_score: float = 0.5,
    draw: bool = False,
) -> Iterator[Prediction]:
    """The net's prediction for each file, in their order. Images are resized and cropped as in its evaluation.

    Args:
      top: number of candidates (such as classes) for each image.
      min_score: of objects in texts, tables and pictures; JSON has all.
      draw: make the picture of each prediction.

    Raises:
      ValueError: a number below 1 or above a million, a score that is none, or a net whose preprocessing is not known.
      DataError: standard input is the only image, and empty.
    """
    check_number("top", top)
    if not 0 <= min_score <= 1:
        raise ValueError(f"expected min_score from 0 to 1, got {min_score}")
    for one in forward_files(net, task.predictions, files, batch_size=batch_size):
        if one.rows is None:
            yield Prediction(str(one.file), {}, "", one.error)
            continue
        shown = task.confident(one.rows, min_score)
        yield Prediction(
            str(one.file),
            task.describe(one.rows, top),
            task.format(shown, top),
            columns=task.columns(shown, top),
            results=task.results(one.rows, str(one.file)),
            picture=task.draw_prediction(one.pixels(), shown) if draw and one.pixels is not None else None,
        )


def forward_files(
    net: Pretrained, outputs: Callable[[Any], dict[str, Array]], files: Sequence[Path], *, batch_size: int = 32
) -> Iterator[FileOutputs]:
    """The rows of `outputs` for each file, in their order; one program is compiled.

    The last batch is padded. With fewer files than `batch_size`, batches have their number.

    Args:
      outputs: of the net's outputs, arrays with a row per example; traced.

    Raises:
      ValueError: a number below 1 or above a million, or a net whose preprocessing is not known.
      DataError: standard input is the only image, and empty.
    """
    check_number("batch_size", batch_size)
    inputs = ImageInputs(files, np.zeros(len(files), np.int32), ("",))
    loader = _loader(net.preprocess, inputs)
    step = jax.jit(forward_step(net.model, outputs, axis_name=None, prepare=net.preprocess))
    variables = jax.device_put(net.variables)
    state = TrainState.from_variables(variables, optax.identity(), jax.random.key(0))
    numbers = iter(range(len(files)))
    for forward in in_flight(step, state, loader.eval_batches(max(1, min(batch_size, len(files))))):
        # The numbers last: zip must not take one more than the batch has.
        for i, (mask, number) in enumerate(zip(forward.batch["mask"], numbers, strict=False)):
            file = files[number]
            if not mask:
                yield FileOutputs(file, None, loader.skipped[str(file)])
                continue
            arrays = forward.predictions | {name: forward.batch[name] for name in SIZES if name in forward.batch}
            rows = {name: np.asarray(x[i]) for name, x in arrays.items()}
            yield FileOutputs(file, rows, pixels=partial(inputs.pixels, number))


def _loader(preprocess: Preprocess, inputs: ImageInputs) -> StreamingLoader | DenseLoader:
    """Crops the images; or puts them on a canvas, with their sizes in the batches."""
    if preprocess.crop_mode == "pad":
        return DenseLoader(
            DenseSource(inputs, Unlabelled(len(inputs)), ("",), "boxes"),
            preprocess.image_size,
            resize=preprocess.resize,
            channels=preprocess.channels,
            interpolation=preprocess.interpolation,
            skip_unreadable=True,
            cache=0,
        )
    return StreamingLoader(
        inputs,
        preprocess.image_size,
        resize=preprocess.resize,
        channels=preprocess.channels,
        skip_unreadable=True,
        crop=preprocess.crop,
    )


def check_number(name: str, value: int) -> None:
    if not 1 <= value <= MAX_BATCH:
        raise ValueError(f"expected {name} from 1 to {MAX_BATCH:,}, got {value}")
