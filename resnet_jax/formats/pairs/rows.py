"""Captions in files of rows: CSV, TSV or a JSON object per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.formats.captions import checked_caption
from resnet_jax.formats.file_index import FileIndex
from resnet_jax.formats.labels import row_splits
from resnet_jax.formats.listing import list_files
from resnet_jax.formats.options import ReadOptions
from resnet_jax.formats.pairs.parts import BadPairs, stored_pairs
from resnet_jax.formats.tables import choose_columns, read_rows


def open_caption_rows(root: Path, file: Path, options: ReadOptions) -> StoredDataset:
    """The images below `root` that `file` names, each with the caption of its row; an image may have several rows.

    Splits are those of a split column, else of the first folder in the files' names, else all is "train".

    Raises:
      ValueError: the file is corrupted or has no such columns; a row without a caption or whose image is missing,
        unless they are skipped. The message begins with the file and the line.
    """
    columns = choose_columns(file, options)
    rows = list(read_rows(file, columns, "caption"))
    splits = row_splits(file, columns, rows)
    index = FileIndex(root, file, list_files(root, kind=options.files).paths)
    problems = BadPairs(options.skip_unreadable, notes=[f"captions of {file.name}: {columns}"])

    def pairs() -> Iterator[tuple[str, Path, str]]:
        for row, split in zip(rows, splits, strict=True):
            where = f"{file}, line {row.line}"
            try:
                path, caption = index.find(row.file), checked_caption(str(row.label))
            except ValueError as error:
                problems.add(where, str(error))
                continue
            if path is None:
                problems.add(where, f"no image {row.file!r}")
            else:
                yield split, path, caption

    return stored_pairs(root, pairs(), problems, file)
