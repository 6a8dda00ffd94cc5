"""Series, sounds and texts of a run: which data a config names, how a net gets them, and their loaders."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import numpy as np

from resnet_jax import data
from resnet_jax.config import AudioConfig, Config, DataConfig, check_data
from resnet_jax.config.messages import as_typed
from resnet_jax.data import Dataset
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.loading.statistics import sample
from resnet_jax.data.loading.windows import open_windows
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.errors import DataError
from resnet_jax.inputs import AudioPreprocess, SequencePreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.inputs.text import UNKNOWN_ID, text_of
from resnet_jax.models import get_spec
from resnet_jax.models.spec import INPUT_KINDS, InputKind
from resnet_jax.runs.files.image_record import ImageRecord
from resnet_jax.runs.planning.datasets import check_classes, choose_splits, open_configured_dataset, renamed_note
from resnet_jax.runs.planning.sound_augmentation import check_sound_augmentation, make_sound_augmentation
from resnet_jax.types import NOUNS, Array, Batch, DataKind, LabelKind

T = TypeVar("T")
MOST_SAMPLES = 2**27  # of a clip: half a gigabyte
NATURAL: dict[InputKind, DataKind] = {  # the data of nets
    "images": "images", "series": "series", "waveform": "audio", "spectrogram": "audio", "tokens": "text",
    "image-text": "images",
}  # fmt: skip
SEQUENCES: tuple[DataKind, ...] = ("series", "audio", "text")
OF_ALL = (
    *("name", "kind", "path", "label_column", "data_dir", "train_split", "test_split", "class_names", "classes"),
    *("per_class", "balance", "unreadable", "batch_size", "eval_batch_size", "threads"),
)  # fmt: skip
OF_SOME: dict[str, tuple[DataKind, ...]] = {  # of several kinds
    "labels": ("images", "audio"), "image_column": ("images", "audio", "text"),
    "buckets": SEQUENCES, "last_batch": SEQUENCES, "series": ("series",), "audio": ("audio",), "text": ("text",),
}  # fmt: skip


def data_kind(config: Config) -> DataKind:
    """What the data of a run holds.

    Raises:
      ValueError: the net takes something else, or options are for data of another kind.
    """
    spec = get_spec(config.model.name)
    natural = NATURAL[spec.input_kind]
    kind: DataKind = config.data.kind or natural
    if kind != natural and (spec.input_kind, kind) != ("images", "audio"):
        takes = f"{spec.input_kind}, {INPUT_KINDS[spec.input_kind]}"
        expected = f"expected --data.kind {natural}, or another net, see resnet-jax models"
        raise ValueError(f"--model.name {spec.name} takes {takes}, got --data.kind {kind}; {expected}")
    check_options_of(config.data, kind)
    if kind == "audio":
        audio_preprocess(config.data.audio, spec.input_kind)
    if kind == "audio" and spec.input_kind == "images" and config.data.last_batch == "keep":
        problem = f"data.last_batch keep: expected a net that takes lengths, got {spec.name}, a net of images"
        raise ValueError(f"{problem}; expected drop")
    return kind


def check_options_of(config: DataConfig, kind: DataKind) -> None:
    """Raises ValueError for an option that data of this kind does not have."""
    default = DataConfig()
    for field in fields(DataConfig):
        name, value = field.name, getattr(config, field.name)
        kinds = OF_SOME.get(name, ("images",))
        is_off = name == "padding" and not value
        if name in OF_ALL or kind in kinds or is_off or value == getattr(default, name):
            continue
        is_group = name in ("series", "audio", "text")
        expected = "its defaults" if is_group else f"its default, {getattr(default, name)!r}"
        raise ValueError(f"data.{name} is for data of {', '.join(kinds)}, got {kind}; expected {expected}")


def check_balance_of(config: DataConfig, label_kind: LabelKind) -> None:
    """Raises ValueError for data.balance with labels that are not classes."""
    if config.balance and label_kind != "class":
        raise ValueError("data.balance: expected one class per example, as --task classification reads")


def check_options_of_texts(config: DataConfig, kind: DataKind, label_kind: LabelKind) -> None:
    """Raises ValueError for an option of classes with a language model, and the other way round."""
    is_language_model = label_kind == "next-token"
    if is_language_model and kind != "text":
        raise ValueError(f"--task language_model needs data of texts, got {kind}")
    default, of_classes = DataConfig(), ("classes", "class_names", "per_class", "balance")
    for name in of_classes if is_language_model else ():
        if getattr(config, name) != getattr(default, name):
            raise ValueError(f"data.{name} is for classes; --task language_model has none")
    if config.text.context is not None and not is_language_model:
        raise ValueError(f"data.text.context={config.text.context} is for --task language_model")


def open_sequence_data(
    chosen: DataConfig,
    kind: DataKind,
    input_kind: InputKind,
    record: ImageRecord | None = None,
    label_kind: LabelKind = "class",
) -> tuple[Dataset, tuple[str, str], SequenceLoader, SequenceLoader]:
    """The dataset, the names of its training and test split, and these two splits as loaders for a net of `input_kind`.

    Raises:
      ValueError, OSError: something is missing or cannot be read.
    """
    check_data(chosen)
    check_options_of_texts(chosen, kind, label_kind)
    check_balance_of(chosen, label_kind)
    if kind == "audio":
        plain = audio_preprocess(chosen.audio, input_kind)
        check_sound_augmentation(chosen.audio, plain, label_kind)
    dataset = open_configured_dataset(chosen, record, label_kind, kind)
    splits = choose_splits(chosen, dataset, NOUNS[kind][1])
    skips = chosen.unreadable == "skip"
    examples = data.open_examples(
        dataset, splits[0], chosen.class_names, chosen.classes, chosen.per_class, skip_unreadable=skips
    )
    preprocess = fitted_preprocess(chosen, input_kind, kind, examples, label_kind)
    train = open_sequence_split(chosen, dataset, splits[0], preprocess, training=True)
    if label_kind == "class":
        check_classes(chosen, dataset, train.classes)
    train = replace(train, balance=chosen.balance, keeps_last=chosen.last_batch == "keep")
    return dataset, splits, train, open_sequence_split(replace(chosen, per_class=None), dataset, splits[1], preprocess)


def sequence_notes(config: DataConfig, dataset: Dataset, split: str) -> tuple[str, ...]:
    """Notes on the data for the user, a line each; renamed classes with both names."""
    return (*map(as_typed, dataset.notes), *renamed_note(config, dataset.examples(split).classes))


def open_sequence_split(
    config: DataConfig,
    dataset: Dataset,
    split: str,
    preprocess: SequencePreprocess,
    known_classes: tuple[str, ...] | None = None,
    label_kind: LabelKind | None = None,
    *,
    training: bool = False,
) -> SequenceLoader:
    """A split of a dataset, loaded as `config` says; see `data.open_loader`.

    A language model has windows of it; in those for testing, a quarter or `data.text.context` is context.
    """
    if isinstance(preprocess, TextPreprocess) and preprocess.window is not None:
        name, context = f"{dataset.name} ({split})", config.text.context
        texts = data.open_examples(dataset, split)
        context = max(1, preprocess.window // 4) if context is None else context
        windows = open_windows(texts, preprocess, name, context=None if training else context)
        return SequenceLoader(windows, preprocess, config.buckets, threads=config.threads)
    loader = data.open_loader(
        dataset,
        split,
        threads=config.threads,
        class_names=config.class_names,
        classes=config.classes,
        per_class=config.per_class,
        known_classes=known_classes,
        label_kind=label_kind,
        skip_unreadable=config.unreadable == "skip",
        preprocess=preprocess,
        buckets=config.buckets,
    )
    return cast(SequenceLoader, loader)


def fitted_preprocess(
    config: DataConfig, input_kind: InputKind, kind: DataKind, examples: DataSource, label_kind: LabelKind
) -> SequencePreprocess:
    """How a net of `input_kind` gets the data, with what it takes from the training examples."""
    if kind == "series":
        return SeriesPreprocess.of_series(
            (np.asarray(examples[i][0]) for i in range(len(examples))), config.series.normalise
        )
    skips = config.unreadable == "skip"
    if kind == "audio":
        plain = audio_preprocess(config.audio, input_kind)
        return plain.of_sounds(read_examples(examples, plain.read, sample(len(examples)), skips=skips))
    text = config.text
    is_language_model = label_kind == "next-token"
    preprocess = TextPreprocess.of_texts(
        read_examples(examples, text_of, range(len(examples)), skips=skips),
        tokens=text.tokens,
        vocabulary=text.vocabulary,
        lowercase=text.lowercase,
        most=text.most,
        least_count=text.least_count,
        split=text.split,
        fixed_length=None if is_language_model else text.length,
        next_token=is_language_model,
        window=text.length if is_language_model else None,
    )
    _check_known(preprocess, read_examples(examples, preprocess.read, sample(len(examples)), skips=skips))
    return preprocess


def _check_known(preprocess: TextPreprocess, texts: Iterable[np.ndarray]) -> None:
    """Warns where the vocabulary has less than half of the tokens of training texts.

    Raises:
      ValueError: it has none of them: all texts look alike.
    """
    ids = np.concatenate([np.zeros(0, np.int32), *texts])
    unknown, known = int((ids == UNKNOWN_ID).sum()), int((ids > UNKNOWN_ID).sum())
    if unknown and not known:
        problem = "data.text.vocabulary: expected one that has tokens of the training texts, got one that has none"
        raise ValueError(f"{problem}; data.text.vocabulary=data, with data.text.least_count=1, has all")
    if unknown > known:
        share = unknown / (unknown + known)
        problem = f"the vocabulary lacks {share:.0%} of the tokens of training texts"
        warnings.warn(f"{problem}; data.text.vocabulary=data has all", stacklevel=2)


def read_examples(
    examples: DataSource, read: Callable[[Any, str], T], index: Iterable[int], *, skips: bool
) -> Iterator[T]:
    """`read(item, name)` of some examples; with `skips` without those that raise DataError."""
    for i in index:
        try:
            example = read(examples[int(i)][0], examples.name(int(i)))
        except DataError:
            if skips:
                continue
            raise
        yield example


def audio_preprocess(config: AudioConfig, input_kind: InputKind) -> AudioPreprocess:
    """The front end of a net of waveforms, spectrograms or images, before numbers of the training sounds."""
    is_waveform = input_kind == "waveform"
    front_end = config.front_end or ("waveform" if is_waveform else "log_mel")
    if is_waveform != (front_end == "waveform"):
        expected = "waveform" if is_waveform else "log_mel or mfcc"
        raise ValueError(f"data.audio.front_end: expected {expected} for a net of {input_kind}, got {front_end}")
    if is_waveform and config.normalise == "train":
        raise ValueError(
            "data.audio.normalise: expected each or none for waveforms, got train, which is for spectrograms"
        )
    if input_kind == "images" and config.seconds is None:
        raise ValueError("data.audio.seconds: expected a length of the clips for a net of images, got none, as 1.0")
    names = [field.name for field in fields(AudioPreprocess) if field.name not in ("mean", "std")]  # of the sounds
    values: dict[str, Any] = {name: getattr(config, name) for name in names}
    values |= {"front_end": front_end, "normalise": config.normalise or ("each" if is_waveform else "train")}
    preprocess = AudioPreprocess(**values)
    if (preprocess.fixed_length or 0) > MOST_SAMPLES:
        most = MOST_SAMPLES // config.sample_rate
        raise ValueError(f"data.audio.seconds: expected at most {most:,} at this sample rate, got {config.seconds:,g}")
    if front_end != "waveform":
        try:
            _ = preprocess.settings
        except ValueError as error:  # numbers that contradict each other
            raise ValueError(f"data.audio.{error}") from None
    return preprocess


def make_sequence_augmentation(
    config: DataConfig, preprocess: SequencePreprocess, num_classes: int
) -> Callable[[Batch, Array], Batch]:
    """The augmentation of training batches, on the device, where the net's input is made. Series and texts have none.

    Raises:
      ValueError, OSError: see `make_sound_augmentation`.
    """
    if isinstance(preprocess, AudioPreprocess):
        return make_sound_augmentation(config.audio, preprocess, num_classes)

    def augment(batch: Batch, key: Array) -> dict[str, Any]:
        return dict(preprocess.prepare(batch))

    return augment
