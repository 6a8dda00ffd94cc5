"""CIFAR-10 and CIFAR-100 in their authors' binary version (Krizhevsky 2009): records of labels and pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import out_of_range
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import listed
from resnet_jax.formats.arrays import UnreadSplit, as_source, stored

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes of an image: all red values, all green, all blue
MOST_BYTES = 2**29  # of a file; the largest there is has 2**27
TEN = ([f"data_batch_{n}.bin" for n in range(1, 6)], ["test_batch.bin"], "batches.meta.txt", 1)
HUNDRED = (["train.bin"], ["test.bin"], "fine_label_names.txt", 2)  # labels: coarse, fine


def is_cifar(names: list[str]) -> bool:
    """Whether these are the files of one of the two sets, in any version."""
    return "batches.meta.txt" in names or "fine_label_names.txt" in names or is_pickled(names)


def is_pickled(names: list[str]) -> bool:
    """Whether these are the files of the Python version."""
    return "batches.meta" in names or {"meta", "train", "test"} <= set(names)


def open_cifar(path: Path, names: list[str]) -> StoredDataset:
    """The folder cifar-10-batches-bin or cifar-100-binary; the labels of the latter are the 100 fine ones.

    Raises:
      ValueError: a file that is missing, or of another size; no names of classes, or some twice; the Python version,
        which is pickled.
    """
    if is_pickled(names) and not {"batches.meta.txt", "fine_label_names.txt"} & set(names):
        archive = "cifar-10-binary.tar.gz" if "batches.meta" in names else "cifar-100-binary.tar.gz"
        raise ValueError(f"{path} holds Python pickles, which are not read; expected the binary version, {archive}")
    train, test, meta, labels = TEN if "batches.meta.txt" in names else HUNDRED
    for file in (*train, *test, meta):
        if not (path / file).is_file():
            raise ValueError(f"{path / file} is missing; expected {', '.join([*train, *test])}")
        if (size := (path / file).stat().st_size) > MOST_BYTES:
            raise ValueError(f"{path / file} has {size:,} bytes; expected at most {MOST_BYTES:,}")
    classes = tuple((path / meta).read_text(errors="replace").split())
    if not classes or len(set(classes)) < len(classes):
        raise ValueError(f"{path / meta}: expected names of classes, each once, got {listed(classes) or 'none'}")
    files = {"train": train, "test": test}
    count = {split: sum((path / name).stat().st_size for name in files[split]) // (labels + PIXELS) for split in files}
    readers = {split: partial(_read_split, path, files[split], labels, classes) for split in files}
    return stored(str(path), {split: UnreadSplit(count[split], readers[split]) for split in files})


def _read_split(
    path: Path, names: list[str], labels: int, classes: tuple[str, ...], _: tuple[str, ...] | None
) -> ArraySource:
    parts = []
    for name in names:
        data = np.fromfile(path / name, np.uint8)
        if not data.size or data.size % (labels + PIXELS):
            problem = f"{data.size:,} bytes are not a multiple of the {labels + PIXELS:,} bytes of an image"
            raise ValueError(f"{path / name} is truncated or corrupted: {problem}")
        parts.append(data.reshape(-1, labels + PIXELS))
        if problem := out_of_range(int(parts[-1][:, labels - 1].max()), len(classes)):
            raise ValueError(f"{path / name} is corrupted: an image has {problem}")
    rows = np.concatenate(parts)
    images = rows[:, labels:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return as_source(np.ascontiguousarray(images), rows[:, labels - 1], str(path / names[0]), classes)
