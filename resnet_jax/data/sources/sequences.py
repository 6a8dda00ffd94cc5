"""Opens data sets of series, sounds and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from resnet_jax.data.sources.protocols import Dataset
from resnet_jax.types import DataKind, LabelKind

OWN_OPTIONS: Mapping[DataKind, tuple[str, ...]] = {  # of data at a path, beside label_column and label_kind
    "series": ("missing",),
    "audio": ("labels", "input_column", "classes", "skip_unreadable"),
    "text": ("labels", "input_column", "classes", "skip_unreadable"),
}


def open_sequences(
    kind: DataKind,
    name: str,
    *,
    path: str | None,
    data_dir: str | None,
    label_column: str | tuple[str, ...] | None,
    label_kind: LabelKind,
    missing: Literal["error", "linear"] = "error",
    **options: Any,
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
    raise ValueError(f"expected a kind of data, got {kind!r}")
