"""Kinds of labels: one class per example, several classes at once, numbers to predict, or a transcript.

Labels of n examples are int [n] (classes), float32 [n, K]: multi-hot (0 or 1 for each of K classes) or K targets, or
str [n]: transcripts or captions. A source's `classes` name the columns, or are the tokens of transcripts. Dense labels,
of pixels and boxes, are in `annotations`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from resnet_jax.data.sources.annotations import Annotations
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.errors import DataError
from resnet_jax.types import LabelKind as LabelKind

Label = int | str | np.ndarray | Annotations  # a class, a transcript, float32 [K], a label map (uint8 [H, W]), objects
BLANK = "<blank>"  # the first token of transcripts: what CTC predicts between characters


def count_in_words(kind: LabelKind, count: int) -> str:
    """The number of a source's classes, targets or tokens: "10 classes", "1 target"; of captions 0 are byte pairs.

    Tokens are "a vocabulary of 27 tokens".
    """
    if kind == "caption" and not count:
        return "CLIP's byte pairs"
    if kind in ("transcript", "next-token", "caption"):
        return f"a vocabulary of {count:,} tokens"
    return f"{count} target{'s' * (count != 1)}" if kind == "targets" else f"{count} classes"


def are_texts(labels: np.ndarray) -> bool:
    """Whether labels are transcripts or captions: str [n]."""
    return labels.dtype.kind == "U"


def label_of(labels: np.ndarray, index: int) -> Label:
    """The label of one example: int, str, or float32 [K]."""
    if are_texts(labels):
        return str(labels[index])
    return int(labels[index]) if labels.ndim == 1 else labels[index]


def out_of_range(label: int, num_classes: int) -> str:
    """The problem of a class that is not 0 to `num_classes` - 1, for a message; "": there is none."""
    is_valid = 0 <= label < num_classes
    return "" if is_valid else f"label {label}; labels of {num_classes} classes are 0 to {num_classes - 1}"


def compact(labels: np.ndarray) -> np.ndarray:
    """Labels as they are served: int32 [n] or float32 [n, K]; transcripts as they are, str [n]."""
    if are_texts(labels):
        return labels
    return labels.astype(np.int32 if labels.ndim == 1 else np.float32)


def check_precision(targets: np.ndarray, file: str) -> None:
    """Raises ValueError for training targets, numbers [n, T] or [n], whose differences float32 does not hold.

    Rounding may move them by a thousandth of their standard deviation.
    """
    exact = targets.astype(np.float64).reshape(len(targets), -1)
    lost = np.abs(exact - exact.astype(np.float32)).max(0, initial=0)
    if len(wrong := np.flatnonzero((lost > 1e-3 * exact.std(0)) & (np.ptp(exact, axis=0) > 0))):
        column = int(wrong[0])
        low, high = exact[:, column].min(), exact[:, column].max()
        problem = f"float32 rounds targets of column {column}, {low!s} to {high!s}, by up to {lost[column]:.3g}"
        raise ValueError(f"{file}: {problem}; expected numbers that float32 distinguishes: subtract an offset")


def transcript_tokens(texts: Iterable[str]) -> tuple[str, ...]:
    """The outputs of a net that writes such transcripts: CTC's blank, and their characters by code point."""
    return (BLANK, *sorted(set().union(*texts)))


def transcript_ids(text: str, tokens: Sequence[str], name: str) -> np.ndarray:
    """The place in `tokens` of each character of a transcript, int32 [t]; 0, the blank, is none of them.

    Raises:
      DataError: another character. The message begins with the example's `name`.
    """
    places = {token: place for place, token in enumerate(tokens)}
    if (other := next((character for character in text if character not in places), None)) is not None:
        expected = f"one of {join_names(list(map(repr, tokens[1:])), 50)}"
        raise DataError(f"{name}: the transcript {text[:50]!r} has {other!r}; expected {expected}")
    return np.array([places[character] for character in text], np.int32)


def strata(labels: np.ndarray) -> np.ndarray:
    """Groups that parts of a split share evenly: int [n]. The classes; a single group for labels of other kinds."""
    are_classes = labels.ndim == 1 and not are_texts(labels)
    return labels if are_classes else np.zeros(len(labels), np.int32)


def label_codes(labels: np.ndarray) -> np.ndarray:
    """A number for each label, int32 [n], equal for equal labels: a class, or 31 bits of a hash of a row or text."""
    if are_texts(labels):
        rows = [text.encode() for text in labels.tolist()]
    elif labels.ndim == 1:
        return labels.astype(np.int32)
    else:
        rows = [row.tobytes() for row in np.ascontiguousarray(labels, "<f4")]
    hashes = [hashlib.blake2b(row, digest_size=4).digest() for row in rows]
    return np.array([int.from_bytes(code, "little") >> 1 for code in hashes], np.int32)
