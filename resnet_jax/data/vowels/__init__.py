"""Kudo, Toyama and Shimbo's 640 Japanese vowels, series which come with the package. See SOURCE.md."""

from __future__ import annotations

from importlib import resources

import numpy as np

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset

NAME = "japanese_vowels"


def open_vowels(label_kind: LabelKind = "class") -> StoredDataset:
    """270 training and 370 test series float32 [7 to 29, 12] of nine speakers, read from the package.

    Raises:
      ValueError: labels of another kind than "class".
    """
    if label_kind != "class":
        raise ValueError(f"{NAME} has one class per series; expected label_kind='class', got {label_kind!r}")
    with (resources.files(__package__) / "vowels.npz").open("rb") as file:
        stored = np.load(file)
        places = stored["value"].astype(np.int64) << np.array([0, 8, 16])[:, None, None]
        values = ((places.sum(0).T + int(stored["least"])) / 1e6).astype(np.float32)
        lengths, speakers, is_test = (stored[name] for name in ("length", "speaker", "test"))
    ends = np.cumsum(lengths)
    series = [values[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    labels, classes = speakers.astype(np.int32) - 1, tuple(map(str, range(1, 10)))

    def part(split: str, index: np.ndarray) -> ArraySource:
        names = np.array([f"series {number}" for number in range(len(index))])
        return ArraySource([series[i] for i in index], labels[index], classes, f"{NAME}, {split}", names)

    splits = {"train": part("train", np.flatnonzero(~is_test)), "test": part("test", np.flatnonzero(is_test))}
    return StoredDataset(NAME, splits)
