"""What a run on series, sounds or texts takes of the preprocessing of its first weights."""

from dataclasses import replace

import pytest

from resnet_jax.inputs import AudioPreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.runs.starting.sequence_weights import adopted, described_preprocess
from resnet_jax.types import Preprocess

IMAGES, UNKNOWN = Preprocess(32, 32, (0.5,), (0.25,)), Preprocess(150, 150, (), ())
SERIES = SeriesPreprocess(2, "train", (1.0, 2.0), (3.0, 4.0))
AUDIO = AudioPreprocess(8000, 1.0, bands=8, normalise="train", mean=-3.0, std=2.0)
TEXTS = TextPreprocess.of_texts(["ab"], vocabulary="data", fixed_length=8)


def test_the_normalisation_is_that_of_the_weights():
    assert adopted(SERIES, SeriesPreprocess(2), "a") == SERIES
    longer = replace(AUDIO, seconds=None, mean=1.0, std=1.0)
    assert adopted(AUDIO, longer, "a") == replace(AUDIO, seconds=None)
    assert adopted(TEXTS, replace(TEXTS, fixed_length=None), "a").fixed_length is None
    assert adopted(IMAGES, Preprocess(64, 64, (0.1,), (0.2,)), "a") is IMAGES


def test_weights_of_images_and_files_leave_that_of_the_data():
    """An image net may start on spectrograms; a library's file does not say how its series were normalised."""
    assert adopted(IMAGES, AUDIO, "a") is AUDIO and adopted(UNKNOWN, SERIES, "a") is SERIES


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (AUDIO, "^expected data of series, as the weights of a were trained on, got sounds$"),
        (IMAGES, "^expected data of series, as the weights of a were trained on, got images$"),
        (SeriesPreprocess(3), "^expected series of 2 channels, as the weights of a were trained with, got 3$"),
    ],
)
def test_weights_of_other_data_are_refused(ours, message):
    with pytest.raises(ValueError, match=message):
        adopted(SERIES, ours, "a")


@pytest.mark.parametrize(
    ("option", "value", "was"),
    [("bands", 40, 8), ("sample_rate", 16000, 8000), ("front_end", "mfcc", "log_mel"), ("high", 3000.0, None)],
)
def test_another_front_end_is_refused(option, value, was):
    typed = option.replace("_", "-")
    message = f"^--data.audio.{typed}: expected {was}, as the weights of a were trained with, got {value}$"
    with pytest.raises(ValueError, match=message):
        adopted(AUDIO, replace(AUDIO, **{option: value}), "a")


@pytest.mark.parametrize("options", [{"lowercase": True}, {"tokens": "words"}, {"most": 3}])
def test_another_vocabulary_is_refused(options):
    other = TextPreprocess.of_texts(["ab"], vocabulary="data", **options)
    with pytest.raises(ValueError, match=r"^expected the tokens of --data.text and the vocabulary \(4 tokens\), as"):
        adopted(TEXTS, other, "a")


def test_lines_say_what_the_weights_were_trained_on():
    assert described_preprocess(IMAGES) == "images of mean 0.500, deviation 0.250"
    assert described_preprocess(UNKNOWN) == "images of unknown mean and deviation"
    assert described_preprocess(SERIES) == "series, normalised by their training numbers"
    assert described_preprocess(AudioPreprocess()) == "sounds, as they are" and described_preprocess(TEXTS) == "texts"
