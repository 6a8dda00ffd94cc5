"""Options of reading files and labels, for every format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.files import expanded
from resnet_jax.formats.file_kinds import IMAGE_FILES, FileKind


class ReadOptions(NamedTuple):
    """Columns to read and the kind of labels; see `open_path`."""

    label_kind: LabelKind = "class"
    label_column: tuple[str, ...] | None = None
    file_column: str | None = None
    skip_unreadable: bool = False
    files: FileKind = IMAGE_FILES

    def check_no_columns(self, path: Path, contents: str = "no columns", hint: str = "") -> None:
        """Raises ValueError if columns are named for data that have none."""
        label = self.label_column[0] if self.label_column and len(self.label_column) == 1 else self.label_column
        for name, column in {"label_column": label, self.files.column: self.file_column}.items():
            if column is not None:
                problem = f"{name}={column!r} is for Parquet files and files of labels"
                raise ValueError(f"{path} has {contents}; {problem}{hint}")


def label_columns(column: str | Sequence[str] | None, label_kind: LabelKind) -> tuple[str, ...] | None:
    """Names of the label columns; None: the usual one.

    Raises:
      ValueError: a column is named twice, or there are several for one class, transcript or caption per example.
    """
    names = (column,) if isinstance(column, str) else tuple(column or ())
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"label_column={names!r}: expected each column once, got {twice!r} twice")
    if label_kind in ("class", "transcript", "caption") and len(names) > 1:
        hint = "label_kind='multi-hot' or label_kind='targets' has more"
        raise ValueError(f"label_column={names!r}: expected one column; {hint}")
    return names or None


def label_file(path: Path, labels: str | Path) -> Path:
    """The file of labels, from the current folder or from `path`. Raises FileNotFoundError if neither has it."""
    for file in (expanded(labels), path / labels):
        if file.exists():
            return file
    raise FileNotFoundError(f"no file {str(labels)!r} of labels, neither here nor in {path}")
