"""How series, sounds and texts become a net's input, as `types.Preprocess` says it for images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_jax.errors import did_you_mean
from resnet_jax.inputs.protocol import SequencePreprocess
from resnet_jax.inputs.series import SeriesPreprocess
from resnet_jax.inputs.sound import AudioPreprocess
from resnet_jax.inputs.text import TextPreprocess
from resnet_jax.types import Preprocess

__all__ = ["AudioPreprocess", "SequencePreprocess", "SeriesPreprocess", "TextPreprocess", "preprocess_of"]

KINDS: dict[str, Any] = {"series": SeriesPreprocess, "audio": AudioPreprocess, "text": TextPreprocess}


def preprocess_of(record: Mapping[str, Any]) -> Preprocess | SequencePreprocess:
    """The preprocessing that a checkpoint records; one without a "kind" is that of images.

    Raises:
      ValueError: a kind, or a field, that this version does not know.
    """
    kind = record.get("kind", "images")
    if kind == "images":
        values: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in record.items()}
        values.pop("kind", None)
        try:
            return Preprocess(**values)
        except TypeError as error:
            raise ValueError(f"preprocessing of images: {error}") from None
    if kind not in KINDS:
        raise ValueError(f"expected a preprocessing of {', '.join(KINDS)}, got {kind!r}; {did_you_mean(kind, KINDS)}")
    preprocess: SequencePreprocess = KINDS[kind].restored(record)
    return preprocess
