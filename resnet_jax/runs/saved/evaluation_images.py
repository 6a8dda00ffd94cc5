"""The images of an evaluation: dataset and split, whether a run was trained on them, and how they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from resnet_jax import data
from resnet_jax.config import DataConfig, check_data, place
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.sources.annotations import DENSE_KINDS
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.files import expanded
from resnet_jax.runs.files.image_record import ImageRecord, has_trained_images, trained_on
from resnet_jax.runs.planning.datasets import keep_sides, open_configured_dataset, open_split
from resnet_jax.runs.planning.sequence_data import check_options_of, open_sequence_split
from resnet_jax.runs.saved.evaluation_files import Source
from resnet_jax.runs.saved.nets import TrainedNet, captions_of
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


def choose_images(first: TrainedNet, config: DataConfig, split: str | None) -> TestImages:
    """The dataset and the split: those of the run, unless others are named.

    Raises:
      ValueError, OSError: they do not exist, or it is not known which of them the run was trained on.
    """
    trained, record = (DataConfig(), None) if first.run is None else (first.run.config.data, first.run.record)
    if config.per_class != trained.per_class:
        raise ValueError("--data.per-class is for training; name a part of the split: --split 'test[:100]'")
    if config.kind not in (None, first.kind):
        raise ValueError(f"--data.kind {config.kind}: expected {first.kind}, the data of {first.source}")
    check_options_of(config, first.kind)
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
        _check_held_out(first, dataset, config, split, record)
    return TestImages(dataset, config, trained, split, is_own)


def open_images(images: TestImages, trained: TrainedNet) -> Source:
    """The split under the labels of a trained net, preprocessed as in its training."""
    config, preprocess, label_kind = images.config, trained.net.preprocess, trained.task.label_kind
    known = trained.classes
    if trained.kind != "images":
        of_sequences: Any = preprocess
        return open_sequence_split(config, images.dataset, images.split, of_sequences, known, label_kind)
    channels: Any = preprocess.channels
    if label_kind == "caption":
        config = replace(config, captions=captions_of(trained))
    elif trained.run is None:
        config, known = _with_numbers(config, images, trained.source, known), tuple(map(str, range(len(known))))
    # Otherwise they are cropped to its size.
    if trained.run is not None and config.image_size is None and label_kind not in DENSE_KINDS:
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
    crop = {"crop": replace(preprocess, resize=loader.resize).crop, "interpolation": preprocess.interpolation}
    if isinstance(loader, PairLoader):
        return replace(loader, images=replace(cast(Any, loader.images), **crop))
    return replace(loader, **crop)


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
    label_kind, noun = first.task.label_kind, first.nouns[1]
    try:
        return open_configured_dataset(config, label_kind=label_kind, kind=first.kind)
    except FileNotFoundError as error:
        if first.run is None or place(config) != place(trained):
            raise
        if trained.path and expanded(trained.path).exists():
            problem = f"{error}; {first.source} was trained with this file"
            raise FileNotFoundError(f"{problem}; name where it is now: --data.labels") from None
        problem = f"{error}; this is the path of the {noun} that {first.source} was trained with"
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
    first: TrainedNet, dataset: data.Dataset, config: DataConfig, split: str, record: ImageRecord | None
) -> None:
    """Raises ValueError if a part held out by position may not be the one of a run without a record."""
    train = data.default_splits(dataset, config.train_split, config.test_split, config.holdout)[0]
    if record is None and not {*dataset.places(train)}.isdisjoint(dataset.places(split)):
        noun = first.nouns[1]
        problem = f"{dataset.name} has changed since {first.source} was trained, which has no record of its {noun}"
        raise ValueError(f"{problem}: its held-out {noun} are not known; name other data by --data.path or --split")


def images_to_test(
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
    is_chosen, noun = is_explicit or not images.is_own, opened[0].nouns[1]
    if count == total and not is_chosen:
        raise ValueError(f"all of the {count:,} {noun} were trained on; name other {noun} by --split or --data.path")
    ending = "" if is_chosen else ", and are not tested on"
    notes = [f"{count:,} of {total:,} {noun} were trained on{ending}"] if count else []
    if not known:
        names = " and ".join(source for (source, _), record in zip(runs, records, strict=True) if record is None)
        reason = f"{names} has no record of its {noun}" if names else f"the record of its {noun} is incomplete"
        notes.append(f"whether {'others' if count else noun} were trained on is not known: {reason}")
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
