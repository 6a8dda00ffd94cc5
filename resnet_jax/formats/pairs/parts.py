"""Splits of image files with captions, and what is wrong with single pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import StoredDataset


@dataclass
class BadPairs:
    """Pairs that cannot be used: the first stops the reading, or (skipped) all are counted in a note."""

    is_skipped: bool
    count: int = 0
    first: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, where: str, problem: str) -> None:
        """Raises ValueError unless such pairs are skipped."""
        if not self.is_skipped:
            raise ValueError(f"{where}: {problem}; go without: skip_unreadable=True")
        self.count += 1
        self.first = self.first or f"{where}: {problem}"

    def all_notes(self) -> tuple[str, ...]:
        """The notes, and one on the pairs that are skipped."""
        what = "pairs that cannot be used are" if self.count > 1 else "pair that cannot be used is"
        skipped = f"{self.count:,} {what} skipped, the first {self.first}"
        return (*self.notes, *([skipped] if self.count else []))


def stored_pairs(
    root: Path, pairs: Iterable[tuple[str, Path, str]], problems: BadPairs, file: Path | Sequence[Path]
) -> StoredDataset:
    """The set of (split, image, caption), training first, sorted by image.

    Raises:
      ValueError: none is to train on.
    """
    parts: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for split, path, caption in pairs:
        parts[split].append((path, caption))
    name = file if isinstance(file, Path) else file[0].parent
    if "train" not in parts:
        got = ", ".join(parts) or "none"
        first = f", as {problems.first}" if problems.first else ""
        raise ValueError(f"{name}: expected pairs to train on, got {got}{first}")
    sources = {}
    for split in sorted(parts, key=lambda split: split != "train"):
        rows = sorted(parts[split], key=lambda row: row[0])
        captions = np.array([caption for _, caption in rows], np.str_)
        sources[split] = ImageFileSource([path for path, _ in rows], captions, (), str(root))
    return StoredDataset(str(root), sources, problems.all_notes(), nouns="pairs")
