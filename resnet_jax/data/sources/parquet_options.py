"""What is read of Parquet files."""

from __future__ import annotations

from typing import Literal, NamedTuple

from resnet_jax.data.sources.label_kinds import LabelKind

Item = Literal["image", "audio", "text"]  # what an example is, in the names of options: image_column

NOUNS: dict[Item, str] = {"image": "image", "audio": "sound", "text": "text"}  # an example, in messages


class ParquetOptions(NamedTuple):
    """Columns to read, and the kinds of examples and labels."""

    item: Item = "image"
    item_column: tuple[str, ...] | None = None  # None: the usual one. Several are for texts alone
    label_kind: LabelKind = "class"
    label_column: tuple[str, ...] | None = None
    skip_unreadable: bool = False
