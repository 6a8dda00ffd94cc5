"""Image files by the names that a file of labels has for them."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

from resnet_jax.errors import composed


class FileIndex:
    """Finds image files by the names that a file of labels has for them."""

    def __init__(self, root: Path, file: Path, paths: Sequence[Path]) -> None:
        self._base, self._real = file.parent, cache(os.path.realpath)
        relative = os.path.relpath(os.path.realpath(file.parent), os.path.realpath(root))
        self._prefix = "" if relative.startswith("..") else relative
        self._paths = {composed(path.relative_to(root).as_posix()): path for path in paths}

    @cached_property
    def _by_place(self) -> dict[str, Path]:
        """Files by their real location, whatever their names."""
        return {self._place(path): path for path in self._paths.values()}

    def _place(self, path: str | Path) -> str:
        folder, name = os.path.split(path)
        return os.path.join(str(self._real(folder)), name)

    @cached_property
    def _loose(self) -> dict[str, list[Path]]:
        """Files by path without extension, by name alone, and by name without extension."""
        files: dict[str, list[Path]] = defaultdict(list)
        for name, path in self._paths.items():
            base = posixpath.basename(name)
            for key in {posixpath.splitext(name)[0], base, posixpath.splitext(base)[0]} - {name}:
                files[key].append(path)
        return files

    def find(self, name: str) -> Path | None:
        """The image with this name: a path relative to the file or to the data's folder, or a unique file name.

        The extension may be missing. None: there is no such image.

        Raises:
          ValueError: several images have the name.
        """
        for separated in (name, name.replace("\\", "/")):
            for key in (posixpath.normpath(posixpath.join(self._prefix, separated)), posixpath.normpath(separated)):
                if key in self._paths:
                    return self._paths[key]
            if os.path.isfile(path := os.path.join(self._base, separated)):
                return self._by_place.setdefault(self._place(path), Path(path))
        matches = self._loose.get(posixpath.normpath(name.replace("\\", "/")), [])
        if len(matches) > 1:
            problem = f"{name!r} may be {matches[0]} or {matches[1]}; expected paths from the folder of the images"
            raise ValueError(f"{problem}, which path='FOLDER' names, with this file as labels='FILE'")
        return matches[0] if matches else None
