"""Evaluates runs, or other weights, over a split: chooses the images and the nets. Nothing is printed here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax import data
from resnet_jax.checkpoints.reader import saved_steps
from resnet_jax.config import DataConfig, check_data, place
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.annotations import DENSE_KINDS
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.dense import predict_dense
from resnet_jax.evaluation.examples import FirstExamples
from resnet_jax.evaluation.prediction_files import PredictionFile
from resnet_jax.evaluation.views import (
    ViewProtocol,
    Views,
    ensemble,
    make_views,
    predict_views,
    shorter_sides,
)
from resnet_jax.files import expanded
from resnet_jax.runs.files.image_record import ImageRecord, has_trained_images, select, trained_on
from resnet_jax.runs.planning.datasets import keep_sides, open_configured_dataset, open_split
from resnet_jax.runs.saved.evaluation_files import EvaluationResult, measure
from resnet_jax.runs.saved.nets import TrainedNet, open_net
from resnet_jax.tasks import Task
from resnet_jax.types import Preprocess
from resnet_jax.weights.labels import labels_of_classes


@dataclass(frozen=True)
class TestImages:
    """A split of a dataset, to evaluate on."""

    __test__ = False  # not a class of tests
    dataset: data.Dataset
    config: DataConfig
    run_config: DataConfig  # of the first run; the default for other weights
    split: str
    is_own: bool  # whether they are the first run's data


@dataclass(frozen=True)
class _Net:
    """A net with the images it is evaluated on, preprocessed as in its training."""

    trained: TrainedNet
    source: StreamingLoader | DenseLoader
    views: Views | None  # None: of a dense task, whose images are on a canvas


@dataclass(frozen=True)
class Evaluation:
    """Runs, or other weights, to evaluate together, opened and checked."""

    runs: Sequence[str]  # sources as the user named them
    steps: Sequence[int | None]  # None: other weights than a run's
    ema: bool
    protocol: ViewProtocol
    scales: Sequence[int] | None
    images: TestImages
    nets: Sequence[_Net]
    is_newest: bool  # whether the weights are those of the first run's newest checkpoint
    counts: dict[str, int | None]  # images "dropped" and "trained_on"; None: not known
    note: str  # for a person; "" for none

    @property
    def source(self) -> StreamingLoader | DenseLoader:
        return self.nets[-1].source

    @property
    def task(self) -> Task:
        """The first net's, for the images."""
        return self.nets[0].trained.task.for_examples(self.nets[0].source.examples)

    def evaluate(self, file: PredictionFile | None = None) -> EvaluationResult:
        """Predictions for every image, as means over its views and over the nets, and their metrics.

        `file` of the evaluation's task gets all of them, to be written.
        """
        parallel = Parallel()
        config = self.images.config
        devices = len(parallel.devices)
        batch = -(-(config.eval_batch_size or config.batch_size) // devices) * devices
        task = self.task
        if isinstance(loader := self.nets[0].source, DenseLoader):
            evaluator, net = task.evaluator(), self.nets[0].trained.net
            first, add = FirstExamples(evaluator), None if file is None else file.add
            predictions, sown = predict_dense(net, task, loader, first, batch_size=batch, parallel=parallel, add=add)
            return replace(measure(task, predictions, sown, evaluator), examples=first.examples)
        each = [
            predict_views(one.trained.net, one.trained.task, one.source, one.views, batch_size=batch, parallel=parallel)
            for one in self.nets
            if isinstance(one.source, StreamingLoader) and one.views is not None
        ]
        predictions = ensemble(task, [predictions for predictions, _ in each])
        if file is not None:
            file.add_all(predictions)
        # Metrics that a net sows are of that net, not of an ensemble.
        result = measure(task, predictions, each[0][1] if len(each) == 1 else {})
        # The loss may depend on data of each run's training, such as the deviation of its targets.
        others = [one.trained.task for one in self.nets if one.trained.task.record() != task.record()]
        if any(measure(other, predictions, {}).metrics.get("loss") != result.metrics.get("loss") for other in others):
            result.metrics.pop("loss", None)
        return result

    def record(self, result: EvaluationResult) -> dict[str, Any]:
        """The nets, the images and the metrics as JSON holds them."""
        first, *others = self.nets
        if others:
            which: dict[str, Any] = {"runs": self.runs, "steps": self.steps}
        elif first.trained.run is None:
            which = {"weights": self.runs[0], "model": first.trained.net.name}
        else:
            which = {"run": self.runs[0], "step": self.steps[0]}
        where = {
            "ema": self.ema,
            "data": self.images.dataset.name,
            "split": self.images.split,
            "protocol": self.protocol,
        }
        if self.protocol == "multi-scale":
            where["scales"] = shorter_sides(self.source.image_size, self.scales)
        count = {"skipped": len(self.source.skipped), **self.counts, "images": len(result.predictions.labels)}
        return {**which, **where, **count, **result.metrics}

    def heading(self, count: int) -> str:
        """One line on what was evaluated; `count` images."""
        heading = " + ".join(one.trained.description for one in self.nets)
        heading += ", averaged weights" if self.ema else ""
        if self.protocol != "single":
            heading += f", {self.protocol}"
        if self.protocol == "multi-scale":
            sides = shorter_sides(self.source.image_size, self.scales)
            heading += f" ({' '.join(map(str, sides))} pixels)"
        return f"{heading}, on {self.images.dataset.name} ({self.images.split}), {count} images"

    def variant(self) -> tuple[str, ...]:
        """Names of what differs from the test at the end of the run: images, views, step, averaged weights."""
        views = () if self.protocol == "single" else (self.protocol,)
        step = () if self.is_newest else (f"step-{self.steps[0]}",)
        return (*self._other_images(), *views, *step, *(("ema",) if self.ema else ()))

    def _other_images(self) -> tuple[str, ...]:
        images = self.images
        if not images.is_own:
            return Path(os.path.abspath(images.dataset.name)).name, images.split
        trained = images.run_config
        try:
            tested = data.default_splits(images.dataset, trained.train_split, trained.test_split, trained.holdout)[1]
        except ValueError:  # the dataset has other splits by now
            return (images.split,)
        return () if images.split == tested else (images.split,)


def open_evaluation(
    runs: Sequence[str],
    config: DataConfig,
    *,
    step: str = "latest",
    split: str | None = None,
    protocol: ViewProtocol = "single",
    scales: Sequence[int] | None = None,
    ema: bool = False,
    task: Task | None = None,
    model: str | None = None,
) -> Evaluation:
    """Opens runs, or weights from other sources, and images, and checks that they fit; evaluates nothing yet.

    Args:
      runs: folders of runs of one task, or sources of `load_pretrained`, with the same classes.
      config: the images: the data of the first run, or other data.
      split: to evaluate; None: as the first run was tested; of other data the test split, else all.
      step, ema: the weights; see `load_checkpoint`.
      task: that of runs of a task of your own.
      model: the net of weights; None: as their source says.

    Raises:
      ValueError, OSError: runs, weights, images or options are missing, invalid or do not fit each other.
    """
    check_data(config)
    opened = [open_net(run, step=step, ema=ema, model=model, task=task, allow_nonfinite=True) for run in runs]
    first = opened[0]
    if len(names := dict.fromkeys(one.task.name for one in opened)) > 1:
        raise ValueError(f"expected runs of one task, got runs of {', '.join(names)}")
    if others := [one.task for one in opened[1:]]:
        first.task.check_ensemble(others)
    _check_dense(opened, protocol)
    images = _choose_images(first, config, split)
    nets: list[_Net] = []
    for one in opened:
        if one.classes != first.classes:
            raise ValueError(f"expected nets with the classes of {first.source}, got {one.source}")
        source = _open_images(images, one)
        if not nets:
            mask, counts, note = _held_out(opened, source.examples, images, bool(split))
        source = select(source, mask)
        views = make_views(protocol, source, scales) if isinstance(source, StreamingLoader) else None
        nets.append(_Net(one, source, views))
    steps = [None if one.run is None else one.run.step for one in opened]
    is_newest = first.run is None or steps[0] == max(saved_steps(first.run.checkpoint.path.parent))
    return Evaluation(runs, steps, ema, protocol, scales, images, nets, is_newest, counts, note)


def _check_dense(opened: Sequence[TrainedNet], protocol: ViewProtocol) -> None:
    """Raises ValueError for several views or nets of a dense task: boxes and classes of pixels have no mean."""
    if (task := opened[0].task).label_kind not in DENSE_KINDS:
        return
    if protocol != "single":
        raise ValueError(f"--protocol {protocol}: expected single for the task {task.name}, which has one view")
    if len(opened) > 1:
        raise ValueError(f"expected one net of the task {task.name}, got {len(opened)}; evaluate each on its own")


def _choose_images(first: TrainedNet, config: DataConfig, split: str | None) -> TestImages:
    """The dataset and the split: those of the run, unless others are named.

    Raises:
      ValueError, OSError: they do not exist, or it is not known which of them the run was trained on.
    """
    trained, record = (DataConfig(), None) if first.run is None else (first.run.config.data, first.run.record)
    if config.per_class != trained.per_class:
        raise ValueError("--data.per-class is for training; name a part of the split: --split 'test[:100]'")
    config = replace(config, per_class=None)
    dataset = _open_for(first, config, trained)
    is_own = first.run is not None and (place(config) == place(trained) or _has_moved(dataset, config, trained, record))
    if is_own:
        # The command line has dropped these for data at another place.
        config = replace(
            config, class_names=config.class_names or trained.class_names, classes=config.classes or trained.classes
        )
        dataset = keep_sides(dataset, record)
    is_default = split is None
    split = split or _default_split(dataset, config, trained, is_own)
    if is_own and is_default:
        _check_held_out(first.source, dataset, config, split, record)
    return TestImages(dataset, config, trained, split, is_own)


def _open_images(images: TestImages, trained: TrainedNet) -> StreamingLoader | DenseLoader:
    """The split under the labels of a trained net, preprocessed as in its training."""
    config, preprocess, label_kind = images.config, trained.net.preprocess, trained.task.label_kind
    channels: Any = preprocess.channels
    known = trained.classes
    if trained.run is None:
        config, known = _with_numbers(config, images, trained.source, known), tuple(map(str, range(len(known))))
    elif config.image_size is None and label_kind not in DENSE_KINDS:  # otherwise they are cropped to its size
        source = open_split(replace(config, channels=channels), images.dataset, images.split, known, label_kind)
        _check_size(source, preprocess, images.dataset.name)
    cropped = replace(
        config,
        channels=channels,
        image_size=preprocess.image_size,
        resize=preprocess.resize if config.resize in (None, images.run_config.resize) else config.resize,
    )
    check_data(cropped)
    loader: Any = open_split(cropped, images.dataset, images.split, known, label_kind)
    if isinstance(loader, DenseLoader):
        return replace(loader, interpolation=preprocess.interpolation, cache=0)  # each image is read once
    crop = replace(preprocess, resize=loader.resize).crop
    return replace(loader, crop=crop, interpolation=preprocess.interpolation)


def _with_numbers(config: DataConfig, images: TestImages, source: str, classes: Sequence[str]) -> DataConfig:
    """The config with the data's classes renamed to the numbers of the weights' classes: two may have one name.

    Raises:
      ValueError: the data's classes are not among those of the weights.
    """
    every = data.open_examples(images.dataset, images.split, config.class_names).classes
    used = data.open_examples(images.dataset, images.split, config.class_names, config.classes).classes
    try:
        numbers = {name: str(k) for name, k in labels_of_classes(classes).match(used).items()}
    except ValueError as error:
        raise ValueError(f"the classes of {images.dataset.name} are not those of {source}: {error}") from None
    names = tuple(numbers.get(name, f"not evaluated: {name}") for name in every)
    return replace(config, class_names=names, classes=config.classes and tuple(numbers[name] for name in used))


def _check_size(source: data.Loader, preprocess: Preprocess, name: str) -> None:
    size = preprocess.image_size
    if source.image_shape[:2] != (size, size):
        shape = " x ".join(map(str, source.image_shape))
        raise ValueError(
            f"{name}: expected images of {size} x {size} pixels, got {shape}; --data.image-size {size} resizes them"
        )


def _open_for(first: TrainedNet, config: DataConfig, trained: DataConfig) -> data.Dataset:
    """The dataset. If that of the run is missing, the error names the option for its new path."""
    try:
        return open_configured_dataset(config, label_kind=first.task.label_kind)
    except FileNotFoundError as error:
        if first.run is None or place(config) != place(trained):
            raise
        if trained.path and expanded(trained.path).exists():
            problem = f"{error}; {first.source} was trained with this file"
            raise FileNotFoundError(f"{problem}; name where it is now: --data.labels") from None
        problem = f"{error}; this is the path of the images that {first.source} was trained with"
        raise FileNotFoundError(f"{problem}; name where they are now: --data.path") from None


def _has_moved(dataset: data.Dataset, config: DataConfig, trained: DataConfig, record: ImageRecord | None) -> bool:
    """Whether the dataset is that of the run at another path: it has most of its training images."""
    base = trained.train_split.partition("[")[0]
    if record is None or not config.path or base not in dataset.splits:
        return False
    try:
        examples = data.open_examples(dataset, base, trained.class_names, trained.classes)
    except ValueError:  # other classes
        return False
    return has_trained_images(examples, record)


def _check_held_out(
    run: str, dataset: data.Dataset, config: DataConfig, split: str, record: ImageRecord | None
) -> None:
    """Raises ValueError if a part held out by position may not be the one of a run without a record."""
    train = data.default_splits(dataset, config.train_split, config.test_split, config.holdout)[0]
    if record is None and not {*dataset.places(train)}.isdisjoint(dataset.places(split)):
        problem = f"{dataset.name} has changed since {run} was trained, which has no record of its images"
        raise ValueError(f"{problem}: its held-out images are not known; name other data by --data.path or --split")


def _held_out(
    opened: Sequence[TrainedNet], examples: DataSource, images: TestImages, is_explicit: bool
) -> tuple[np.ndarray, dict[str, int | None], str]:
    """Which images to test on, bool [n]; the numbers "dropped" and "trained_on" (None: not known); and a note.

    Images that a run was trained on are dropped, unless the user named the split or the data.
    """
    runs = [(one.source, one.run) for one in opened if one.run is not None]
    records = [run.record for _, run in runs]
    is_own = [
        images.is_own if one is opened[0] else place(one.run.config.data) == place(images.config)
        for one in opened
        if one.run is not None
    ]
    mask, known = trained_on(examples, list(zip(records, is_own, strict=True)))
    count, total = int(mask.sum()), len(examples)
    is_chosen = is_explicit or not images.is_own
    if count == total and not is_chosen:
        raise ValueError(f"all of the {count:,} images were trained on; name other images by --split or --data.path")
    ending = "" if is_chosen else ", and are not tested on"
    notes = [f"{count:,} of {total:,} images were trained on{ending}"] if count else []
    if not known:
        names = " and ".join(source for (source, _), record in zip(runs, records, strict=True) if record is None)
        reason = f"{names} has no record of its images" if names else "the record of its images is incomplete"
        notes.append(f"whether {'others' if count else 'images'} were trained on is not known: {reason}")
    remaining = count if is_chosen else 0
    known = known and len(runs) == len(opened)
    counts = {"dropped": count - remaining, "trained_on": remaining if known else None}
    notes += dict.fromkeys(note for one in opened for note in one.notes)
    return (np.ones_like(mask) if is_chosen else ~mask), counts, "; ".join(notes)


def _default_split(dataset: data.Dataset, config: DataConfig, trained: DataConfig, is_own: bool) -> str:
    """The split that the run was tested on; of other data the test split, or all of it."""
    if is_own or config.test_split != trained.test_split:
        return data.default_splits(dataset, config.train_split, config.test_split, config.holdout)[1]
    return next((name for name in data.TEST_SPLITS if name in dataset.splits), "train")
