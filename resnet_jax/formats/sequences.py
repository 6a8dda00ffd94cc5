"""Opens data sets of series, sounds and texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from resnet_jax.data.sources.protocols import Dataset
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.vowels import NAME, open_vowels
from resnet_jax.types import NOUNS, DataKind, LabelKind

OF_OTHERS = ("digits", "scenes", NAME)  # sets that come with the package, of images and series


def open_sequences(
    kind: DataKind,
    name: str,
    *,
    path: str | None,
    data_dir: str | None,
    label_column: str | tuple[str, ...] | None,
    label_kind: LabelKind,
    missing: Literal["error", "linear"] = "error",
    labels: str | None = None,
    input_column: str | None = None,
    classes: tuple[str, ...] | None = None,
    skip_unreadable: bool = False,
) -> Dataset:
    """Series, sounds or texts: at a path, or by `name`: the vowels that come with the package, or a TFDS set.

    Raises:
      FileNotFoundError, ValueError: it is not there, or cannot be understood.
    """
    if path is None:
        if labels is not None:
            raise ValueError(f"labels={labels!r} describes data at a path; expected path='FOLDER' too")
        return _named(kind, name, data_dir, label_kind, label_column, input_column)
    dataset = _stored(
        kind,
        path,
        label_column=label_column,
        label_kind=label_kind,
        missing=missing,
        labels=labels,
        input_column=input_column,
        classes=classes,
        skip_unreadable=skip_unreadable,
    )
    return replace(dataset, nouns=NOUNS[kind][1])


def _stored(
    kind: DataKind,
    path: str,
    *,
    label_column: str | tuple[str, ...] | None,
    label_kind: LabelKind,
    missing: Literal["error", "linear"],
    labels: str | None,
    input_column: str | None,
    classes: tuple[str, ...] | None,
    skip_unreadable: bool,
) -> StoredDataset:
    """A set at a path."""
    if kind == "series":
        from resnet_jax.formats.series import open_series_dataset

        return open_series_dataset(path, label_kind=label_kind, label_column=label_column, missing=missing)
    if kind == "text":
        from resnet_jax.formats.texts import open_texts

        if labels is not None:
            raise ValueError(f"labels={labels!r} is for images and sounds; texts and their labels are in one file")
        return open_texts(
            path,
            label_kind=label_kind,
            label_column=label_column,
            text_column=input_column,
            classes=classes,
            skip_unreadable=skip_unreadable,
        )
    from resnet_jax.formats.audio import open_audio

    return open_audio(
        path,
        labels=labels,
        label_column=label_column,
        audio_column=input_column,
        label_kind=label_kind,
        classes=classes,
        skip_unreadable=skip_unreadable,
    )


def _named(
    kind: DataKind,
    name: str,
    data_dir: str | None,
    label_kind: LabelKind,
    label_column: str | tuple[str, ...] | None,
    input_column: str | tuple[str, ...] | None,
) -> Dataset:
    """A set without a path."""
    if kind == "series" and name == NAME:
        for option, column in {"label_column": label_column, "image_column": input_column}.items():
            if column is not None:
                raise ValueError(f"{option}={column!r} describes data at a path; {NAME} has no columns")
        return open_vowels(label_kind)
    if kind == "series":
        hint = f"data.name={NAME!r}, which comes with the package, or data.path"
        raise ValueError(f"{name} holds no series; expected {hint}, a folder or a file of them")
    if kind == "images" or name in OF_OTHERS:
        raise ValueError(f"{name} holds no {kind}; expected data.path, a folder or a file of them, or a TFDS set")
    from resnet_jax.formats.tfds_sequences import open_sequence_tfds

    return open_sequence_tfds(name, data_dir, kind, label_kind, item_column=input_column, label_column=label_column)
