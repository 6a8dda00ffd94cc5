"""resnet-jax predict: a run's predictions for images."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated

from resnet_jax.cli.shared import Run, check_is_run, ema_option, step_option
from resnet_jax.config import argument, option
from resnet_jax.errors import NotFinite, SetupError
from resnet_jax.files import expanded, to_json

NEEDS_DEVICES = True
LESS_MEMORY = "a lower --batch-size uses less"
COMPARED = 20  # images that are compared with those of the training


@dataclass(frozen=True)
class Request:
    """Predict images with a run, a line per image: what the run's task predicts, such as the likeliest classes."""

    run: Run = argument("folder of a run")
    images: tuple[Annotated[str, "IMAGE"], ...] = argument("image files, folders of them, or - for standard input")
    step: str = step_option()
    ema: bool = ema_option()
    top: int = option(5, "candidates to print for each image, such as classes; of several per image, the predicted")
    batch_size: int = option(32, "images at a time")
    json: bool = option(False, "print one JSON object a line")


def run(request: Request) -> None:
    import numpy as np

    from resnet_jax.data.loading.statistics import depth_note, infer_channels
    from resnet_jax.data.sources.image_files import ImageFileSource
    from resnet_jax.evaluation.image_inputs import image_files
    from resnet_jax.evaluation.predictions import predict
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.starting.opening import open_run
    from resnet_jax.weights.checkpoint import pretrained

    _check_order(request)
    saved = open_run(request.run, request.step)
    task = saved.task
    try:
        net = pretrained(saved.checkpoint, ema=request.ema)
    except NotFinite as error:
        raise ValueError(f"{error.problem}; --step takes another checkpoint") from None
    files = image_files(request.images)
    sample = [file for file in files if file.is_file()][:COMPARED]
    source = ImageFileSource(sample, np.zeros(len(sample), np.int32), ())
    if (note := depth_note(source)) is not None:
        warnings.warn(note, stacklevel=2)
    if len(net.preprocess.mean) == 1 and infer_channels(source) == 3:
        size = net.preprocess.image_size
        warnings.warn(f"coloured images become grey and {size} x {size} pixels, as the net was trained", stacklevel=2)
    cache_compilations()
    unreadable = 0
    for prediction in predict(net, task, files, batch_size=request.batch_size, top=request.top):
        unreadable += prediction.error is not None
        if request.json:
            print(to_json(prediction.record()), flush=True)
        else:
            print(prediction, flush=True)
    if unreadable:
        raise SetupError(f"{unreadable} of {len(files)} images could not be read")


def _check_order(request: Request) -> None:
    """Raises ValueError unless a run comes first, then images."""
    check_is_run(request.run)
    if not request.images:
        raise ValueError("expected image files, or folders of them, got none")
    if expanded(request.run).is_file() and (run := next(filter(_has_checkpoints, request.images), None)):
        images = [request.run, *(image for image in request.images if image != run)]
        raise ValueError(f"expected the run first; did you mean resnet-jax predict {' '.join([run, *images])}?")


def _has_checkpoints(path: str) -> bool:
    return (expanded(path) / "checkpoints").is_dir()
