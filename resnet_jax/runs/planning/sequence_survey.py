"""Inspects series, sounds and texts before training: their numbers, lengths, rates and tokens, a picture, the speed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from resnet_jax import data
from resnet_jax.analysis.contact_sheet import write_png
from resnet_jax.config import DataConfig
from resnet_jax.data.loading.reading import class_counts, read_sequences
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.loading.windows import WindowSource
from resnet_jax.errors import DataError
from resnet_jax.inputs import AudioPreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.inputs.text import text_of
from resnet_jax.models.spec import InputKind
from resnet_jax.runs.planning.datasets import open_configured_dataset
from resnet_jax.runs.planning.sequence_data import (
    check_options_of,
    open_sequence_data,
    sequence_notes,
)
from resnet_jax.runs.planning.sequence_pictures import draw_sheet
from resnet_jax.runs.planning.survey import UNBALANCED, Copies, Verified
from resnet_jax.text import count_table, printable
from resnet_jax.types import NOUNS, DataKind, LabelKind

MEASURED = 20_000  # examples at most whose lengths and tokens are counted
SHOWN = 8  # lengths of batches, and sample rates, in a line
UNKNOWN = 1  # the id of every token that the vocabulary lacks


def survey_input(config: DataConfig, kind: DataKind) -> InputKind:
    """The net's input that the data is shown for: spectrograms, unless the config says waveforms."""
    inputs: dict[str, InputKind] = {"series": "series", "text": "tokens"}
    of_sounds: InputKind = "waveform" if config.audio.front_end == "waveform" else "spectrogram"
    return inputs.get(kind, of_sounds)


@dataclass(frozen=True, eq=False)
class SequenceSurvey:
    """Series, sounds or texts as training reads them."""

    name: str
    kind: DataKind
    splits: Mapping[str, int]
    served: Mapping[str, int]  # examples of the training and the test split; of a language model windows
    classes: tuple[str, ...]
    label_kind: LabelKind
    counts: Mapping[str, Sequence[int]]  # examples of each class, by split
    details: Mapping[str, Mapping[str, Any]]  # numbers of the training and the test split; see `details_of`
    ends: Sequence[int]  # lengths to which training batches are padded
    per_second: float
    batch_size: int
    sheet: str
    skipped: list[str]
    notes: list[str]
    verified: Verified | None = None

    def record(self) -> dict[str, Any]:
        """This object as JSON holds it."""
        train, test = list(self.served)[0], list(self.served)[-1]
        nouns = NOUNS[self.kind][1]
        classes = [
            {"class": name, nouns: {split: int(count[k]) for split, count in self.counts.items()}}
            for k, name in enumerate(self.classes)
        ]
        return {
            "data": self.name,
            "kind": self.kind,
            "splits": dict(self.splits),
            "train": train,
            "test": test,
            nouns: dict(self.served),
            **({"classes": classes} if self.counts else {}),
            "lengths": dict(self.details),
            "padded_to": list(map(int, self.ends)),
            f"{nouns}_per_second": self.per_second,
            "sheet": self.sheet,
            "skipped": self.skipped,
            "notes": self.notes,
            **({} if self.verified is None else {"broken": self.verified.broken, "copies": self.verified.copies}),
        }

    def lines(self, width: int) -> list[str]:
        """For a terminal of `width` columns."""
        train, test = list(self.served)[0], list(self.served)[-1]
        nouns = NOUNS[self.kind][1]
        served = "windows" if self.label_kind == "next-token" else nouns
        whole = "lines" if self.label_kind == "next-token" else nouns
        lines = [
            f"{self.name}: {', '.join(f'{name} {count:,}' for name, count in self.splits.items())} {whole}",
            f"trains on {train} ({self.served[train]:,} {served}), tests on {test} ({self.served[test]:,})",
            *self._label_lines(width, train),
            *(line for split, numbers in self.details.items() for line in detail_lines(split, numbers)),
        ]
        ends = ", ".join(f"{end:,}" for end in self.ends[:SHOWN]) + (", ..." if len(self.ends) > SHOWN else "")
        shown = {"series": "curves of each class" if self.counts else "curves", "audio": "waveforms and spectrograms"}
        lines += [
            f"{self.sheet}: {shown.get(self.kind, 'texts as a net reads them')}",
            f"{self.per_second:,.0f} {served}/s read, in batches of {self.batch_size} padded to {ends}",
        ]
        return [*lines, *self.notes, *(f"skipped {reason}" for reason in self.skipped)]

    def _label_lines(self, width: int, train: str) -> list[str]:
        names = ", ".join(map(printable, self.classes[:20])) + (", ..." if len(self.classes) > 20 else "")
        if self.label_kind == "next-token":
            return []
        if self.label_kind == "transcript":
            return [f"{len(self.classes)} tokens of transcripts: {names}"]
        if self.label_kind == "targets":
            return [f"{len(self.classes)} target{'s' * (len(self.classes) > 1)}: {names}"]
        lines = [f"{len(self.classes)} classes: {names}", *count_table(self.classes, self.counts, width=width)]
        sizes = self.counts.get(train, ())
        if self.label_kind == "class" and len(sizes) and max(sizes) >= UNBALANCED * min(sizes):
            lines.append(f"unbalanced: {min(sizes):,} to {max(sizes):,} {NOUNS[self.kind][1]} of a class in {train}")
        return lines


def survey_sequences(
    config: DataConfig,
    kind: DataKind,
    *,
    sheet: str,
    batches: int,
    label_kind: LabelKind = "class",
    verified: Verified | None = None,
) -> SequenceSurvey:
    """Opens a dataset as training does, writes a picture of it to the file `sheet`, and times `batches` batches.

    Raises:
      ValueError, OSError: what training would stop at.
    """
    check_options_of(config, kind)
    dataset, splits, train, test = open_sequence_data(config, kind, survey_input(config, kind), label_kind=label_kind)
    served = dict(zip(splits, (train, test), strict=True))
    size = min(config.batch_size, train.num_examples)
    per_second = _rate(train, batches, size)
    write_png(sheet, draw_sheet(train, label_kind))
    return SequenceSurvey(
        name=dataset.name,
        kind=kind,
        splits=dataset.splits,
        served={split: loader.num_examples for split, loader in served.items()},
        classes=train.classes,
        label_kind=label_kind,
        counts=_counts(dataset, served, label_kind),
        details={split: details_of(loader) for split, loader in served.items()},
        ends=train.ends.tolist(),
        per_second=per_second,
        batch_size=size,
        sheet=sheet,
        skipped=[*train.skipped.values(), *test.skipped.values()],
        notes=list(sequence_notes(config, dataset, splits[0])),
        verified=verified,
    )


def _rate(loader: SequenceLoader, batches: int, size: int) -> float:
    """Examples read per second; each is read once more, because the loader holds those that it has read."""
    reading = replace(loader, cache=0).batches(0, 0, batch_size=size)
    next(reading)
    began = time.perf_counter()
    for _ in range(batches):
        next(reading)
    return batches * size / (time.perf_counter() - began)


def _counts(dataset: data.Dataset, served: Mapping[str, SequenceLoader], label_kind: LabelKind) -> dict[str, list[int]]:
    """Examples of each class, by split: training, test, then the others, which training may not be able to open."""
    if label_kind not in ("class", "multi-hot"):
        return {}
    classes = next(iter(served.values())).classes
    counts = {split: class_counts(loader, len(classes), label_kind) for split, loader in served.items()}
    used = {part.partition("[")[0] for split in served for part in split.split("+")}
    for split in dataset.splits:
        if split not in used:
            examples = dataset.examples(split)
            if examples.classes == classes:
                counts[split] = class_counts(examples, len(classes), label_kind)
    return {split: count.tolist() for split, count in counts.items() if count is not None}


def details_of(loader: SequenceLoader) -> dict[str, Any]:
    """Numbers of a split: the least, median and greatest "length" in a "unit", and what else its kind has.

    Series: "channels". Sounds: "sample_rates", examples by rate. Texts: the size of the "vocabulary", and the
    "unknown" share of the tokens. Of many examples some are counted, evenly spread: "counted" says how many.
    """
    how, source = loader.preprocess, loader.examples
    index = np.unique(np.linspace(0, len(source) - 1, MEASURED).astype(int)) if len(source) > MEASURED else None
    chosen = range(len(source)) if index is None else index.tolist()
    more: dict[str, Any] = {}
    lengths: Sequence[float]
    if isinstance(how, AudioPreprocess):
        lengths, rates = _seconds(loader, chosen)
        more = {"sample_rates": {str(rate): count for rate, count in sorted(rates.items())}}
    elif isinstance(how, TextPreprocess):
        lengths, more = _tokens(loader, how, chosen)
    else:
        assert isinstance(how, SeriesPreprocess)
        lengths, more = [len(source[i][0]) for i in chosen], {"channels": how.channels}
    units = {"audio": "s", "series": "positions"}
    least, median, greatest = np.percentile(lengths, (0, 50, 100)).tolist() if len(lengths) else (0, 0, 0)
    unit = units.get(how.kind) or ("words" if "split" in how.record() else "characters")
    return {"unit": unit, "least": least, "median": median, "greatest": greatest, "counted": len(lengths), **more}


def _seconds(loader: SequenceLoader, index: Sequence[int]) -> tuple[list[float], Counter[int]]:
    """Seconds of sounds that can be opened, and their number by sample rate."""

    def header(place: int) -> tuple[float, int] | None:
        try:
            item: Any = loader.examples[index[place]][0]
            return AudioPreprocess.measure(item, loader.name(index[place]))
        except DataError:  # `skipped` has it
            return None

    headers = [one for one in in_threads(header, len(index), threads=loader.threads) if one is not None]
    return [seconds for seconds, _ in headers], Counter(rate for _, rate in headers)


def _tokens(loader: SequenceLoader, how: TextPreprocess, index: Sequence[int]) -> tuple[list[int], dict[str, Any]]:
    """Tokens of each text, before it is cut or padded, and what is known of the vocabulary."""
    lengths, unknown, total = [], 0, 0
    if isinstance(source := loader.examples, WindowSource):
        unknown, total, lengths = int((source.ids == UNKNOWN).sum()), len(source.ids), [len(source.ids)]
    else:
        for i in index:
            ids = np.array(how.tokenizer.encode(text_of(source[i][0], loader.name(i))))
            lengths.append(len(ids))
            unknown, total = unknown + int((ids == UNKNOWN).sum()), total + len(ids)
    return lengths, {"vocabulary": len(how.tokenizer.vocabulary), "unknown": unknown / max(total, 1)}


def detail_lines(split: str, numbers: Mapping[str, Any]) -> Iterator[str]:
    """Lines on the numbers of a split for a person."""
    unit, ends = numbers["unit"], [numbers[name] for name in ("least", "median", "greatest")]
    least, median, greatest = (f"{x:.2f}" if unit == "s" else f"{x:,.0f}" for x in ends)
    alike = least == greatest
    line = f"{split}: " + (f"{least} {unit}" if alike else f"{least} to {greatest} {unit}, median {median}")
    if rates := numbers.get("sample_rates"):
        line += f"; {', '.join(f'{int(rate):,} Hz ({count:,})' for rate, count in list(rates.items())[:SHOWN])}"
    if (channels := numbers.get("channels", 1)) > 1:
        line += f"; {channels} channels"
    if "vocabulary" in numbers:
        share = 100 * numbers["unknown"]
        line += f"; vocabulary of {numbers['vocabulary']:,}, {share:.{1 if share >= 0.1 or not share else 2}f}% unknown"
    yield line


def verify_sequences(
    config: DataConfig,
    kind: DataKind,
    *,
    label_kind: LabelKind = "class",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verified:
    """Reads and decodes every series, sound or text of every split once, in threads; see `survey.verify`.

    Raises:
      ValueError, OSError: the dataset does not exist, or a file of series or texts cannot be opened.
    """
    check_options_of(config, kind)
    dataset = open_configured_dataset(config, label_kind=label_kind, kind=kind)
    total, done = sum(dataset.splits.values()), 0
    broken: list[dict[str, str]] = []
    labels: dict[str, np.ndarray] = {}
    copies = Copies(NOUNS[kind][0])
    for split in dataset.splits:
        examples = dataset.examples(split)
        classes = []
        for label, reason in read_sequences(examples, _reader(config, kind), threads=config.threads):
            classes.append(label)
            if reason is not None:
                broken.append({"split": split, "reason": reason})
            done += 1
            progress(done, total)
        labels[split] = np.array(classes)
        if label_kind == "class":
            copies.add(examples, classes)
    return Verified(total, broken, labels, copies.lines, nouns=NOUNS[kind][1])


def _reader(config: DataConfig, kind: DataKind) -> Callable[[Any, str], Any]:
    """Reads an item of a kind, and raises DataError for one that cannot be used."""
    if kind == "audio":
        return AudioPreprocess(sample_rate=config.audio.sample_rate).read
    if kind == "text":
        return text_of

    def series(item: Any, name: str) -> Any:
        return SeriesPreprocess(np.shape(item)[1]).read(item, name)

    return series
