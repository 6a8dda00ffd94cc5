"""Test-time augmentation: predictions averaged over several views of each image, and over several nets."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import did_you_mean
from resnet_jax.evaluation.crops import mirrored, ten_crops, whole
from resnet_jax.evaluation.evaluate import in_flight, prediction_step
from resnet_jax.images.decoding import Picture
from resnet_jax.metrics.typed import Metric, merge, results
from resnet_jax.tasks import Predictions, Rows, Task
from resnet_jax.types import Batch, Pretrained

ViewProtocol = Literal["single", "flip", "ten-crop", "multi-scale"]
SCALES = (224, 256, 384, 480, 640)  # shorter sides for nets of 224 pixels: He et al. 2015, section 3.4
MAX_WAITING = 2**28  # bytes of views that wait for others of their shape

Views = Callable[[Picture], list[np.ndarray]]


def make_views(protocol: ViewProtocol, source: StreamingLoader, scales: Sequence[int] | None = None) -> Views:
    """The views of an image that evaluation averages over: image -> uint8 [H, W, C] each.

    "single": the centre crop. "flip": that and its mirror image. "ten-crop": corners and centre, and their mirror
    images (where the shorter side is at most the crop's, it is resized to 8/7 of it, as 256 is of 224). "multi-scale":
    the whole image at each of `scales`, its shorter side in pixels (None: 224, 256, 384, 480 and 640, in proportion if
    the net's crops are not 224 pixels; He et al. 2015, section 3.4). To compile few shapes, up to 31 pixels of the
    longer side are cut off, and what exceeds three times the shorter side.

    Raises:
      ValueError: an unknown protocol, invalid scales, or scales for another protocol.
    """
    if scales is not None and protocol != "multi-scale":
        raise ValueError(f"scales are for the protocol multi-scale, got {protocol}")
    size = source.image_size
    options: dict[str, Any] = {"interpolation": source.interpolation}
    if protocol == "single":
        return lambda image: [source.eval_crop(image)]
    if protocol == "flip":

        def both(image: Picture) -> list[np.ndarray]:
            crop = source.eval_crop(image)
            return [crop, mirrored(crop)]

        return both
    if protocol == "ten-crop":
        resize = source.resize if source.resize > size else round(size * 8 / 7)
        return partial(ten_crops, resize=resize, size=size, **options)
    if protocol == "multi-scale":
        sides = shorter_sides(size, scales)
        return lambda image: [whole(image, resize=side, **options) for side in sides]
    raise ValueError(f"expected a protocol, got {protocol!r}; {did_you_mean(protocol, get_args(ViewProtocol))}")


def shorter_sides(size: int, scales: Sequence[int] | None = None) -> list[int]:
    """Shorter sides of multi-scale's images, in pixels, for a net whose crops have `size`; `scales`, or the default.

    Raises:
      ValueError: no scale, one below 1, or one above 16,384.
    """
    sides = [round(scale * size / 224) for scale in SCALES] if scales is None else list(scales)
    if not sides or min(sides) < 1 or max(sides) > 2**14:
        example = " ".join(map(str, SCALES))
        raise ValueError(f"expected scales (shorter sides) from 1 to {2**14:,} pixels, such as {example}, got {sides}")
    return sides


def predict_views(
    net: Pretrained, task: Task, source: StreamingLoader, views: Views, *, batch_size: int, parallel: Parallel
) -> tuple[Predictions, dict[str, float]]:
    """The net's predictions, averaged over each image's views, and the means of what its modules sow into "metrics".

    Unreadable images are skipped.

    Raises:
      ValueError: no image could be read.
    """
    step, state = prediction_step(net, task, parallel)
    indices: list[int] = []
    labels: list[Any] = []
    counts: list[int] = []  # views of each image

    def all_views() -> Iterator[tuple[int, np.ndarray]]:
        for row, (index, images, label) in enumerate(source.views(views)):
            indices.append(index)
            labels.append(label)
            counts.append(len(images))
            yield from ((row, image) for image in images)

    pending: deque[list[int]] = deque()  # the image of each view in a batch

    def sharded() -> Iterator[Batch]:
        area = net.preprocess.image_size**2
        for rows, batch in _batches(all_views(), batch_size, area, len(parallel.devices)):
            pending.append(rows)
            yield parallel.shard(batch)

    parts: dict[int, list[Rows]] = defaultdict(list)
    means: dict[int, Rows] = {}
    sown: dict[str, Metric] = {}
    for forward in in_flight(step, state, sharded()):
        for place, row in enumerate(pending.popleft()):
            parts[row].append({name: np.asarray(x[place]) for name, x in forward.predictions.items()})
            if len(parts[row]) == counts[row]:
                means[row] = task.average(parts.pop(row))
        sown = merge(sown, forward.metrics)
    if not indices:
        raise ValueError(f"none of {source.num_examples} images could be read")
    outputs = {name: np.stack([means[row][name] for row in range(len(indices))]) for name in means[0]}
    names = [source.examples.name(index) for index in indices]
    return Predictions(names, np.array(labels), outputs, indices), results(sown)


def _batches(
    views: Iterable[tuple[int, np.ndarray]], batch_size: int, area: int, devices: int
) -> Iterator[tuple[list[int], Batch]]:
    """Batches of views of one shape, padded with examples of mask 0, with the image that each view is of.

    A batch has about the pixels of `batch_size` images of `area`, and at most `MAX_WAITING` bytes wait for theirs.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = defaultdict(list)
    waiting_bytes = 0

    def take(shape: tuple[int, ...]) -> tuple[list[int], Batch]:
        nonlocal waiting_bytes
        same = waiting.pop(shape)
        waiting_bytes -= sum(image.nbytes for _, image in same)
        return _batch(same, _size(shape, batch_size, area, devices))

    for view in views:
        shape = view[1].shape
        waiting[shape].append(view)
        waiting_bytes += view[1].nbytes
        if len(waiting[shape]) == _size(shape, batch_size, area, devices):
            yield take(shape)
        while waiting_bytes > MAX_WAITING:
            yield take(max(waiting, key=lambda shape: len(waiting[shape]) * np.prod(shape)))
    for shape in list(waiting):
        yield take(shape)


def _size(shape: tuple[int, ...], batch_size: int, area: int, devices: int) -> int:
    """Number of images of this shape in a batch, which the devices share evenly."""
    return max(1, min(batch_size, batch_size * area // (shape[0] * shape[1])) // devices) * devices


def _batch(views: list[tuple[int, np.ndarray]], batch_size: int) -> tuple[list[int], Batch]:
    images = np.zeros((batch_size, *views[0][1].shape), np.uint8)
    images[: len(views)] = [image for _, image in views]
    mask = (np.arange(batch_size) < len(views)).astype(np.float32)
    return [row for row, _ in views], {"image": images, "label": np.zeros(batch_size, np.int32), "mask": mask}


def ensemble(task: Task, each: Sequence[Predictions]) -> Predictions:
    """The mean prediction of several nets for the same images; with one net, its own.

    Raises:
      ValueError: they are for other images.
    """
    first = each[0]
    if len(each) == 1:
        return first
    if any(list(other.names) != list(first.names) for other in each[1:]):
        raise ValueError("expected predictions of every net for the same images, in the same order")
    return replace(first, outputs=task.average([one.outputs for one in each]))
