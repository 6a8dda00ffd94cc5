"""What is read of Parquet files."""

from __future__ import annotations

from typing import NamedTuple

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.formats.item_columns import Item


class ParquetOptions(NamedTuple):
    """Columns to read, and the kinds of examples and labels."""

    item: Item = "image"
    item_column: tuple[str, ...] | None = None  # None: the usual one. Several are for texts alone
    label_kind: LabelKind = "class"
    label_column: tuple[str, ...] | None = None
    skip_unreadable: bool = False
