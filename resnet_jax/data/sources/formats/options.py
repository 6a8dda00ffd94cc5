"""Options of reading images and labels, for every format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resnet_jax.data.sources.label_kinds import LabelKind


class ReadOptions(NamedTuple):
    """Columns to read and the kind of labels; see `open_path`."""

    label_kind: LabelKind = "class"
    label_column: tuple[str, ...] | None = None
    image_column: str | None = None
    skip_unreadable: bool = False

    def check_no_columns(self, path: Path, contents: str = "no columns", hint: str = "") -> None:
        """Raises ValueError if columns are named for data that have none."""
        label = self.label_column[0] if self.label_column and len(self.label_column) == 1 else self.label_column
        for name, column in {"label_column": label, "image_column": self.image_column}.items():
            if column is not None:
                problem = f"{name}={column!r} is for Parquet files and files of labels"
                raise ValueError(f"{path} has {contents}; {problem}{hint}")


def label_columns(column: str | Sequence[str] | None, label_kind: LabelKind) -> tuple[str, ...] | None:
    """Names of the label columns; None: the usual one.

    Raises:
      ValueError: a column is named twice, or there are several for one class per image.
    """
    names = (column,) if isinstance(column, str) else tuple(column or ())
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"label_column={names!r}: expected each column once, got {twice!r} twice")
    if label_kind == "class" and len(names) > 1:
        hint = "label_kind='multi-hot' or label_kind='targets' has more"
        raise ValueError(f"label_column={names!r}: expected one column; {hint}")
    return names or None
