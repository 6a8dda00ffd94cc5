"""Plans of runs on series, sounds and texts: their preprocessing, and what is refused before any work."""

from dataclasses import fields, replace

import jax
import numpy as np
import pytest
from small_series import CLASSES, LENGTHS, ROW, config, write_series
from sounds import sounds

from resnet_jax.config import AudioConfig, Config, DataConfig, ModelConfig, OptimConfig, SeriesConfig, TextConfig
from resnet_jax.errors import DataError
from resnet_jax.inputs import AudioPreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.models import shapes
from resnet_jax.models.registry import MODELS
from resnet_jax.runs.planning.checks import check_objective
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.planning.sequence_data import (
    audio_preprocess,
    check_balance_of,
    check_options_of,
    data_kind,
    fitted_preprocess,
    make_sequence_augmentation,
)
from resnet_jax.tasks import LanguageModel


@pytest.fixture(autouse=True)
def small_net(monkeypatch):
    monkeypatch.setitem(MODELS, *ROW)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("data") / "small")


def of_net(name, **data):
    return Config(model=ModelConfig(name=name), data=DataConfig(**data), optim=OptimConfig(warmup_epochs=0.0))


@pytest.mark.parametrize(
    ("net", "options", "kind"),
    [
        ("tsc_resnet", {}, "series"),
        ("m5", {}, "audio"),
        ("res8", {}, "audio"),
        ("vdcnn9", {}, "text"),
        ("resnet18", {}, "images"),
        ("resnet18", {"kind": "audio", "audio": AudioConfig(seconds=1.0)}, "audio"),
    ],
)
def test_the_net_decides_what_the_data_is(net, options, kind):
    assert data_kind(of_net(net, **options)) == kind


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        ("tsc_resnet", {"kind": "audio"}, "^--model.name tsc_resnet takes series, .* got --data.kind audio; "
         "expected --data.kind series, or another net"),
        ("resnet18", {"kind": "text"}, "^--model.name resnet18 takes images, .* got --data.kind text"),
        ("m5", {"kind": "images"}, "^--model.name m5 takes waveform, .* expected --data.kind audio"),
        ("resnet18", {"kind": "audio"}, "^data.audio.seconds: expected a length of the clips for a net of images"),
        ("resnet18", {"kind": "audio", "audio": AudioConfig(seconds=1.0), "last_batch": "keep"},
         "^data.last_batch keep: expected a net that takes lengths, got resnet18, a net of images; expected drop"),
        ("m5", {"audio": AudioConfig(seconds=1e6)}, "^data.audio.seconds: expected at most 8,388 at this sample rate"),
        ("m5", {"audio": AudioConfig(front_end="mfcc")}, "^data.audio.front_end: expected waveform for a net of wave"),
        ("res8", {"audio": AudioConfig(front_end="waveform")}, "^data.audio.front_end: expected log_mel or mfcc"),
        ("m5", {"audio": AudioConfig(normalise="train")}, "^data.audio.normalise: expected each or none for waveforms"),
        ("res8", {"audio": AudioConfig(high=9000.0)}, "^data.audio.high: .*8000"),
        ("res8", {"audio": AudioConfig(front_end="mfcc", bands=20)}, "^data.audio.coefficients: .* 20.*, got 40$"),
        ("res8", {"series": SeriesConfig(normalise="none")}, "^data.series is for data of series, got audio; "
         "expected its defaults$"),
        ("tsc_resnet", {"text": TextConfig(length=5)}, "^data.text is for data of text, got series"),
        ("resnet18", {"audio": AudioConfig(seconds=1.0)}, "^data.audio is for data of audio, got images"),
        ("resnet18", {"buckets": 2}, "^data.buckets is for data of series, audio, text, got images; expected its"),
        ("resnet18", {"last_batch": "keep"}, "^data.last_batch is for data of series, audio, text, got images"),
        ("tsc_resnet", {"mixup": 0.2}, "^data.mixup is for data of images, got series; expected its default, 0.0$"),
        ("tsc_resnet", {"padding": 4}, "^data.padding is for data of images, got series; expected its default, 1$"),
        ("tsc_resnet", {"mean": (0.5,)}, "^data.mean is for data of images, got series"),
        ("tsc_resnet", {"labels": "labels.csv"}, "^data.labels is for data of images, audio, got series"),
        ("tsc_resnet", {"image_column": "x"}, "^data.image_column is for data of images, audio, text, got series"),
        ("vdcnn9", {"labels": "labels.csv"}, "^data.labels is for data of images, audio, got text"),
        ("m5", {"holdout": "position"}, "^data.holdout is for data of images, got audio"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_kind_is_refused_in_one_line(net, options, message):
    with pytest.raises(ValueError, match=message) as error:
        data_kind(of_net(net, **options))
    assert "\n" not in str(error.value)


def test_every_option_of_the_data_belongs_to_some_kind():
    """A new option of images is refused for others, unless somebody decides otherwise."""
    for kind in ("images", "series", "audio", "text"):
        check_options_of(DataConfig(), kind)
        check_options_of(DataConfig(padding=0), kind)
    values = {"cutout": 3, "image_size": 32, "color_jitter": (0.1, 0.0, 0.0, 0.0), "horizontal_flip": True}
    assert set(values) <= {field.name for field in fields(DataConfig)}
    for name, value in values.items():
        with pytest.raises(ValueError, match=f"^data.{name} is for data of images, got text"):
            check_options_of(DataConfig(**{name: value}), "text")


def test_a_plan_of_series(series, tmp_path):
    plan = make_plan(config(tmp_path / "run", series, data__series=SeriesConfig("train")))
    assert plan.nouns == ("series", "series") and plan.train.classes == CLASSES
    assert isinstance(plan.preprocess, SeriesPreprocess) and plan.preprocess.channels == 2
    every = np.concatenate([np.asarray(plan.train.examples[i][0], np.float64) for i in range(11)])
    np.testing.assert_allclose(plan.preprocess.mean, every.mean(0), rtol=1e-6)
    assert plan.train.image_shape == (16, 2) and plan.test.image_shape == (20, 2)  # the longest is a test series
    assert (plan.steps_per_epoch, plan.steps, plan.overrides["in_channels"]) == (6, 12, 2)
    assert plan.train.ends.tolist() == [8, 16] and plan.train.keeps_last and not plan.test.keeps_last
    lengths = sorted(int(plan.train.lengths[i]) for i in range(11))
    assert lengths == sorted(LENGTHS["TRAIN"])


def test_a_batch_larger_than_the_set_needs_its_last_batch(series, tmp_path):
    plan = make_plan(config(tmp_path, series, data__batch_size=64))
    assert (plan.steps_per_epoch, plan.steps) == (1, 2)
    message = "^expected --data.batch-size of at most 11, the series of .*, got 64; try 8, or --data.last-batch keep$"
    with pytest.raises(ValueError, match=message):
        make_plan(config(tmp_path, series, data__batch_size=64, data__last_batch="drop"))


def test_one_class_is_refused(series, tmp_path):
    with pytest.raises(ValueError, match="^data.classes has one class, 'rise'; expected two or more$"):
        make_plan(config(tmp_path, series, data__classes=("rise",)))


def test_splits_that_share_series_are_refused(series, tmp_path):
    changes = {"data__train_split": "train[:80%]", "data__test_split": "train[50%:]"}
    with pytest.raises(ValueError, match="share [0-9]+ series of .*; expected disjoint splits, as "):
        make_plan(config(tmp_path, series, **changes))


def test_parts_and_classes_and_names_are_chosen_as_for_images(series, tmp_path):
    chosen = {"data__test_split": None, "data__classes": ("up", "down"), "data__per_class": 2}
    plan = make_plan(config(tmp_path, series, data__class_names=("fall=down", "rise=up"), **chosen))
    assert plan.train.classes == ("up", "down") and plan.train.num_examples == 4 and plan.test.num_examples == 5
    assert "classes renamed: fall=down, rise=up" in plan.notes


def test_a_test_series_of_another_width_is_met_before_training(tmp_path):
    write_series(tmp_path / "set", {"TRAIN": (5, 6, 7)}, channels=2)
    write_series(tmp_path / "set", {"TEST": (5, 6)}, channels=3)
    with pytest.raises(ValueError, match="3") as error:
        make_plan(config(tmp_path, tmp_path / "set"))
    assert "\n" not in str(error.value)


def test_numbers_of_training_sounds_ignore_what_is_skipped(tmp_path):
    pytest.importorskip("soundfile")
    sounds(tmp_path, "train/a/1.wav", "train/b/2.wav", "test/a/3.wav", "test/b/4.wav", length=900)
    (tmp_path / "train" / "a" / "0.wav").write_bytes(b"RIFF")
    audio = AudioConfig(sample_rate=8000, bands=6)
    chosen = replace(of_net("res8", path=str(tmp_path), batch_size=2, audio=audio), workdir=str(tmp_path / "run"))
    with pytest.raises(DataError, match="0.wav"):
        make_plan(chosen)
    plan = make_plan(replace(chosen, data=replace(chosen.data, unreadable="skip")))
    assert plan.nouns == ("sound", "sounds") and plan.preprocess.mean < -1 and len(plan.train.skipped) == 1


def test_the_front_end_is_that_of_the_net():
    waveform, spectrogram = (audio_preprocess(AudioConfig(), kind) for kind in ("waveform", "spectrogram"))
    assert (waveform.front_end, waveform.normalise) == ("waveform", "each")
    assert (spectrogram.front_end, spectrogram.normalise) == ("log_mel", "train")
    assert audio_preprocess(AudioConfig(normalise="none", front_end="mfcc"), "spectrogram").normalise == "none"


class Texts:
    """Texts, by default two, of which the second is not UTF-8."""

    def __init__(self, items=(b"ab", b"\xff")):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index], 0

    def name(self, index):
        return f"line {index}"


def test_the_vocabulary_is_of_the_training_texts_that_can_be_read():
    chosen = DataConfig(text=TextConfig(vocabulary="data"))
    with pytest.raises(DataError, match="^line 1: expected UTF-8"):
        fitted_preprocess(chosen, "tokens", "text", Texts(), "class")
    preprocess = fitted_preprocess(replace(chosen, unreadable="skip"), "tokens", "text", Texts(), "class")
    assert isinstance(preprocess, TextPreprocess) and preprocess.tokenizer.vocabulary.tokens[2:] == ("a", "b")


def test_only_classes_can_be_balanced():
    with pytest.raises(ValueError, match="^data.balance: expected one class per example, as --task classification"):
        check_balance_of(DataConfig(balance=True), "transcript")


def test_a_vocabulary_without_the_training_texts_is_refused_and_a_poor_one_warned_of():
    def check(text, vocabulary=None, least_count=1):
        options = DataConfig(text=TextConfig(vocabulary=vocabulary, least_count=least_count))
        fitted_preprocess(options, "tokens", "text", Texts([text.encode()] * 3), "class")

    with pytest.raises(ValueError, match="^data.text.vocabulary: expected one that has tokens of the training texts"):
        check("漢字")
    with pytest.raises(ValueError, match="^data.text.vocabulary: .* with data.text.least_count=1, has all$"):
        check("abc", "data", 1000)
    with pytest.warns(UserWarning, match="lacks 67% of the tokens of training texts; data.text.vocabulary=data has"):
        check("漢字a")


def test_the_net_s_input_is_made_on_the_device():
    preprocess = AudioPreprocess(2000, bands=4, window=0.02)
    batch = {"image": np.zeros((1, 400, 1), np.float32), "mask": np.ones(1)}
    prepared = make_sequence_augmentation(DataConfig(), preprocess, 2)(
        {**batch, "index": np.arange(1)}, jax.random.key(0)
    )
    assert prepared["image"].shape == (1, *preprocess.spatial_shape(400), 1) and prepared["mask"] is batch["mask"]


def test_a_task_that_is_passed_on_gets_the_batch_with_its_predictions(tmp_path):
    """Language models predict from lengths and tokens, which `Task.predictions` alone does not see."""
    (tmp_path / "text.txt").write_text("to be or not to be\n" * 20)
    chosen = of_net("gcnn8_char", path=str(tmp_path / "text.txt"), batch_size=2, text=TextConfig(length=8))
    plan = make_plan(replace(chosen, workdir=str(tmp_path / "run"), task="language_model"), task=LanguageModel())
    assert plan.task.tokens == plan.train.classes and plan.nouns == ("text", "texts")
    variables = shapes(plan.model, plan.train.spatial_shape).variables
    check_objective(plan.task.objective, plan.model, variables, plan.train)  # of windows as training cuts them
