"""Pictures of examples, batches and splits of series, sounds and texts."""

import jax
import numpy as np
import pytest

from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.inputs import AudioPreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.runs.planning.sequence_pictures import (
    SIZES,
    SequencePictures,
    draw_sheet,
    label_caption,
    seen_batch,
    spread,
)

CLASSES = ("fall", "rise")


def loader_of(items, preprocess, labels=None, **options):
    labels = np.arange(len(items), dtype=np.int32) % 2 if labels is None else labels
    return SequenceLoader(ArraySource(items, labels, CLASSES, "set"), preprocess, **options)


def series(count=6, channels=1):
    return [np.linspace(-1, 1 if i % 2 else -3, 20 + i)[:, None].repeat(channels, 1) for i in range(count)]


def tones(count=2):
    time = np.arange(4000) / 8000
    return [(0.3 * np.sin(2 * np.pi * 500 * (i + 1) * time))[:, None].astype(np.float32) for i in range(count)]


def as_first_batch(loader, size=4):
    return next(loader.batches(0, 0, batch_size=size))


def test_an_example_is_drawn_by_its_kind_and_a_broken_one_is_none():
    values = series()
    values[1] = values[1] * np.nan
    pictures = SequencePictures(loader_of(values, SeriesPreprocess(1), skip_unreadable=True))
    assert pictures(0).shape == (*SIZES["series"], 3) and pictures(1) is None
    assert SequencePictures(loader_of(values, SeriesPreprocess(1)))(1) is None  # not skipped, but not drawn either
    texts = loader_of([b"a good film", b"bad"], TextPreprocess.of_texts(fixed_length=16))
    assert SequencePictures(texts)(0).shape == (*SIZES["text"], 3)
    assert (SequencePictures(texts)(0) != SequencePictures(texts)(1)).any()


@pytest.mark.parametrize("front_end", ["waveform", "log_mel"])
def test_a_sound_is_a_waveform_above_its_spectrogram_whatever_the_net_gets(front_end):
    how = AudioPreprocess(sample_rate=8000, front_end=front_end, bands=32)
    pictures = SequencePictures(loader_of(tones(), how))
    low, high = pictures(0), pictures(1)
    assert low.shape == high.shape == (*SIZES["audio"], 3)
    brightest = [picture[70:].astype(int).sum((1, 2)).argmax() for picture in (low, high)]
    assert brightest[0] > brightest[1] + 10  # twice the frequency is higher up
    shape = pictures.spectrogram(tones()[0]).shape
    assert shape == (51, 32)  # a frame every 10 ms, the first and the last at the ends


@pytest.mark.parametrize(
    ("loader", "columns"),
    [
        (loader_of(series(5, channels=2), SeriesPreprocess(2)), 4),
        (loader_of(tones(3), AudioPreprocess(sample_rate=8000, bands=16)), 3),
        (loader_of(tones(3), AudioPreprocess(sample_rate=8000, front_end="waveform")), 3),
        (loader_of([b"one", b"two", b"three"], TextPreprocess.of_texts()), 3),
    ],
)
def test_a_batch_is_shown_as_the_net_sees_it(loader, columns):
    batch, how = as_first_batch(loader, size=loader.num_examples), loader.preprocess
    picture = seen_batch(batch, lambda batch, key: how.prepare(batch), jax.random.key(0), how, CLASSES, "class")
    height, width = SIZES[how.kind]
    assert picture.dtype == np.uint8 and picture.shape[1] == columns * (width + 8) + 8
    assert (picture != 255).any((1, 2)).sum() > height / 4


def test_captions_are_classes_texts_numbers_or_nothing():
    assert label_caption(1, CLASSES, "class") == "rise"
    assert label_caption(np.array([0.3, 0.7]), CLASSES, "class") == "rise + fall"
    assert label_caption("hello", (), "transcript") == "hello"
    assert label_caption(np.array([2, 1, 0, 0]), ("<blank>", "a", "h"), "transcript") == "ha"
    assert label_caption(3, (), "next-token") == "" and label_caption(np.array([1.5]), ("x",), "targets") == "1.5"


def test_a_sheet_has_a_panel_for_each_class_or_a_tile_for_each_example():
    by_class = draw_sheet(loader_of(series(), SeriesPreprocess(1)), "class")
    assert by_class.shape[1] == 2 * 398 + 8
    targets = np.arange(6, dtype=np.float32)[:, None]
    each = draw_sheet(loader_of(series(), SeriesPreprocess(1), targets), "targets")
    assert each.shape[1] == 4 * 308 + 8 and len(each) > 2 * 180
    texts = draw_sheet(loader_of([b"a good film", b"bad"], TextPreprocess.of_texts()), "class")
    assert texts.shape == (2 * 32 + 1, 960, 3)


def test_examples_of_a_sheet_are_of_all_classes_in_turn():
    loader = loader_of(series(7), SeriesPreprocess(1), np.array([0, 0, 0, 0, 0, 1, 1], np.int32))
    assert spread(loader, "class") == [0, 5, 1, 6, 2, 3, 4]
    assert spread(loader, "class", most=3) == [0, 5, 1]
    assert spread(loader, "targets", most=3) == [0, 3, 6]
