"""Held-out images of a split, chosen by their contents, and the splits that a run trains and tests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.protocols import Dataset
from resnet_jax.data.sources.slices import SLICE

TEST_SPLITS = ("test", "validation", "val", "valid")
TRAINING, HELD_OUT = "training", "held-out"  # the two parts of a split that `held_out` makes
SHARE = 0.2  # of the images of each class that is held out, on average
Holdout = Literal["digest", "position"]


def held_out(fingerprints: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Which images are held out, by their contents alone: uint64 [n], int [n] -> bool [n].

    An image stays on its side when others are added or removed, or files are renamed: it is held out if its fingerprint
    is in the lowest fifth of all 64-bit numbers. Exceptions keep images of each class (or other stratum) on both sides:
    a class of two or more distinct images has at least one held out (its smallest fingerprint), and every class keeps
    one to train on. Copies of an image have one fingerprint, so they are always on the same side.
    """
    limit = np.uint64(int(SHARE * 2.0**64))
    order = np.lexsort((fingerprints, strata))
    pairs = np.stack([strata[order].astype(np.uint64), fingerprints[order]])
    pairs = pairs[:, np.append(True, (pairs[:, 1:] != pairs[:, :-1]).any(0))]  # each once, in order
    distinct = pairs[1]
    first = np.flatnonzero(np.append(True, pairs[0, 1:] != pairs[0, :-1]))  # of each class
    last = np.append(first[1:], len(distinct)) - 1
    lacking = (distinct[first] >= limit) & (last > first)
    chosen = np.append(distinct[distinct < limit], distinct[first[lacking]])
    full = np.logical_and.reduceat(np.isin(distinct, chosen), first)
    return np.isin(fingerprints, chosen) & ~np.isin(fingerprints, distinct[last[full]])


@dataclass(frozen=True, eq=False)
class Sides:
    """The images of a run that has started: they stay training or test images when others are added or removed."""

    trained: np.ndarray  # uint64 [m]: fingerprints
    train: Identity
    test: Identity

    def apply(self, held: np.ndarray, now: Identity) -> np.ndarray:
        """`held_out`'s answer, bool [n], corrected: known images keep their side, and so do repaired files."""
        held = held.copy()
        has_name = now.names != 0
        held[has_name & np.isin(now.names, self.train.names)] = False
        held[has_name & np.isin(now.names, self.test.names)] = True
        held[np.isin(now.fingerprints, self.test.fingerprints)] = True
        held[np.isin(now.fingerprints, self.trained)] = False
        return held


def default_splits(dataset: Dataset, train: str, test: str | None, holdout: Holdout = "digest") -> tuple[str, str]:
    """Splits to train and to test on.

    With `test` None: the dataset's validation split, else its test split, else a fifth of `train`, held out by the
    contents of its images (by position in a dataset that never changes, and in a text). With `test` a part of the whole
    split `train`, the rest of it is trained on. `holdout` "position" is the rule of version 0.1.0: the test split comes
    before the validation split, a fifth is held out by position, and with a test part alone all of `train` is trained
    on.

    Raises:
      ValueError: nothing to test on, or several validation splits.
    """
    if test is not None:
        return (train if holdout == "position" else _rest(dataset, train, test)), test
    trained = [part.partition("[")[0] for part in train.split("+")]
    rivals = [name for name in TEST_SPLITS[1:] if name in dataset.splits and name not in trained]
    if len(rivals) > 1 and holdout != "position":
        problem = f"{dataset.name} has several splits for validation: {', '.join(rivals)}"
        raise ValueError(f"{problem}; name one: test={rivals[0]!r}")
    for name in TEST_SPLITS if holdout == "position" else (*TEST_SPLITS[1:], TEST_SPLITS[0]):
        if name in dataset.splits and name not in trained:
            return train, name
    if trained != [train]:
        problem = f"{dataset.name} has no split to test on beside {train!r}"
        raise ValueError(f"{problem}; name a part that is not trained on, as test='train[80%:]'")
    if holdout == "position" or dataset.fixed:
        return f"{train}[:80%]", f"{train}[80%:]"
    return f"{train}[{TRAINING}]", f"{train}[{HELD_OUT}]"


def _rest(dataset: Dataset, train: str, test: str) -> str:
    """`train` without its part `test`, if that is one part of the whole split `train`; else `train`."""
    if train not in dataset.splits:
        return train
    if test in (f"{train}[{TRAINING}]", f"{train}[{HELD_OUT}]"):
        return f"{train}[{TRAINING if test.endswith(f'[{HELD_OUT}]') else HELD_OUT}]"
    match = SLICE.fullmatch(test)
    if not match or match[1] != train:
        return train
    rest = [f"{train}[:{match[2]}]"] if match[2] else []
    rest += [f"{train}[{match[3]}:]"] if match[3] else []
    return "+".join(part for part in rest if not _is_empty(dataset, part)) or train


def _is_empty(dataset: Dataset, part: str) -> bool:
    try:
        return not dataset.places(part)
    except ValueError:
        return True


def shared(dataset: Dataset, one: str, other: str) -> int:
    """Number of images that two splits, or parts of them, have in common, by position."""
    a, b = dataset.places(one), dataset.places(other)
    return sum(len(np.intersect1d(a[name], b[name])) for name in a.keys() & b.keys())
