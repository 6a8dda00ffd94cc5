"""Opens data sets of series, sounds and texts."""

from __future__ import annotations

from typing import Literal

from resnet_jax.data.sources.protocols import Dataset
from resnet_jax.types import DataKind, LabelKind


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
    """Series, sounds or texts: at a path, or the TFDS set `name`.

    Raises:
      FileNotFoundError, ValueError: it is not there, or cannot be understood.
    """
    if path is None:
        raise ValueError(f"{name} holds no {kind}; expected data.path, a folder or a file of them")
    if kind == "series":
        from resnet_jax.data.sources.formats.series import open_series_dataset

        return open_series_dataset(path, label_kind=label_kind, label_column=label_column, missing=missing)
    from resnet_jax.data.sources.formats.audio import open_audio

    return open_audio(
        path,
        labels=labels,
        label_column=label_column,
        audio_column=input_column,
        label_kind=label_kind,
        classes=classes,
        skip_unreadable=skip_unreadable,
    )
