"""Image files of annotations, by the names that these have for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from resnet_jax.formats.dense.problems import Problems
from resnet_jax.formats.file_index import FileIndex
from resnet_jax.formats.listing import list_files
from resnet_jax.formats.splits import split_of


class ImageFinder:
    """Finds image files below a folder by the names in files of annotations."""

    def __init__(self, root: Path, without: tuple[Path, ...] = ()) -> None:
        """`without`: folders whose images are masks."""
        self.root, self._without = root, without
        self._indices: dict[tuple[Path, str | None], FileIndex] = {}

    @cached_property
    def paths(self) -> list[Path]:
        """All image files below the folder, sorted."""
        paths = list_files(self.root).paths
        return [path for path in paths if not any(path.is_relative_to(folder) for folder in self._without)]

    def find(self, name: str, file: Path, split: str) -> Path:
        """The image that `file` calls `name`: a path from there or from the folder, or a file name.

        Of several images of that name it is the one in a folder of the split, as train2017.

        Raises:
          ValueError: there is no such image, or several.
        """
        try:
            path = self._index(file, None).find(name)
        except ValueError:
            path = self._index(file, split).find(name)
        if path is None:
            raise ValueError(f"no image {name!r} below {self.root}")
        return path

    def remark_unused(self, used: Iterable[Path], file: Path, problems: Problems) -> None:
        """Notes images that no annotations name."""
        if others := sorted({*self.paths} - {*used}):
            count = f"{len(others):,} image{'s have' if others[1:] else ' has'} no annotations"
            are = "are" if others[1:] else "is"
            problems.remarks.append(f"{count} in {file} and {are} not used: {others[0]}{' ...' if others[1:] else ''}")

    def _index(self, file: Path, split: str | None) -> FileIndex:
        if (file.parent, split) not in self._indices:
            paths = self.paths if split is None else [path for path in self.paths if self._is_of(path, split)]
            self._indices[file.parent, split] = FileIndex(self.root, file, paths)
        return self._indices[file.parent, split]

    def _is_of(self, path: Path, split: str) -> bool:
        return any(split_of(part) == split for part in path.relative_to(self.root).parts[:-1])
