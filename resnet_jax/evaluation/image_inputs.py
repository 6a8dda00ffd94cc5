"""Image files named by paths, patterns and folders, and an image on standard input."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from resnet_jax.data.sources.formats import image_files_below
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.label_kinds import Label
from resnet_jax.errors import DataError
from resnet_jax.files import expanded

STDIN = Path("-")


class ImageInputs(ImageFileSource):
    """Image files; "-" is read from standard input."""

    def __getitem__(self, index: int) -> tuple[bytes, Label]:
        return (self._stdin, int(self.labels[index])) if self.paths[index] == STDIN else super().__getitem__(index)

    @cached_property
    def _stdin(self) -> bytes:
        data = sys.stdin.buffer.read()
        if not data and len(self.paths) == 1:
            raise DataError("expected an image on standard input, got nothing; try: predict RUN - < photo.jpg")
        return data


def image_files(paths: Sequence[str | Path]) -> list[Path]:
    """The files named by paths, by patterns ("*.jpg") and by folders, which are searched; "-" is standard input.

    Raises:
      FileNotFoundError: no such file, or no match.
      ValueError: a folder without images, or a web address.
    """
    files: list[Path] = []
    for name in paths:
        path = expanded(name)
        if path == STDIN or path.is_file():
            files.append(path)
        elif path.exists():
            inside = sorted(image_files_below(path)) if path.is_dir() else [path]
            if not inside:
                raise ValueError(f"expected images in {path}, got none")
            files += inside
        elif re.match(r"[a-z]+://", str(name)):
            raise ValueError(f"expected an image file or a folder, got the address {name}; nothing is downloaded")
        elif matches := sorted(glob.glob(str(path), recursive=True)):
            files += image_files(matches)
        else:
            raise FileNotFoundError(f"no image or folder {str(path)!r}")
    return files
