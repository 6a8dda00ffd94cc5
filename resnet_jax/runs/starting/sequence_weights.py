"""The preprocessing of series, sounds and texts that weights to start from were trained with."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from resnet_jax.inputs import SequencePreprocess, TextPreprocess
from resnet_jax.types import NOUNS, Preprocess

NUMBERS = ("normalise", "mean", "std")  # a run takes these from its first weights
LENGTHS = ("seconds", "fixed_length", "window")  # and has these of its own
HOW = {"each": "each normalised by itself", "train": "normalised by their training numbers", "none": "as they are"}


def adopted(
    theirs: Preprocess | SequencePreprocess, ours: Preprocess | SequencePreprocess, source: str
) -> Preprocess | SequencePreprocess:
    """The preprocessing of a run's data, `ours`, with the normalisation of the weights of `source`.

    Images get theirs: see `planning.plan.adopt_preprocess`. Weights of images, and files of weights, which have no
    preprocessing of other data, leave `ours` as it is.

    Raises:
      ValueError: the weights were trained on another kind of data, other spectrograms or another vocabulary.
    """
    if theirs.kind == "images":
        return theirs if ours.kind == "images" else ours
    if theirs.kind != ours.kind:
        expected = f"expected data of {NOUNS[theirs.kind][1]}, as the weights of {source} were trained on"
        raise ValueError(f"{expected}, got {NOUNS[ours.kind][1]}")
    same: Any = ours
    for name in (field.name for field in fields(same)):
        old, new = getattr(theirs, name), getattr(ours, name)
        if old != new and name not in (*NUMBERS, *LENGTHS):
            raise ValueError(_difference(ours, name, old, new, source))
    preprocess: SequencePreprocess = same.adopt(theirs)
    return preprocess


def described_preprocess(preprocess: Any) -> str:
    """What a line says about the data that weights were trained on."""
    if isinstance(preprocess, Preprocess):
        mean, std = (" ".join(f"{x:.3f}" for x in values) for values in (preprocess.mean, preprocess.std))
        return f"images of mean {mean}, deviation {std}" if mean else "images of unknown mean and deviation"
    many = NOUNS[preprocess.kind][1]
    return many if isinstance(preprocess, TextPreprocess) else f"{many}, {HOW[preprocess.normalise]}"


def _difference(ours: Any, name: str, old: Any, new: Any, source: str) -> str:
    trained = f"as the weights of {source} were trained with"
    if name == "tokenizer":
        sizes = [f"{len(one.vocabulary)} tokens" for one in (old, new)]
        expected = f"expected the tokens of --data.text and the vocabulary ({sizes[0]}), {trained}"
        return f"{expected}, got others ({sizes[1]}); --data.text.vocabulary FILE takes a file with a token a line"
    if name == "channels":
        return f"expected series of {old} channels, {trained}, got {new}"
    return f"--data.{ours.kind}.{name.replace('_', '-')}: expected {old}, {trained}, got {new}"
