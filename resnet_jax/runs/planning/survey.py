"""Inspects data before training: its contents, the images as training sees them, and unreadable images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import jax
import numpy as np

from resnet_jax import data
from resnet_jax.analysis.contact_sheet import as_seen, write_png
from resnet_jax.analysis.dense_sheet import dense_sheet
from resnet_jax.config import DataConfig
from resnet_jax.data.loading.dense import DenseLoader, with_masks
from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.loading.reading import class_counts, read_all
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.subsets import dense
from resnet_jax.files import expanded
from resnet_jax.formats.packed import is_packed
from resnet_jax.runs.planning.datasets import (
    caption_notes,
    data_notes,
    make_augmentation,
    open_configured_dataset,
    open_data,
)
from resnet_jax.runs.planning.dense_survey import dense_counts, dense_lines, dense_rows
from resnet_jax.text import count_table, printable
from resnet_jax.texts.vocabulary import SPECIAL
from resnet_jax.types import LabelKind, Preprocess, nouns_of

SHOWN = 10  # copies in the lines for a person
UNBALANCED = 3  # ratio of the largest to the smallest class that is reported


@dataclass(frozen=True, eq=False)
class Verified:
    """Results of reading every image."""

    images: int
    broken: list[dict[str, str]]  # {"split": ..., "reason": ...}
    labels: dict[str, np.ndarray]  # by split, of those that can be opened: int [n], -1 for an unreadable image
    copies: list[str] = field(default_factory=list)  # images whose contents are in several classes, a line each
    is_dense: bool = False  # labels are boxes or masks, and annotations count as broken too
    nouns: str = "images"  # what lines call the examples
    is_packed: bool = False  # a packed set: its images are repaired together, as each reason says
    further: int = 0  # images of splits that cannot be opened, but for one of each split, which is in `broken`

    def lines(self) -> list[str]:
        lines = self.copies[:SHOWN]
        if len(self.copies) > SHOWN:
            lines.append(f"and {len(self.copies) - SHOWN:,} more copies in other classes")
        if not self.broken:
            return [*lines, f"all {self.images:,} {self.nouns} can be read"]
        lines += [f"{printable(one['split'])}: {one['reason']}" for one in self.broken]
        count = f"{len(self.broken) + self.further:,} of {self.images:,} cannot be used"
        if self.is_packed:  # training does not compare checksums
            return [*lines, count]
        option = "--data.invalid skip" if self.is_dense else "--data.unreadable skip"
        return [*lines, f"{count}: repair or remove them, or train with {option}"]


def verify(
    config: DataConfig,
    *,
    label_kind: LabelKind = "class",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verified:
    """Reads and decodes every image of every split once, in threads.

    Args:
      progress: called with the number of images read, and of all.

    Raises:
      ValueError, OSError: the dataset does not exist.
    """
    is_dense = label_kind in ("pixels", "boxes")
    if is_dense:
        config = replace(config, invalid="skip")  # all problems are listed
    dataset = open_configured_dataset(config, label_kind=label_kind)
    total, done, further = sum(dataset.splits.values()), 0, 0
    problems = dataset.problems if isinstance(dataset, StoredDataset) else ()
    broken = [{"split": "annotations", "reason": problem} for problem in problems]
    labels: dict[str, np.ndarray] = {}
    copies = Copies()
    for split in dataset.splits:
        try:
            examples = dataset.examples(split)
        except ValueError as error:
            broken.append({"split": split, "reason": str(error)})
            further += dataset.splits[split] - 1
            done += dataset.splits[split]
            progress(done, total)
            continue
        classes = []
        for label, reason in read_all(examples, threads=config.threads):
            classes.append(label)
            if reason is not None:
                broken.append({"split": split, "reason": reason})
            done += 1
            progress(done, total)
        labels[split] = np.array(classes)
        if label_kind != "caption":  # an image may have several
            copies.add(examples, classes)
    nouns = nouns_of("images", label_kind)[1]
    packed = config.path is not None and is_packed(expanded(config.path))
    return Verified(total, broken, labels, copies.lines, is_dense, nouns, packed, further)


class Copies:
    """Finds images, or other examples that are called `noun`, with the same contents in several classes."""

    def __init__(self, noun: str = "image") -> None:
        self.lines: list[str] = []
        self._noun = noun
        self._first: dict[int, tuple[str, str]] = {}  # by fingerprint: class and name of the first image

    def add(self, examples: DataSource, labels: Sequence[int]) -> None:
        fingerprints = examples.identity(np.arange(len(examples)), "contents").fingerprints.tolist()
        for index, (fingerprint, label) in enumerate(zip(fingerprints, labels, strict=True)):
            if not 0 <= label < len(examples.classes):
                continue
            class_name, name = examples.classes[label], examples.name(index)
            other, first = self._first.setdefault(fingerprint, (class_name, name))
            if class_name != other:
                images = f"{printable(first)} ({printable(other)}) and {printable(name)} ({printable(class_name)})"
                self.lines.append(f"{images} are the same {self._noun} in two classes")


@dataclass(frozen=True, eq=False)
class Survey:
    """A dataset as training reads it."""

    name: str
    splits: Mapping[str, int]
    served: Mapping[str, int]  # images of the training and the test split
    classes: tuple[str, ...]
    label_kind: LabelKind
    targets: Sequence[Mapping[str, Any]]  # of each target in the training split: mean, deviation, least, greatest
    counts: Mapping[str, Sequence[int]]  # images of each class, by split, if its labels are known
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images_per_second: float
    batch_size: int
    sheet: str
    skipped: list[str]
    notes: list[str]
    verified: Verified | None = field(default=None)
    dense: Sequence[Mapping[str, Any]] = ()  # of boxes and label maps, a record for each split; see `dense_rows`

    @property
    def _shown_labels(self) -> str:
        """What the sheet shows beside the images."""
        names: dict[LabelKind, str] = {"boxes": "boxes", "pixels": "classes of pixels", "targets": "target"}
        names["caption"] = "captions"
        return names.get(self.label_kind, "classes") + "s" * (self.label_kind == "targets" and len(self.classes) > 1)

    def record(self) -> dict[str, Any]:
        """This object as JSON holds it."""
        train, test = list(self.served)[0], list(self.served)[-1]
        counted = "objects" if self.label_kind == "boxes" else "images"
        classes = [
            {"class": name, counted: {split: int(count[k]) for split, count in self.counts.items()}}
            for k, name in enumerate(self.classes)
        ]
        described: dict[str, Any] = {"classes": classes}
        if self.label_kind == "targets":
            described = {"targets": list(self.targets)}
        elif self.label_kind == "caption":
            described = {"tokens": list(self.classes)}
        return {
            "data": self.name,
            "splits": dict(self.splits),
            "train": train,
            "test": test,
            "images": dict(self.served),
            "image_shape": list(self.image_shape),
            **described,
            **({"labels": list(self.dense)} if self.dense else {}),
            "mean": list(self.mean),
            "std": list(self.std),
            "images_per_second": self.images_per_second,
            "sheet": self.sheet,
            "skipped": self.skipped,
            "notes": self.notes,
            **({} if self.verified is None else {"broken": self.verified.broken, "copies": self.verified.copies}),
        }

    def lines(self, width: int) -> list[str]:
        """For a terminal of `width` columns."""
        train, test = list(self.served)[0], list(self.served)[-1]
        shape = " x ".join(map(str, self.image_shape))
        kind, classes = f"target{'s' * (len(self.classes) > 1)}" if self.targets else "classes", self.classes
        if self.label_kind == "caption":
            kind, classes = "words of captions", classes[len(SPECIAL) :]
        names = ", ".join(map(printable, classes[:20])) + (", ..." if len(classes) > 20 else "")
        outputs = f"{len(classes)} {kind}: {names}" if classes else "captions are read as CLIP's byte pairs"
        many = nouns_of("images", self.label_kind)[1]
        lines = [
            f"{self.name}: {', '.join(f'{name} {count:,}' for name, count in self.splits.items())} {many}",
            f"trains on {train} ({self.served[train]:,}), tests on {test} ({self.served[test]:,}); served as {shape}",
            outputs,
        ]
        if self.targets:
            for row in self.targets:
                spread = f"{row['least']:.6g} to {row['greatest']:.6g}, mean {row['mean']:.6g}"
                lines.append(
                    f"{printable(row['target'])}: {spread}, standard deviation {row['deviation']:.6g} in {train}"
                )
        elif self.counts:
            lines += count_table(self.classes, self.counts, width=width)
            split, sizes = next(iter(self.counts.items()))
            if self.label_kind == "class" and max(sizes) >= UNBALANCED * min(sizes):
                lines.append(f"unbalanced: {min(sizes):,} to {max(sizes):,} images of a class in {split}")
            lines += dense_lines(self.dense)
        elif self.label_kind != "caption":
            lines.append("the number of images of each class is not known before all are read: --verify")
        fitted = "resized" if self.label_kind in ("pixels", "boxes") else "cropped"
        lines += [
            f"mean {_shown(self.mean)}, standard deviation {_shown(self.std)}",
            f"{self.sheet}: images as training sees them, with their {self._shown_labels}",
            f"{self.images_per_second:,.0f} images/s read and {fitted}, in batches of {self.batch_size}",
        ]
        return [*lines, *self.notes, *(f"skipped {reason}" for reason in self.skipped)]


def survey(
    config: DataConfig,
    *,
    sheet: str,
    batches: int,
    label_kind: LabelKind = "class",
    verified: Verified | None = None,
) -> Survey:
    """Opens a dataset as training does, writes its first images to the file `sheet`, and times `batches` batches.

    Raises:
      ValueError, OSError: what training would stop at.
    """
    dataset, splits, train, test = open_data(config, label_kind=label_kind)
    served: dict[str, data.Loader] = dict(zip(splits, (train, test), strict=True))
    mean, std = train.moments()
    size = min(config.batch_size, train.num_examples)
    shown = _with_masks_that_exist(train, size)
    reading = shown.batches(0, 0, batch_size=size)
    first = next(reading)
    preprocess = Preprocess(train.image_shape[0], train.resize, mean, std, crop_mode=train.crop_mode)
    augment = make_augmentation(config, preprocess, len(train.classes), label_kind)
    key = jax.random.key(0)
    if isinstance(train, DenseLoader):
        write_png(sheet, dense_sheet(first, augment, key, preprocess, train.classes))
    else:
        captions = train.captions(first) if isinstance(train, PairLoader) else None
        write_png(sheet, as_seen(first, augment, key, preprocess, train.classes, label_kind, captions))
    return Survey(
        name=dataset.name,
        splits=dataset.splits,
        served={split: source.num_examples for split, source in served.items()},
        classes=train.classes,
        label_kind=label_kind,
        counts=_counts(dataset, served, {} if verified is None else verified.labels, label_kind),
        targets=_target_rows(train) if label_kind == "targets" else (),
        dense=dense_rows(served),
        image_shape=train.image_shape,
        mean=mean,
        std=std,
        images_per_second=_rate(shown, reading, batches, size),
        batch_size=size,
        sheet=sheet,
        skipped=[*train.skipped.values(), *test.skipped.values()],
        notes=[*data_notes(config, dataset, splits[0]), *caption_notes(train)],
        verified=verified,
    )


def _with_masks_that_exist(train: data.Loader, batch_size: int) -> data.Loader:
    """The loader with masks in its batches, if all objects of the first batch have them."""
    if not isinstance(train, DenseLoader) or train.label_kind != "boxes":
        return train
    first = (dense(train.examples).annotations(int(i)) for i in train.order(0, batch_size).batch(0))
    has_masks = all(objects.masks is not None for objects in first)
    return cast(data.Loader, with_masks(train) if has_masks else train)


def _counts(
    dataset: data.Dataset,
    served: Mapping[str, data.Loader],
    read: Mapping[str, np.ndarray],
    label_kind: LabelKind,
) -> dict[str, list[int]]:
    """Images of each class, by split: training, test, then the others. Splits with unknown labels are omitted."""
    if label_kind in ("targets", "caption"):
        return {}
    if label_kind in ("pixels", "boxes"):
        return dense_counts(dataset, served)
    classes = next(iter(served.values())).classes
    counts = {split: class_counts(source, len(classes), label_kind) for split, source in served.items()}
    used = {part.partition("[")[0] for split in served for part in split.split("+")}
    for split in dataset.splits:
        if split in read and counts.get(split) is None:
            counts[split] = np.bincount(read[split][read[split] >= 0], minlength=len(classes))
        elif split not in used:
            try:
                counts[split] = class_counts(dataset.examples(split), len(classes), label_kind)
            except ValueError:  # training does not open it either; --verify reports it
                continue
    known = {split: count for split, count in counts.items() if count is not None and len(count) == len(classes)}
    return {split: count.tolist() for split, count in known.items()}


def _target_rows(loader: data.Loader) -> list[dict[str, Any]]:
    labels = loader.labels.astype(np.float64)
    numbers = {"mean": labels.mean(0), "deviation": labels.std(0), "least": labels.min(0), "greatest": labels.max(0)}
    rows = zip(*(values.tolist() for values in numbers.values()), strict=True)
    return [
        {"target": name} | dict(zip(numbers, row, strict=True)) for name, row in zip(loader.classes, rows, strict=True)
    ]


def _rate(loader: data.Loader, batches: Iterator[Any], count: int, size: int) -> float:
    """Images read per second. The dense loader holds those of a small set in memory, so it reads each once more."""
    if isinstance(loader, DenseLoader):
        batches = replace(loader, cache=0).batches(0, 0, batch_size=size)
        count = min(count, loader.num_examples // size)
    began = time.perf_counter()
    for _ in range(count):
        next(batches)
    return count * size / (time.perf_counter() - began)


def _shown(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
