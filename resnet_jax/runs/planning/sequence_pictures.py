"""Pictures of a run's series, sounds and texts: single examples, batches as the net sees them, and sheets of a set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np

from resnet_jax.analysis.contact_sheet import label_text
from resnet_jax.analysis.sequence_drawing import (
    Curves,
    Size,
    draw_curves,
    draw_spectrogram,
    draw_text,
    draw_waveform,
    sheet,
    stack,
    table,
    value_range,
)
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.subsets import labels_of
from resnet_jax.errors import DataError
from resnet_jax.inputs import AudioPreprocess, SequencePreprocess, TextPreprocess
from resnet_jax.types import Array, Batch, LabelKind

SIZES: dict[str, Size] = {"series": (180, 300), "audio": (180, 300), "text": (96, 420)}  # of one example
WAVEFORM = 0.35  # share of a sound's picture; the rest has its spectrogram
SHOWN, COLUMNS = 24, {"series": 4, "audio": 4, "text": 3}  # in a sheet, and in a row of it
EXAMPLES = 12  # thin curves beside the mean of a class; with more channels fewer
PANEL: Size = (220, 390)
ROWS = 24  # of a table of texts
UNKNOWN = "·"  # in pictures, a character that the vocabulary lacks


@dataclass(frozen=True)
class SequencePictures:
    """Draws examples of a loader: curves, a waveform above its log-mel spectrogram, or a text as the net reads it."""

    loader: SequenceLoader

    def __call__(self, index: int) -> np.ndarray | None:
        """An example, uint8 [H, W, 3]; None: it cannot be read."""
        try:
            example = self.loader.example(index)
        except DataError:
            return None
        return None if example is None else self.draw(self.loader.preprocess.fit(example))

    def draw(self, example: np.ndarray) -> np.ndarray:
        """What `fit` returns."""
        how = self.loader.preprocess
        size = SIZES[how.kind]
        if isinstance(how, TextPreprocess):
            return draw_text(readable(how, example), size, points=16)
        if isinstance(how, AudioPreprocess):
            height, width = round(WAVEFORM * size[0]), size[1]
            below = draw_spectrogram(self.spectrogram(example), (size[0] - height - 3, width))
            return stack([draw_waveform(example[:, 0], (height, width)), below])
        return draw_curves(Curves([example]), size, span=value_range([example]), length=len(example))

    def spectrogram(self, samples: np.ndarray) -> np.ndarray:
        """Log-mel energies of a waveform [l, 1], as a net of spectrograms gets them: float [frames, bands]."""
        length = 1 << max(len(samples) - 1, 1).bit_length()  # few lengths are compiled
        padded = np.zeros((1, length, 1), np.float32)
        padded[0, : len(samples)] = samples
        lengths = np.array([len(samples)], np.int32)
        batch = self._log_mel({"image": padded, "lengths": lengths})
        return np.asarray(batch["image"])[0, : max(1, int(batch["lengths"][0])), :, 0]

    @cached_property
    def _log_mel(self) -> Callable[[Batch], Batch]:
        how: Any = self.loader.preprocess
        return jax.jit(replace(how, front_end="log_mel", normalise="none").prepare)


def readable(preprocess: TextPreprocess, ids: np.ndarray) -> str:
    """The text of ids, with a sign for characters that the vocabulary lacks."""
    return preprocess.decode(ids).replace("\N{REPLACEMENT CHARACTER}", UNKNOWN)


def label_caption(label: Any, classes: Sequence[str], label_kind: LabelKind) -> str:
    """A label below a picture; "" where the text itself is predicted."""
    if label_kind == "next-token":
        return ""
    if label_kind == "transcript":
        return label if isinstance(label, str) else "".join(classes[k] for k in np.asarray(label) if k > 0)
    return label_text(np.asarray(label), classes, label_kind)


def seen_batch(
    batch: Batch,
    augment: Callable[[Batch, Array], Batch],
    key: Array,
    preprocess: SequencePreprocess,
    classes: Sequence[str],
    label_kind: LabelKind,
) -> np.ndarray:
    """A batch's first examples as the net sees them, augmented under `key`, in one picture: uint8 [H, W, 3]."""
    some = {name: x[:SHOWN] for name, x in batch.items()} | {"index": np.arange(len(batch["label"][:SHOWN]))}
    seen = {name: np.asarray(x) for name, x in jax.jit(augment)(some, key).items()}
    rows = np.flatnonzero(seen["mask"]).tolist()
    inputs = [seen["image"][i][: seen["lengths"][i] if "lengths" in seen else None] for i in rows]
    pictures = [_seen(one, preprocess) for one in inputs]
    captions = [label_caption(seen["label"][i], classes, label_kind) for i in rows]
    return sheet(pictures, captions, columns=COLUMNS[preprocess.kind])


def _seen(x: np.ndarray, preprocess: SequencePreprocess) -> np.ndarray:
    """One input of a net: ids [l], a series or waveform [l, C], a spectrogram [frames, bands, 1]."""
    size = SIZES[preprocess.kind]
    if isinstance(preprocess, TextPreprocess):
        return draw_text(readable(preprocess, x), size, points=16)
    if x.ndim == 3:
        return draw_spectrogram(x[..., 0], size)
    if isinstance(preprocess, AudioPreprocess):
        return draw_waveform(x[:, 0], size)
    return draw_curves(Curves([x]), size, span=value_range([x]), length=len(x))


def draw_sheet(loader: SequenceLoader, label_kind: LabelKind) -> np.ndarray:
    """A picture of a split: curves by class, sounds, or a table of texts, those of all classes in turn."""
    if loader.preprocess.kind == "series" and label_kind == "class":
        return _curves_by_class(loader)
    pictures, kind = SequencePictures(loader), loader.preprocess.kind
    chosen = spread(loader, label_kind)
    if isinstance(how := loader.preprocess, TextPreprocess):
        rows = ((index, loader.example(index)) for index in chosen)
        texts = [(_caption(loader, i, label_kind), readable(how, ids[:1000])) for i, ids in rows if ids is not None]
        return table(texts[:ROWS], width=960)
    drawn = [(index, picture) for index in chosen[:SHOWN] if (picture := pictures(index)) is not None]
    captions = [f"{_length(loader, index)}: {_caption(loader, index, label_kind)}" for index, _ in drawn]
    return sheet([picture for _, picture in drawn], captions, columns=COLUMNS[kind])


def spread(loader: SequenceLoader, label_kind: LabelKind, most: int = 2 * SHOWN) -> list[int]:
    """Indices of at most `most` examples: of each class in turn, else evenly spread over the split."""
    if label_kind != "class":
        return np.unique(np.linspace(0, loader.num_examples - 1, most).astype(int)).tolist()
    labels = labels_of(loader.examples, skip_unreadable=loader.skip_unreadable)
    members = [np.flatnonzero(labels == k).tolist() for k in range(len(loader.classes))]
    turns = (group[turn] for turn in range(max(map(len, members))) for group in members if turn < len(group))
    return [index for index, _ in zip(turns, range(most), strict=False)]


def _caption(loader: SequenceLoader, index: int, label_kind: LabelKind) -> str:
    return label_caption(loader.examples[index][1], loader.classes, label_kind)


def _length(loader: SequenceLoader, index: int) -> str:
    example = loader.example(index)
    assert example is not None
    how = loader.preprocess
    return f"{len(example) / how.sample_rate:.2f} s" if isinstance(how, AudioPreprocess) else f"length {len(example)}"


def _curves_by_class(loader: SequenceLoader) -> np.ndarray:
    """A panel for each of the first classes: thin curves of some examples, thick ones of the mean of all."""
    labels = labels_of(loader.examples, skip_unreadable=loader.skip_unreadable)
    groups = [list(_readable(loader, np.flatnonzero(labels == k).tolist())) for k in range(len(loader.classes))]
    panels = [(name, group) for name, group in zip(loader.classes, groups, strict=True) if group][:SHOWN]
    span = value_range([one for _, group in panels for one in group])
    length = max(len(one) for _, group in panels for one in group)
    most = max(1, EXAMPLES // panels[0][1][0].shape[1])
    drawn = [draw_curves(Curves(group[:most], [_mean(group)]), PANEL, span=span, length=length) for _, group in panels]
    captions = [f"{name} ({len(group):,} series)" for name, group in panels]
    heading = f"{length:,} positions, values {span[0]:.3g} to {span[1]:.3g}; thick: mean"
    return sheet(drawn, captions, columns=3, heading=heading)


def _readable(loader: SequenceLoader, index: Sequence[int]) -> Iterator[np.ndarray]:
    return (example for i in index if (example := loader.example(i)) is not None)


def _mean(series: Sequence[np.ndarray]) -> np.ndarray:
    """The mean at each position of the series that reach it, as far as half of them do: float [l, C]."""
    lengths = np.sort([len(one) for one in series])
    end = int(lengths[len(lengths) // 2])
    sums, counts = np.zeros((end, series[0].shape[1])), np.zeros((end, 1))
    for one in series:
        sums[: len(one)] += one[:end]
        counts[: len(one)] += 1
    return sums / counts
