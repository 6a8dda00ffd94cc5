"""Opens the data that a config names, and makes its augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from resnet_jax import data
from resnet_jax.config import DataConfig, check_data
from resnet_jax.config.messages import as_typed
from resnet_jax.data import Dataset, Loader
from resnet_jax.data.loading.loader import ImageLoader
from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.loading.statistics import depth_note
from resnet_jax.data.sources.annotations import DENSE_KINDS
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.data.sources.held_out import Sides, shared
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.subsets import labels_of
from resnet_jax.errors import listed
from resnet_jax.inputs.captions import CaptionOptions, WordCaptions
from resnet_jax.runs.files.image_record import ImageRecord
from resnet_jax.types import DataKind, LabelKind, Preprocess


def open_configured_dataset(
    config: DataConfig,
    record: ImageRecord | None = None,
    label_kind: LabelKind = "class",
    kind: DataKind = "images",
) -> Dataset:
    """The dataset that a config names.

    Args:
      record: the images of a run to resume; see `make_plan`.

    Raises:
      ValueError, OSError: it does not exist or is not understood.
    """
    dataset = data.open_dataset(
        config.name,
        path=config.path,
        data_dir=config.data_dir,
        labels=config.labels,
        label_column=config.label_column,
        image_column=config.image_column,
        label_kind=label_kind,
        classes=config.classes,
        as_0_1_0=config.holdout == "position",
        skip_unreadable=config.unreadable == "skip",
        annotations=config.annotations,
        masks=config.masks,
        skip_invalid=config.invalid == "skip",
        kind=kind,
        missing=config.series.missing,
    )
    return keep_sides(dataset, record)


def keep_sides(dataset: Dataset, record: ImageRecord | None) -> Dataset:
    """The dataset, with each image on the side, training or held out, that the run with this record has it on."""
    if record is None or not isinstance(dataset, StoredDataset):
        return dataset
    return replace(dataset, sides=Sides(record.trained, record.train, record.test))


def open_data(
    config: DataConfig,
    record: ImageRecord | None = None,
    label_kind: LabelKind = "class",
    tokens: tuple[str, ...] | None = None,
) -> tuple[Dataset, tuple[str, str], ImageLoader, ImageLoader]:
    """The dataset, the names of its training and test split, and these two splits as sources.

    Args:
      record: the images of a run to resume; see `make_plan`.
      tokens: of the captions; None: the words of those that are trained on, or as the config says.

    Raises:
      ValueError, OSError: something is missing or cannot be read.
    """
    check_data(config)
    _check_for_labels(config, label_kind)
    dataset = open_configured_dataset(config, record, label_kind)
    splits = choose_splits(config, dataset)
    train = open_split(config, dataset, splits[0], tokens, label_kind)
    if label_kind in ("class", "pixels"):
        check_classes(config, dataset, train.classes)
    if config.balance:
        train = replace(cast(Any, train), balance=True)
    channels: Any = train.image_shape[-1]
    if any(config.color_jitter) and channels != 3:
        raise ValueError("--data.color-jitter needs three channels; these images are grey (--data.channels 3)")
    # Both splits get the same number of channels, even if one is all grey; the test uses all images of each class.
    test_config = replace(config, channels=channels, per_class=None)
    known = train.classes if label_kind == "caption" else None  # the vocabulary of the training's captions
    return dataset, splits, train, open_split(test_config, dataset, splits[1], known, label_kind)


def choose_splits(config: DataConfig, dataset: Dataset, examples: str = "images") -> tuple[str, str]:
    """Names of the training and the test split; see `data.default_splits`. `examples`: a word for messages.

    Raises:
      ValueError: there is nothing to test on, or the two share examples.
    """
    splits = data.default_splits(dataset, config.train_split, config.test_split, config.holdout)
    if config.holdout == "digest" and (count := shared(dataset, *splits)):
        problem = f"--data.train-split {splits[0]!r} and --data.test-split {splits[1]!r} share {count:,} {examples}"
        raise ValueError(f"{problem} of {dataset.name}; expected disjoint splits, as train[:80%] and train[80%:]")
    return splits


def check_classes(config: DataConfig, dataset: Dataset, classes: tuple[str, ...]) -> None:
    """Raises ValueError for training data of one class."""
    if len(classes) < 2:
        which = "data.classes" if config.classes is not None else dataset.name
        raise ValueError(f"{which} has one class, {classes[0]!r}; expected two or more")


def _check_for_labels(config: DataConfig, label_kind: LabelKind) -> None:
    """Raises ValueError for options that do not go with this kind of labels."""
    size, resize = config.image_size, config.resize
    if label_kind == "caption":
        options: dict[str, object] = {"balance": config.balance, "mixup": config.mixup, "cutmix": config.cutmix}
        options |= {name: getattr(config, name) for name in ("classes", "class_names", "per_class")}
        if unsuitable := [f"data.{name}" for name, value in options.items() if value]:
            raise ValueError(f"{unsuitable[0]} is for images of one class; expected none with captions")
    if label_kind not in DENSE_KINDS:
        if size is not None and resize is not None and resize < size:
            raise ValueError(f"data.resize: expected at least data.image_size, {size}, got {resize}")
        if config.scale_jitter is not None:
            raise ValueError(
                "data.scale_jitter is for images with boxes or masks; data.crop_area crops images of a class"
            )
        return
    options = {
        "balance": config.balance,
        "padding": config.padding not in (0, DataConfig.padding),
        "cutout": config.cutout,
    }
    options |= {"mixup": config.mixup, "cutmix": config.cutmix, "per_class": config.per_class is not None}
    if unsuitable := [f"data.{name}" for name, value in options.items() if value]:
        raise ValueError(f"{unsuitable[0]} is for images of one class; expected none with boxes or masks")


def open_split(
    config: DataConfig,
    dataset: Dataset,
    split: str,
    known_classes: tuple[str, ...] | None = None,
    label_kind: LabelKind | None = None,
) -> ImageLoader:
    """A split of a dataset, loaded as `config` says; see `data.open_loader`."""
    loader = data.open_loader(
        dataset,
        split,
        image_size=config.image_size,
        resize=config.resize,
        crop_area=config.crop_area,
        interpolation=config.interpolation,
        decode=config.decode,
        threads=config.threads,
        channels=config.channels,
        class_names=config.class_names,
        classes=config.classes,
        per_class=config.per_class,
        known_classes=known_classes,
        label_kind=label_kind,
        skip_unreadable=config.unreadable == "skip",
        max_boxes=config.max_boxes,
        skip_invalid=config.invalid == "skip",
        captions=CaptionOptions(config.captions.tokens, config.captions.length) if label_kind == "caption" else None,
    )
    return cast(ImageLoader, loader)


def data_notes(config: DataConfig, dataset: Dataset, split: str) -> tuple[str, ...]:
    """Notes on the data for the user, a line each; renamed classes with both names."""
    examples, notes = dataset.examples(split), [as_typed(note) for note in dataset.notes]
    if (note := depth_note(examples)) is not None:
        notes.append(note)
    return (*notes, *renamed_note(config, examples.classes))


def caption_notes(loader: Loader) -> tuple[str, ...]:
    """Notes on captions of pairs that are cut, or have words that the vocabulary does not have."""
    if not isinstance(loader, PairLoader):
        return ()
    tokenizer, captions, rows = loader.tokenizer, labels_of(loader.examples).tolist(), loader.token_rows
    notes = []
    long = [captions[i] for i in np.flatnonzero(rows[:, -1])]  # of others the last token is padding
    if count := sum(tokenizer.count(caption) > tokenizer.length for caption in long):
        cut = f"{count:,} of {len(rows):,} captions are cut to {tokenizer.length} tokens"
        notes.append(f"{cut}, with start and end (--data.captions.length)")
    if isinstance(tokenizer, WordCaptions) and (unknown := tokenizer.unknown(captions)):
        notes.append(f"words of captions that are not in the net's vocabulary are one token: {listed(unknown)}")
    return tuple(notes)


def renamed_note(config: DataConfig, classes: tuple[str, ...]) -> list[str]:
    """A note on classes that the config renames."""
    if config.class_names is None:
        return []
    renamed = zip(classes, data.rename_classes(classes, config.class_names), strict=True)
    return [f"classes renamed: {join_names([f'{old}={new}' for old, new in renamed])}"]


def make_augmentation(
    config: DataConfig, preprocess: Preprocess, num_classes: int, label_kind: LabelKind = "class"
) -> Callable[..., Any]:
    """The augmentation of training batches, on the device."""
    if label_kind == "pixels" or label_kind == "boxes":
        return data.make_dense_augment(
            preprocess,
            label_kind,
            scale_jitter=config.scale_jitter,
            horizontal_flip=config.horizontal_flip,
            color_jitter=config.color_jitter,
        )
    return data.make_augment(
        preprocess,
        padding=config.padding,
        horizontal_flip=config.horizontal_flip,
        color_jitter=config.color_jitter,
        cutout=config.cutout,
        mixup=config.mixup,
        cutmix=config.cutmix,
        num_classes=num_classes,
    )
