"""TFDS datasets of sounds and texts, read from prepared ArrayRecord files without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.sources.class_names import split_names
from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.label_kinds import LabelKind, transcript_tokens
from resnet_jax.errors import DataError, composed, did_you_mean
from resnet_jax.formats.item_columns import ITEM_COLUMNS, NOUNS, joined_texts
from resnet_jax.formats.options import label_columns
from resnet_jax.formats.tables import TRANSCRIPT_COLUMNS, matching
from resnet_jax.formats.tfds import TfdsDataset, TfdsExamples, check_prepared, is_encoded, keys_of, open_builder
from resnet_jax.formats.wav import wav_file

Kind = Literal["audio", "text"]
LABEL_WORDS = {"class": "features of classes (ClassLabel)", "transcript": "features of transcripts (Text)"}
LABEL_KINDS = {"audio": ("class", "transcript"), "text": ("class", "next-token")}


@dataclass(frozen=True, eq=False)
class Keys:
    """Which features of a dataset are read."""

    kind: Kind
    items: tuple[str, ...]  # of the sound, or of texts that are joined
    label: str | None  # None: a language model needs none
    label_kind: LabelKind
    sample_rate: int | None = None  # of sounds that are stored as samples; None: they are encoded files


@dataclass(frozen=True, eq=False)
class TfdsSequences:
    """A split, or a part of one: sounds as bytes of files, or texts in UTF-8."""

    examples: TfdsExamples
    label_examples: TfdsExamples  # the same, of which the label alone is parsed
    keys: Keys
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[bytes, int | str]:
        example = self.examples.example(index)
        values = [example[key] for key in self.keys.items]
        if self.keys.kind == "text":
            return joined_texts(values), self._label(example)
        if self.keys.sample_rate is None:
            return values[0], self._label(example)
        try:
            return wav_file(np.asarray(values[0]), self.keys.sample_rate), self._label(example)
        except ValueError as error:
            raise DataError(f"{self.name(index)}: {error}") from None

    def read_labels(self) -> np.ndarray:
        """int [n] or str [n], of which nothing else of an example is parsed."""
        if self.keys.label is None:
            return np.zeros(len(self), np.int32)

        def label(index: int) -> int | str:
            return self._label(self.label_examples.example(index))

        return np.array(list(in_threads(label, len(self), threads=None)))

    def _label(self, example: dict[str, Any]) -> int | str:
        if self.keys.label is None:
            return 0
        label = example[self.keys.label]
        return composed(label.decode().strip()) if self.keys.label_kind == "transcript" else int(label)

    def name(self, index: int) -> str:
        return self.examples.name(index)

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        return self.examples.identity(index, kind)


@dataclass(frozen=True, eq=False)
class TfdsSequenceDataset:
    """A prepared dataset of sounds or texts; see `protocols.Dataset`."""

    stored: TfdsDataset
    keys: Keys
    fixed = True  # a version never changes
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def splits(self) -> dict[str, int]:
        return self.stored.splits

    def places(self, split: str) -> dict[str, np.ndarray]:
        return self.stored.places(split)

    def examples(self, split: str) -> TfdsSequences:
        """A split, or parts of splits as TFDS writes them; raises as `TfdsDataset.examples` does."""
        return self._sequences(split, self._classes)

    def _sequences(self, split: str, classes: tuple[str, ...]) -> TfdsSequences:
        label = () if self.keys.label is None else (self.keys.label,)
        examples = self.stored.parsed(split, (*self.keys.items, *label))
        labels = self.stored.parsed(split, label) if label else examples
        return TfdsSequences(examples, labels, self.keys, classes)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the classes; the tokens of all transcripts of training, which are read for it."""
        if self.keys.label is None:
            return ()
        if self.keys.label_kind == "class":
            return tuple(self.stored.builder.info.features[self.keys.label].names)
        split = next((name for name in self.splits if name.startswith("train")), next(iter(self.splits)))
        return transcript_tokens(self._sequences(split, ()).read_labels().tolist())


def open_sequence_tfds(
    name: str,
    data_dir: str | None,
    kind: Kind,
    label_kind: LabelKind = "class",
    *,
    item_column: str | Sequence[str] | None = None,
    label_column: str | Sequence[str] | None = None,
) -> TfdsSequenceDataset:
    """A TFDS dataset of sounds (speech_commands, librispeech) or texts (imdb_reviews, ag_news_subset, lm1b).

    Args:
      label_kind: "class" (a feature ClassLabel), "transcript" (of sounds, a feature Text), or "next-token" (of texts).
      item_column: the feature of sounds or texts, or several of texts ("title,description"), each of which is a line;
        None: that of the supervised pair, one of a usual name, or the only one.
      label_column: the feature of the label; None: likewise.

    Raises:
      ValueError: no such dataset, one that is not of sounds or texts with such labels, one whose samples have no known
        rate, or one that is not prepared; see `tfds.open_tfds`.
    """
    if label_kind not in LABEL_KINDS[kind]:
        first, second = map(repr, LABEL_KINDS[kind])
        raise ValueError(f"{name}: {NOUNS[kind]}s of TFDS have label_kind {first} or {second}, got {label_kind!r}")
    builder = open_builder(name, data_dir)
    features, pair = builder.info.features, builder.info.supervised_keys or (None, None)
    of_items = sorted(keys_of(features, "Audio" if kind == "audio" else "Text"))  # stored in no order
    asked = split_names((item_column,) if isinstance(item_column, str) else item_column or (), of_items)
    (column,) = label_columns(label_column, "class") or (None,)
    label = None
    if label_kind != "next-token":
        of_labels = sorted(keys_of(features, "ClassLabel" if label_kind == "class" else "Text"))
        usual = TRANSCRIPT_COLUMNS if label_kind == "transcript" else "label"
        label = _chosen(name, features, of_labels, column, pair[1], usual, LABEL_WORDS[label_kind])
    elif column is not None:
        raise ValueError(f"label_column={column!r}: language models predict the text itself; expected no column")
    what = "features of sounds" if kind == "audio" else "features of texts"
    items = tuple(
        _chosen(name, features, of_items, one, pair[0], ITEM_COLUMNS[kind], what) for one in (asked or (None,))
    )
    if len(items) > 1 and kind == "audio":
        raise ValueError(f"{name}: expected one feature of sounds, got {', '.join(items)}")
    rate = _sample_rate(name, items[0], features[items[0]]) if kind == "audio" else None
    check_prepared(name, builder, data_dir)
    return TfdsSequenceDataset(
        TfdsDataset(name, builder, (items[0], items[-1]), NOUNS[kind]), Keys(kind, items, label, label_kind, rate)
    )


def _chosen(
    name: str, features: Any, fitting: Sequence[str], asked: str | None, paired: str | None, usual: str, what: str
) -> str:
    """The feature that is asked for; else that of the supervised pair, one of a usual name, or the only one."""
    if asked is not None and asked not in fitting:
        raise ValueError(
            f"{name} has no {asked!r} among its {what}; {did_you_mean(asked, fitting or sorted(features))}"
        )
    only = fitting[0] if len(fitting) == 1 else None
    chosen = asked or (paired if paired in fitting else None) or matching(fitting, usual) or only
    if chosen is None:
        choice = f"; name one of {', '.join(fitting)}" if fitting else ""
        raise ValueError(f"{name} has the features {', '.join(sorted(features))}; expected {what}{choice}")
    return chosen


def _sample_rate(name: str, key: str, feature: Any) -> int | None:
    """Hz of stored samples; None: files are stored, which have their rates. Raises ValueError for an unknown rate."""
    if is_encoded(feature):
        return None
    if not feature.sample_rate:
        raise ValueError(f"{name}: the sample rate of {key!r} is not known; expected a set that records it")
    return int(feature.sample_rate)
