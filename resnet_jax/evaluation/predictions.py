"""Predictions and feature maps for image files, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.evaluation.evaluate import in_flight
from resnet_jax.evaluation.image_inputs import ImageInputs
from resnet_jax.tasks import Rows, Task
from resnet_jax.text import printable
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.types import Array, Pretrained

MAX_BATCH = 10**6  # images


@dataclass(frozen=True)
class Prediction:
    """A task's prediction for an image, or why it could not be read."""

    image: str
    values: Mapping[str, Any]  # as JSON holds them
    text: str  # for people
    error: str | None = None
    columns: Mapping[str, Any] | None = None  # cells of a table by column; None: unreadable

    def __str__(self) -> str:
        return printable(f"{self.image}: {self.text}" if self.error is None else f"unreadable: {self.error}")

    def record(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"image": self.image, **(self.values if self.error is None else {"error": self.error})}


class FileOutputs(NamedTuple):
    """Prediction of a net for an image file."""

    file: Path
    rows: Rows | None  # None: unreadable
    error: str | None = None


def predict(
    net: Pretrained, task: Task, files: Sequence[Path], *, batch_size: int = 32, top: int = 5
) -> Iterator[Prediction]:
    """The net's prediction for each file, in their order. Images are resized and cropped as in its evaluation.

    Args:
      top: number of candidates (such as classes) for each image.

    Raises:
      ValueError: a number below 1 or above a million, or a net whose preprocessing is not known.
      DataError: standard input is the only image, and empty.
    """
    _check_number("top", top)
    for file, row, error in forward_files(net, task.predictions, files, batch_size=batch_size):
        if row is None:
            yield Prediction(str(file), {}, "", error)
        else:
            columns = task.columns(row, top)
            yield Prediction(str(file), task.describe(row, top), task.format(row, top), columns=columns)


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
    _check_number("batch_size", batch_size)
    preprocess = net.preprocess
    source = StreamingLoader(
        ImageInputs(files, np.zeros(len(files), np.int32), ("",)),
        preprocess.image_size,
        resize=preprocess.resize,
        channels=preprocess.channels,
        skip_unreadable=True,
        crop=preprocess.crop,
    )
    step = jax.jit(forward_step(net.model, outputs, axis_name=None, prepare=preprocess))
    variables = jax.device_put(net.variables)
    state = TrainState.from_variables(variables, optax.identity(), jax.random.key(0))
    names = iter(files)
    for forward in in_flight(step, state, source.eval_batches(max(1, min(batch_size, len(files))))):
        # The files last: zip must not take one more than the batch has.
        for i, (mask, file) in enumerate(zip(forward.batch["mask"], names, strict=False)):
            if mask:
                yield FileOutputs(file, {name: np.asarray(x[i]) for name, x in forward.predictions.items()})
            else:
                yield FileOutputs(file, None, source.skipped[str(file)])


def _check_number(name: str, value: int) -> None:
    if not 1 <= value <= MAX_BATCH:
        raise ValueError(f"expected {name} from 1 to {MAX_BATCH:,}, got {value}")
