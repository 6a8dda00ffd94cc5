"""Identity of a split's images: a fingerprint of each, and how two sets of images differ."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

PIECE, PIECES = 2**13, 8  # size in bytes and number of the pieces that are read of a larger image
MANY = 50_000  # image files; more are identified by names and sizes, unless they are held out by contents
READERS = 16  # threads
REPAIRED = 0.01  # largest share of a split's images that count as repaired when their contents change


def fingerprint(image: bytes | np.ndarray) -> int:
    """64-bit hash of an image: of its encoded bytes (see `_pieces`), or of its pixels and shape."""
    if isinstance(image, np.ndarray):
        shape = "x".join(map(str, image.shape)).encode()
        return _hash(shape, np.ascontiguousarray(image).tobytes())
    return _hash(str(len(image)).encode(), *(image[first : first + size] for first, size in _pieces(len(image))))


def file_fingerprints(paths: Sequence[str | Path], root: str = "") -> np.ndarray:
    """`fingerprint` of each file's contents: uint64 [n]; of its name if the file cannot be read."""

    def name_fingerprint(path: str | Path) -> int:
        return int(name_fingerprints([path], root)[0])

    def of(path: str | Path) -> int:
        try:
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would block
        except OSError:
            return name_fingerprint(path)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return name_fingerprint(path)
            return _hash(str(status.st_size).encode(), *(os.pread(file, n, at) for at, n in _pieces(status.st_size)))
        except OSError:
            return name_fingerprint(path)
        finally:
            os.close(file)

    return _each(of, paths)


def name_and_size_fingerprints(paths: Sequence[str | Path], names: np.ndarray) -> np.ndarray:
    """64-bit hash of each file's name (uint64 [n], see `name_fingerprints`) and size: uint64 [n]. Nothing is read."""

    def size(path: str | Path) -> int:
        try:
            return os.stat(path).st_size
        except OSError:
            return 2**63

    return names ^ place_fingerprints("size", _each(size, paths))


def name_fingerprints(paths: Sequence[str | Path], root: str) -> np.ndarray:
    """64 bits of each file's path from the dataset's folder `root`: uint64 [n]. They stay when that is moved."""
    start = root.rstrip(os.sep) + os.sep if root not in ("", ".") else ""

    def relative(path: str) -> str:
        inside = path.startswith(start)
        return path[len(start) :] if inside else os.path.relpath(path, root)

    names = (relative(os.fspath(path)).encode(errors="surrogateescape") for path in paths)
    return np.array([_hash(name) for name in names], np.uint64)


def place_fingerprints(where: str, index: np.ndarray) -> np.ndarray:
    """64 bits of each place in a set that never changes: int [n] -> uint64 [n]. `where` is its name and version."""
    x = index.astype(np.uint64) + np.uint64(_hash(where.encode()))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64 (Steele et al. 2014)
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def _pieces(size: int) -> list[tuple[int, int]]:
    """Pieces of `size` bytes to read, as (first, size): all, or eight of 8 KiB from the first to the last byte.

    Uncompressed pictures may begin and end alike, so both ends are not enough.
    """
    if size <= PIECE * PIECES:
        return [(0, size)]
    return [((size - PIECE) * i // (PIECES - 1), PIECE) for i in range(PIECES)]


def _hash(*parts: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "big")


def _each(of: Callable[[str | Path], int], paths: Sequence[str | Path]) -> np.ndarray:
    with ThreadPoolExecutor(READERS) as pool:
        chunks = [paths[i : i + 256] for i in range(0, len(paths), 256)]
        results = pool.map(lambda chunk: [of(path) for path in chunk], chunks)
        return np.array([one for result in results for one in result], np.uint64)


@dataclass(frozen=True, eq=False)
class Identity:
    """Identity of a split's images, in order."""

    kind: str  # what fingerprints are of: "contents", "names" (and sizes) or "places" (in a set that does not change)
    fingerprints: np.ndarray  # uint64 [n]
    names: np.ndarray  # uint64 [n]: `name_fingerprints`; 0 for an image without a file of its own
    labels: np.ndarray  # int32 [n]; -1 where they are not known without reading

    @cached_property
    def digests(self) -> dict[str, str]:
        """ "set" of the images and their labels, in any order; "order" of them in this one."""
        order = np.lexsort((self.labels, self.fingerprints))
        return {"kind": self.kind, "set": self._digest(order), "order": self._digest(np.arange(len(order)))}

    def _digest(self, order: np.ndarray) -> str:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(self.fingerprints[order].astype("<u8").tobytes())
        digest.update(self.labels[order].astype("<i4").tobytes())
        return digest.hexdigest()


def repaired(before: Identity, now: Identity, known: np.ndarray) -> int:
    """Number of images with new contents and the same names, labels and order, as after a repair; else 0.

    Those are few (one in a hundred, or one), and none is among the `known` ones: uint64 [m], fingerprints.
    """
    same = before.kind == now.kind and np.array_equal(before.names, now.names) and now.names.all()
    if not same or not np.array_equal(before.labels, now.labels):
        return 0
    new = now.fingerprints[before.fingerprints != now.fingerprints]
    few = len(new) <= max(1, REPAIRED * len(now.fingerprints))
    return len(new) if few and not np.isin(new, known).any() else 0


def differences(before: Identity, now: Identity) -> list[str]:
    """Changes between two sets of images: ["4 added", "2 removed", "3 renamed", "1 with another label"]."""
    if before.kind != now.kind:
        return []
    old: dict[int, tuple[int, int]] = {}
    new: dict[int, tuple[int, int]] = {}
    for identity, known in ((before, old), (now, new)):
        for row in zip(*(x.tolist() for x in (identity.fingerprints, identity.names, identity.labels)), strict=True):
            known.setdefault(row[0], (row[1], row[2]))
    both = old.keys() & new.keys()
    had, have = Counter(before.fingerprints.tolist()), Counter(now.fingerprints.tolist())
    counts = {
        "added": (have - had).total(),
        "removed": (had - have).total(),
        "renamed": sum(old[one][0] != new[one][0] for one in both),
        "with another label": sum(old[one][1] != new[one][1] for one in both),
    }
    return [f"{count:,} {what}" for what, count in counts.items() if count]
