"""Evaluation over several views of each image, and of several nets together."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, get_args

import jax
import numpy as np
import optax

from resnet_jax.data.loading.decoding import Picture, centre_crop, mirrored, ten_crops, whole
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.files import replace_file
from resnet_jax.metrics.confusion import Confusion
from resnet_jax.tasks import Classification
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState
from resnet_jax.types import Batch, Pretrained

Protocol = Literal["single", "flip", "ten-crop", "multi-scale"]
SCALES = (224, 256, 384, 480, 640)  # shorter sides for nets of 224 pixels: He et al. 2015, section 3.4
HELD = 2**28  # bytes of views that wait for others of their shape
BINS = 15  # of the calibration error
AHEAD = 3  # batches under way at most

Views = Callable[[Picture], list[np.ndarray]]


def make_views(protocol: Protocol, source: StreamingLoader, scales: Sequence[int] | None = None) -> Views:
    """What a net sees of an image, as evaluation resizes it: uint8 [H, W, C] each.

    "single": the middle. "flip": that and its mirror image. "ten-crop": the corners and the middle, and their mirror
    images (where the shorter side is no longer than the crop, it is resized to 8/7 of it, as 256 is of 224).
    "multi-scale": the whole image at each of `scales`, its shorter side in pixels (None: 224, 256, 384, 480 and 640, in
    proportion where the net's crops are not of 224; He et al. 2015, section 3.4). Of the longer side up to 31 pixels
    are cut off, so that few shapes are compiled, and what is beyond three times the shorter one.

    Raises:
      ValueError: another protocol, a scale below 1, or scales for another protocol.
    """
    if scales is not None and protocol != "multi-scale":
        raise ValueError(f"scales {list(scales)} are for protocol multi-scale; got {protocol}")
    size = source.image_size
    look: dict[str, Any] = {"interpolation": source.interpolation}
    if protocol == "single":
        return lambda image: [centre_crop(image, resize=source.resize, size=size, **look)]
    if protocol == "flip":

        def both(image: Picture) -> list[np.ndarray]:
            crop = centre_crop(image, resize=source.resize, size=size, **look)
            return [crop, mirrored(crop)]

        return both
    if protocol == "ten-crop":
        resize = source.resize if source.resize > size else round(size * 8 / 7)
        return partial(ten_crops, resize=resize, size=size, **look)
    if protocol == "multi-scale":
        sides = shorter_sides(size, scales)
        return lambda image: [whole(image, resize=side, **look) for side in sides]
    raise ValueError(f"protocol {protocol!r}; valid: {', '.join(get_args(Protocol))}")


def shorter_sides(size: int, scales: Sequence[int] | None = None) -> list[int]:
    """Of multi-scale's images, in pixels, for a net whose crops are of `size`: `scales`, or by default as above.

    Raises:
      ValueError: none, one below 1, or one above 16,384.
    """
    sides = [round(scale * size / 224) for scale in SCALES] if scales is None else list(scales)
    if not sides or min(sides) < 1 or max(sides) > 2**14:
        raise ValueError(
            f"scales {sides}; wanted: shorter sides of 1 to {2**14:,} pixels, as {' '.join(map(str, SCALES))}"
        )
    return sides


@dataclass(frozen=True)
class Mistake:
    """An image that is predicted as another class than its own."""

    index: int  # in its source
    image: str
    label: str
    predicted: str
    confidence: float  # probability of the predicted class

    def record(self) -> dict[str, Any]:
        """As JSON holds it: a confidence of nan is None."""
        record = {name: value for name, value in asdict(self).items() if name != "index"}
        return record | {"confidence": None if math.isnan(self.confidence) else self.confidence}


@dataclass(frozen=True, eq=False)
class Predictions:
    """What nets say of n images."""

    names: Sequence[str]
    labels: np.ndarray  # int [n]
    log_probability: np.ndarray  # float64 [n, K]: logarithms of the means of softmax outputs
    classes: tuple[str, ...]
    executed: dict[str, float]  # a SkipNet's shares of blocks that were run; else {}
    indices: Sequence[int] = ()  # of the images in their source

    def __post_init__(self) -> None:
        """Raises ValueError for labels that are not int [n] in 0 .. K - 1: a negative one would count from the end."""
        n, classes = self.log_probability.shape
        if self.labels.shape != (n,) or not np.issubdtype(self.labels.dtype, np.integer):
            raise ValueError(f"expected labels int [{n}], got {self.labels.dtype} {list(self.labels.shape)}")
        if len(wrong := self.labels[(self.labels < 0) | (self.labels >= classes)]):
            raise ValueError(f"expected labels from 0 to {classes - 1}, got {wrong[0]}")

    def metrics(self) -> dict[str, float]:
        """Means: "loss" (negative log-likelihood, nats), "top1", with more than five classes "top5", and "ece".

        The last is the expected calibration error over 15 bins of equal width (Guo et al. 2017, eq. 3).
        """
        own, rank = self._own, self._rank
        tops = {f"top{k}": float((rank < k).mean()) for k in (1, 5) if k == 1 or self.log_probability.shape[1] > 5}
        return {"loss": float(-own.mean()), **tops, "ece": self._calibration_error(rank < 1), **self.executed}

    @property
    def _own(self) -> np.ndarray:
        """Log probabilities of the labels: [n, 1]."""
        return np.take_along_axis(self.log_probability, self.labels[:, None], axis=1)

    @property
    def _rank(self) -> np.ndarray:
        """Of the labels among the classes, 0 for the likeliest: int [n]. A tie counts against it, and so does a nan."""
        return self.log_probability.shape[1] - 1 - (self.log_probability < self._own).sum(1)

    @property
    def predicted(self) -> np.ndarray:
        """The likeliest class of each image: int [n]; where the label's rank is not 0, it is another class."""
        others = self.log_probability.copy()
        np.put_along_axis(others, self.labels[:, None], -np.inf, axis=1)
        return np.where(self._rank < 1, self.labels, others.argmax(1))

    def confusion(self) -> Confusion:
        return Confusion(self.classes, self.labels, self.predicted)

    def mistakes(self, most: int) -> list[Mistake]:
        """At most `most` images that are taken for another class, the most confident predictions first."""
        predicted = self.predicted
        wrong = np.flatnonzero(predicted != self.labels)
        confidence = np.exp(self.log_probability[wrong, predicted[wrong]])
        return [
            Mistake(
                self.indices[i] if len(self.indices) else i,
                self.names[i],
                self.classes[self.labels[i]],
                self.classes[predicted[i]],
                float(share),
            )
            for i, share in sorted(zip(wrong.tolist(), confidence, strict=True), key=lambda one: -one[1])[:most]
        ]

    def _calibration_error(self, hit: np.ndarray) -> float:
        confidence = np.exp(self.log_probability.max(1))
        if np.isnan(confidence).any():
            return math.nan
        bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # (0, 1/15], (1/15, 2/15], ...
        gaps = np.bincount(bins, confidence - hit, minlength=BINS)
        return float(np.abs(gaps).sum() / len(hit))

    def write(self, path: str | Path, top: int = 5) -> None:
        """To a .csv or .json file: each image's name, its class, and its likeliest classes with their probabilities.

        Raises:
          ValueError: another kind of file.
        """
        path = Path(path)
        likeliest = np.argsort(-self.log_probability, axis=1, kind="stable")[:, :top]
        rows = [
            {
                "image": name,
                "label": self.classes[label],
                "top": [{"class": self.classes[k], "probability": float(np.exp(own[k]))} for k in order],
            }
            for name, label, own, order in zip(self.names, self.labels, self.log_probability, likeliest, strict=True)
        ]
        check_file(path)
        if path.suffix == ".json":
            replace_file(path, json.dumps(rows, indent=1) + "\n")
            return
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        pairs = ((f"class{k}", f"probability{k}") for k in range(1, likeliest.shape[1] + 1))
        writer.writerow(["image", "label", *chain.from_iterable(pairs)])
        for row in rows:
            shown = (value for one in row["top"] for value in (one["class"], repr(one["probability"])))
            writer.writerow([row["image"], row["label"], *shown])
        replace_file(path, text.getvalue())


def check_file(path: str | Path) -> None:
    """Makes the folder of a file for predictions. Raises ValueError where they cannot be written to."""
    path = Path(path)
    if path.suffix not in (".csv", ".json") or path.is_dir():
        raise ValueError(f"predictions to {str(path)!r}; wanted: a .csv or .json file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"predictions to {str(path)!r}: {error.strerror}; wanted: a file that can be made") from None


def evaluate_views(
    net: Pretrained, source: StreamingLoader, views: Views, *, batch_size: int, parallel: Parallel
) -> Predictions:
    """The mean of the net's softmax over each image's views. Images that cannot be read are left out."""
    state = parallel.replicate(TrainState.from_variables(net.variables, optax.identity(), jax.random.key(0)))
    step = parallel.map(forward_step(net.model, Classification().predictions, prepare=net.preprocess))
    number, labels, parts = [], [], []

    def all_views() -> Iterator[tuple[int, np.ndarray]]:
        for row, (index, images, label) in enumerate(source.views(views)):
            number.append(index)
            labels.append(label)
            parts.append(len(images))
            yield from ((row, image) for image in images)

    found: dict[int, Any] = {}
    shares: dict[str, float] = defaultdict(float)

    def take(rows: list[int], outputs: Any) -> None:
        forward = jax.device_get(outputs)
        for row, own in zip(rows, forward.predictions["log_probability"].astype(np.float64), strict=False):
            found[row] = np.logaddexp(found[row], own) if row in found else own
        for name, value in forward.metrics.items():
            shares[name] += float(value.total)

    area = net.preprocess.image_size**2
    under_way: deque[tuple[list[int], Any]] = deque()
    for rows, batch in _batches(all_views(), batch_size, area, len(parallel.devices)):
        under_way.append((rows, step(state, parallel.shard(batch))))
        if len(under_way) == AHEAD:
            take(*under_way.popleft())
    for done in under_way:
        take(*done)
    if not number:
        raise ValueError(f"none of {source.num_examples} images could be read")
    means = np.stack([found[row] - np.log(parts[row]) for row in range(len(number))])
    executed = {name: value / sum(parts) for name, value in shares.items()}
    names = [source.examples.name(index) for index in number]
    return Predictions(names, np.array(labels), means, source.classes, executed, number)


def _batches(
    views: Iterable[tuple[int, np.ndarray]], batch_size: int, area: int, devices: int
) -> Iterator[tuple[list[int], Batch]]:
    """Views of one shape together, filled up with images that count for nothing; and of which image each is.

    A batch has about the pixels of `batch_size` images of `area`, and no more than `HELD` bytes wait for theirs.
    """
    waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = defaultdict(list)
    held = 0

    def taken(shape: tuple[int, ...]) -> tuple[list[int], Batch]:
        nonlocal held
        same = waiting.pop(shape)
        held -= sum(image.nbytes for _, image in same)
        return _batch(same, _size(shape, batch_size, area, devices))

    for view in views:
        shape = view[1].shape
        waiting[shape].append(view)
        held += view[1].nbytes
        if len(waiting[shape]) == _size(shape, batch_size, area, devices):
            yield taken(shape)
        while held > HELD:
            yield taken(max(waiting, key=lambda shape: len(waiting[shape]) * np.prod(shape)))
    for shape in list(waiting):
        yield taken(shape)


def _size(shape: tuple[int, ...], batch_size: int, area: int, devices: int) -> int:
    """How many images of this shape make a batch, which the devices share evenly."""
    return max(1, min(batch_size, batch_size * area // (shape[0] * shape[1])) // devices) * devices


def _batch(views: list[tuple[int, np.ndarray]], batch_size: int) -> tuple[list[int], Batch]:
    images = np.zeros((batch_size, *views[0][1].shape), np.uint8)
    images[: len(views)] = [image for _, image in views]
    mask = (np.arange(batch_size) < len(views)).astype(np.float32)
    return [row for row, _ in views], {"image": images, "label": np.zeros(batch_size, np.int32), "mask": mask}


def ensemble(each: Sequence[Predictions]) -> Predictions:
    """The mean of the probabilities of several nets, for the same images. Of one it is that one.

    SkipNets' shares of blocks are those of a net, and an ensemble has none.

    Raises:
      ValueError: they are of other images or classes.
    """
    first = each[0]
    if len(each) == 1:
        return first
    for other in each[1:]:
        if list(other.names) != list(first.names) or other.classes != first.classes:
            raise ValueError("an ensemble wants predictions for the same images and classes, in the same order")
    mean = np.logaddexp.reduce([one.log_probability for one in each]) - np.log(len(each))
    return Predictions(first.names, first.labels, mean, first.classes, {}, first.indices)
