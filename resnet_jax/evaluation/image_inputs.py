"""Image files named by paths, patterns and folders, and an image on standard input."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.annotations import Annotations, no_annotations
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import Label
from resnet_jax.errors import DataError
from resnet_jax.files import expanded
from resnet_jax.formats.file_kinds import IMAGE_FILES, FileKind
from resnet_jax.formats.listing import list_files
from resnet_jax.formats.packed import is_packed
from resnet_jax.images.decoding import pixels, read_image

STDIN = Path("-")


class ImageInputs(ImageFileSource):
    """Image files; "-" is read from standard input."""

    def __getitem__(self, index: int) -> tuple[bytes, Label]:
        return (self._stdin, int(self.labels[index])) if self.paths[index] == STDIN else super().__getitem__(index)

    def pixels(self, index: int) -> np.ndarray:
        """An image at its own size and upright: uint8 [H, W, 3]. Raises UnreadableImage."""
        return pixels(read_image(self[index][0], self.name(index), 3))

    @cached_property
    def _stdin(self) -> bytes:
        data = sys.stdin.buffer.read()
        if not data and len(self.paths) == 1:
            raise DataError("expected an image on standard input, got nothing; try: predict RUN - < photo.jpg")
        return data


@dataclass(frozen=True)
class Unlabelled:
    """The labels of images that have none: no objects."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Annotations:
        return no_annotations()

    def codes(self, index: np.ndarray, kind: str) -> np.ndarray:
        return np.zeros(len(index), np.int32)

    def presence(self, num_classes: int) -> np.ndarray:
        return np.zeros((self.count, num_classes), np.int64)


def image_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files named by paths, by patterns ("*.jpg") and by folders, which are searched; "-" is standard input.

    Raises:
      FileNotFoundError: no such file, or no match.
      ValueError: a folder without images, a packed set, or a web address.
    """
    return input_files(paths, IMAGE_FILES)


def input_files(paths: Sequence[str | Path], kind: FileKind) -> list[Path]:
    """The same of files of another kind."""
    files: list[Path] = []
    for name in paths:
        path = expanded(name)
        if path == STDIN or path.is_file():
            files.append(path)
        elif is_packed(path):
            instead = "resnet-jax eval RUN --data.path STORE evaluates on one, resnet-jax data STORE shows it"
            raise ValueError(f"{path} is a packed set; expected files of {kind.noun}s, or folders of them; {instead}")
        elif path.exists():
            inside = sorted(list_files(path, kind=kind).paths) if path.is_dir() else [path]
            if not inside:
                raise ValueError(f"expected {kind.noun}s in {path}, got none")
            files += inside
        elif re.match(r"[a-z]+://", str(name)):
            article = "an" if kind.noun[0] in "aeiou" else "a"
            expected = f"expected {article} {kind.noun} file or a folder"
            raise ValueError(f"{expected}, got the address {name}; nothing is downloaded")
        elif matches := sorted(glob.glob(str(path), recursive=True)):
            files += input_files(matches, kind)
        else:
            raise FileNotFoundError(f"no {kind.noun} or folder {str(path)!r}")
    return files
