"""Pairs of images and captions: files of rows, COCO's captions, WebDataset's tar shards, Parquet."""

from __future__ import annotations

from pathlib import Path

from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import one_of
from resnet_jax.files import expanded
from resnet_jax.formats import label_files, shards
from resnet_jax.formats.options import ReadOptions, label_columns, label_file
from resnet_jax.formats.packed import is_packed
from resnet_jax.formats.pairs.coco import caption_files, open_coco_captions
from resnet_jax.formats.pairs.rows import open_caption_rows
from resnet_jax.formats.pairs.tars import open_tars, tars_below
from resnet_jax.formats.tables import SUFFIXES, choose_columns

EXPECTED = (
    "a folder of images and a file of captions (.csv, .tsv, .jsonl, COCO's captions .json), or .tar or .parquet files"
)


def open_pairs(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """The pairs of images and captions at a path; a caption that is missing is "".

    - a folder of images and `labels`, a file with a column of files and one of captions, or COCO's captions (a file for
      each split in its folder); None: metadata.csv (.tsv, .jsonl), captions.json or annotations/captions_*.json there
    - that file itself, with the images beside it
    - WebDataset's shards: .tar files, or a folder of them, each pair an image and a .txt of one name
    - a .parquet file, or a folder of them: encoded images, and captions in a column "caption" or "text"

    Args:
      label_column, image_column: of the file or of Parquet; None: the first there of the usual names.
      skip_unreadable: go without files that are missing.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: nothing that can be understood; the message names the file and the line.
    """
    root = expanded(path)
    options = ReadOptions("caption", label_columns(label_column, "caption"), image_column, skip_unreadable)
    if not root.exists():
        raise FileNotFoundError(f"no file or folder {str(root)!r}; expected {EXPECTED}")
    if labels is not None:
        return _open_labels(root if root.is_dir() else root.parent, label_file(root, labels), options)
    if root.is_file():
        return _open_file(root, options)
    if tars := tars_below(root):
        options.check_no_columns(root, "tar shards")
        return open_tars(root, tars, skip_unreadable=skip_unreadable)
    if tables := shards.tables_below(root):
        return shards.open_image_tables(root, tables, options)
    if files := caption_files(root):
        return open_coco_captions(root, files, skip_unreadable=skip_unreadable)
    candidates = label_files.candidates(root, options)
    if file := label_files.default_file(candidates):
        return open_caption_rows(root, file, options)
    label_files.refuse_unread(root, candidates, "metadata.csv")
    for file in (root / name for name in label_files.DEFAULT_FILES):
        if file.is_file():
            choose_columns(file, options)  # raises an error: why it is not read
    what = "is a packed set, which has no captions" if is_packed(root) else "has no captions"
    raise ValueError(f"{root} {what}; expected {EXPECTED}")


def _open_file(path: Path, options: ReadOptions) -> StoredDataset:
    if path.suffix == ".parquet":
        return shards.open_image_tables(path, [path], options)
    if path.suffix == ".tar":
        options.check_no_columns(path, "a tar shard")
        return open_tars(path.parent, [path], skip_unreadable=options.skip_unreadable)
    return _open_labels(path.parent, path, options)


def _open_labels(root: Path, file: Path, options: ReadOptions) -> StoredDataset:
    if file.suffix == ".json":
        return open_coco_captions(root, [file], skip_unreadable=options.skip_unreadable)
    if file.is_dir() and (files := caption_files(file)):
        return open_coco_captions(root, files, skip_unreadable=options.skip_unreadable)
    if file.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{file} is no file of captions; expected {one_of((*SUFFIXES, '.json'))}")
    return open_caption_rows(root, file, options)
