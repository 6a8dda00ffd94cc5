"""Files of labels in a folder of images or sounds: which are read by default, and how others relate to the folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnet_jax.data.sources.class_names import join_names
from resnet_jax.formats.class_folders import Class, as_classes
from resnet_jax.formats.file_index import FileIndex
from resnet_jax.formats.options import ReadOptions
from resnet_jax.formats.tables import SUFFIXES, Row, choose_columns, plain_name, read_rows

DEFAULT_FILES = tuple(f"metadata{suffix}" for suffix in SUFFIXES)  # read by default, as Hugging Face names them
DOUBTFUL = frozenset(("id", "name", "y"))  # files without labels, such as files of boxes, have these columns too
COMPARED = 10_000  # rows by which a file and folders of classes are compared


def candidates(folder: Path, options: ReadOptions) -> list[Path]:
    """Files in a folder with a column of files and one of labels."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    return [file for file in files if _has_columns(file, options)]


def _has_columns(file: Path, options: ReadOptions) -> bool:
    try:
        choose_columns(file, options)
    except ValueError:
        return False
    return True


def default_file(candidates: list[Path]) -> Path | None:
    """The file of labels that is read without being asked for."""
    files = [file for file in candidates if file.name.lower() in DEFAULT_FILES]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise ValueError(f"{files[0].parent} has {names}; expected one; name it: labels={files[0].name!r}")
    return files[0] if files else None


def refuse_unread(path: Path, candidates: list[Path], lacks: str = "class folders") -> None:
    """Raises ValueError if there are files of labels, in a folder that has no other labels."""
    if candidates:
        names = [str(file.relative_to(path)) for file in candidates[:5]]
        problem = f"no {lacks}, and files of labels that are not read: {', '.join(names)}"
        raise ValueError(f"{path} has {problem}; to read one: labels={names[0]!r}")


def compare_with_folders(
    path: Path, class_folders: list[Class], candidates: list[Path], options: ReadOptions
) -> list[str]:
    """Notes on files that divide the images more finely or more coarsely than the folders do.

    Raises:
      ValueError: a file whose labels are others.
    """
    notes = []
    names = [one.folder for one in class_folders]
    for file in candidates:
        classes = {image: one.folder for one in class_folders for image in one.listing.paths}
        columns = choose_columns(file, options)
        if not DOUBTFUL.isdisjoint(map(plain_name, (columns.file, *columns.label))):
            continue
        relation = _compare(read_rows(file, columns), FileIndex(path, file, list(classes)), classes)
        if relation in ("finer", "coarser"):
            problem = f"{file.name} has {relation} labels than the folders"
            notes.append(f"{problem}; not read: labels={file.name!r} reads it")
        elif relation == "other":
            problem = f"folders {join_names(names, 5)}, and other labels in {file.name}"
            hint = f"labels={file.name!r} to read them, or {as_classes(names)} for the folders"
            raise ValueError(f"{path} has the {problem}; expected {hint}")
    return notes


def _compare(rows: Iterator[Row], index: FileIndex, classes: dict[Path, str]) -> str:
    """How labels divide the images compared with class folders, judged by the first rows.

    "same": in the same way. "finer": each label lies in one folder. "coarser": each folder has one label. "other":
    neither.
    """
    pairs = set()
    for row, _ in zip(rows, range(COMPARED), strict=False):
        if row.label and (path := index.find(row.file)) in classes:
            pairs.add((row.label, classes[path]))
    labels, folders = len({label for label, _ in pairs}), len({name for _, name in pairs})
    if len(pairs) == labels == folders:
        return "same"
    return "finer" if len(pairs) == labels else "coarser" if len(pairs) == folders else "other"
