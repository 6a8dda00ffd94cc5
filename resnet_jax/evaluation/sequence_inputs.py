"""Series, sounds and texts that a user names: files, folders, standard input, and texts as they are typed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.identity import Identity, fingerprint
from resnet_jax.errors import DataError, one_of
from resnet_jax.evaluation.image_inputs import STDIN, input_files
from resnet_jax.files import expanded
from resnet_jax.formats.file_kinds import SOUND_FILES
from resnet_jax.formats.listing import is_shown
from resnet_jax.formats.series.rows import FORMATS
from resnet_jax.formats.series.series_source import Missing
from resnet_jax.formats.series.unlabelled import read_unlabelled
from resnet_jax.types import NOUNS, DataKind

TEXT_FILES = (".txt", ".text")
MARK = b"\xef\xbb\xbf"  # that editors write before UTF-8


@dataclass(frozen=True)
class SequenceInputs:
    """Items to predict, as a data source without labels."""

    items: Sequence[Any]  # texts (str, or UTF-8 bytes), series float [l, C], contents of sounds, or paths of files
    names: Sequence[str]
    notes: tuple[str, ...] = ()  # for a person

    classes: tuple[str, ...] = ("",)

    @property
    def labels(self) -> np.ndarray:
        return np.zeros(len(self), np.int32)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Raises DataError for a file that cannot be read."""
        item = self.items[index]
        if not isinstance(item, Path):
            return item, 0
        try:
            return item.read_bytes().removeprefix(MARK), 0
        except OSError as error:
            raise DataError(f"{item}: {error.strerror}") from None

    def name(self, index: int) -> str:
        return self.names[index]

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        """By the contents; no input has a name in a data set."""
        contents = (self[int(i)][0] for i in index)
        hashes = [fingerprint(one.encode() if isinstance(one, str) else one) for one in contents]
        fingerprints = np.array(hashes, np.uint64)
        return Identity("contents", fingerprints, np.zeros_like(fingerprints), self.labels[index])


def sequence_inputs(
    kind: DataKind, arguments: Sequence[str], *, classes: Sequence[str] | None = None, missing: Missing = "error"
) -> SequenceInputs:
    """The series, sounds or texts that a command's arguments name.

    - sounds: files, patterns, folders, which are searched; "-" is a sound on standard input
    - texts: the path of a file, which is one text, or of a folder, whose .txt files are one each; any other argument is
      a text itself; "-" is a text on each line of standard input
    - series: files with one or more of them; see `read_unlabelled`, which gets `classes` and `missing`

    Raises:
      FileNotFoundError: no such file.
      ValueError: no arguments, a folder without files of the kind, or a file of series that is broken.
    """
    if not arguments:
        noun, nouns = NOUNS[kind]
        others = {"audio": "sound files, or folders of them", "text": "a text, a file or - for lines of input"}
        raise ValueError(f"expected {others.get(kind, f'files of {nouns}')}, got no {noun}")
    if kind == "text":
        return _texts(arguments)
    return _series(arguments, classes, missing) if kind == "series" else _sounds(arguments)


def _sounds(arguments: Sequence[str]) -> SequenceInputs:
    files = input_files(arguments, SOUND_FILES)
    return SequenceInputs([_input() if file == STDIN else file for file in files], list(map(str, files)))


def _texts(arguments: Sequence[str]) -> SequenceInputs:
    items: list[Any] = []
    names: list[str] = []
    for argument in arguments:
        if argument == str(STDIN):
            lines = [line.rstrip(b"\r") for line in _input().removeprefix(MARK).rstrip(b"\n").split(b"\n")]
            items += lines
            names += [line.decode(errors="replace") for line in lines]
        elif is_path(argument):
            path = expanded(argument)
            files = _text_files(path) if path.is_dir() else [path]
            items += files
            names += map(str, files)
        elif Path(argument).suffix.lower() in TEXT_FILES and not argument.split()[1:]:
            raise FileNotFoundError(f"no file {argument!r}; an argument that is no path is a text itself")
        else:
            items.append(argument)
            names.append(argument)
    return SequenceInputs(items, names)


def is_path(argument: str) -> bool:
    """Whether an argument names a file or a folder that exists; a text may be too long for a path."""
    try:
        return bool(argument) and expanded(argument).exists()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def _text_files(folder: Path) -> list[Path]:
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in TEXT_FILES and file.is_file() and all(map(is_shown, file.relative_to(folder).parts))
    ]
    if not files:
        raise ValueError(f"expected {one_of(TEXT_FILES)} files in {folder}, got none")
    return files


def _series(arguments: Sequence[str], classes: Sequence[str] | None, missing: Missing) -> SequenceInputs:
    items: list[Any] = []
    names: list[str] = []
    notes: list[str] = []
    for argument in arguments:
        path = expanded(argument)
        if path.is_dir():
            inside = sorted(file.name for file in path.iterdir() if file.suffix.lower() in FORMATS)
            likely = next((name for name in inside if "test" in name.lower()), next(iter(inside), None))
            hint = f"; did you mean {path / likely}?" if likely else ""
            raise ValueError(f"expected a file of series ({', '.join(FORMATS)}), got the folder {path}{hint}")
        if not path.exists():
            raise FileNotFoundError(f"no file {str(path)!r}; expected a file of series ({', '.join(FORMATS)})")
        contents = read_unlabelled(path, classes, missing)
        items += contents.series
        names += [f"{path}, {place}" for place in contents.places]
        notes += [contents.note] * bool(contents.note)
    return SequenceInputs(items, names, tuple(notes))


def _input() -> bytes:
    data = sys.stdin.buffer.read()
    if not data:
        raise DataError("expected data on standard input, got nothing; try: predict RUN - < FILE")
    return data
