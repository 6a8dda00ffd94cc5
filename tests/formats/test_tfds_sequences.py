"""TFDS datasets of sounds and texts, prepared and read without TensorFlow."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from resnet_jax.data import open_dataset, open_loader
from resnet_jax.data.sources.held_out import default_splits
from resnet_jax.data.sources.subsets import Subset, labels_of
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.formats.tfds import audio_without_tensorflow
from resnet_jax.formats.tfds_sequences import open_sequence_tfds
from resnet_jax.inputs import AudioPreprocess, TextPreprocess

WORDS = ["yes", "no", "up"]
COUNT = 6
Audio = audio_without_tensorflow()


class EncodedAudio(Audio):
    """Stores what it gets."""

    def encode_example(self, contents):
        return contents


EncodedAudio.__name__, EncodedAudio.__module__ = "Audio", Audio.__module__  # as features.json names it


def samples(number):
    """Of a length of its own."""
    return np.random.default_rng(number).integers(-999, 999, 20 + number)


def transcript(number):
    return ["one", " two", "CAFE\N{COMBINING ACUTE ACCENT}", "", "one two", "t"][number]


class Base(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None
    pair = None

    def _info(self):
        features = tfds.features.FeaturesDict(self.features())
        return tfds.core.DatasetInfo(builder=self, description="-", features=features, supervised_keys=self.pair)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(COUNT), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, self.row(number)


class Commands(Base):
    """As speech_commands."""

    pair = ("audio", "label")
    dtype, shape, rate = np.int16, (None,), 8000

    def features(self):
        audio = Audio(file_format="wav", sample_rate=self.rate, dtype=self.dtype, shape=self.shape)
        return {"audio": audio, "label": tfds.features.ClassLabel(names=WORDS)}

    def row(self, number):
        return {"audio": samples(number).astype(self.dtype), "label": number % 3}


class LongCommands(Commands):
    dtype = np.int64


class StereoCommands(Commands):
    dtype, shape = np.float32, (None, 2)

    def row(self, number):
        return {"audio": np.full((4, 2), [0.5, -number / 8], np.float32), "label": number % 3}


class RatelessCommands(Commands):
    rate = None


class Speech(Base):
    """As librispeech, whose sounds are FLAC files."""

    pair = ("speech", "text")

    def features(self):
        text = tfds.features.Text()
        speech = EncodedAudio(file_format="flac", sample_rate=16000, dtype=np.int16, lazy_decode=True)
        return {"speech": speech, "text": text, "speaker_id": np.int64, "id": text}

    def row(self, number):
        return {"speech": b"fLaC" + bytes([number]), "text": transcript(number), "speaker_id": 7, "id": f"id{number}"}


class News(Base):
    """As ag_news_subset."""

    pair = ("description", "label")

    def features(self):
        text = tfds.features.Text()
        return {"title": text, "description": text, "label": tfds.features.ClassLabel(names=WORDS)}

    def row(self, number):
        return {"title": f"T{number}", "description": f"caf\xe9 {number}", "label": number % 3}


class Sentences(Base):
    """As lm1b."""

    pair = ("text", "text")

    def features(self):
        return {"text": tfds.features.Text()}

    def row(self, number):
        return {"text": f"sentence {number}"}


class Pairs(Base):
    """Two texts and two classes, none of them usual."""

    def features(self):
        label = tfds.features.ClassLabel(num_classes=2)
        return {"this": tfds.features.Text(), "that": tfds.features.Text(), "mood": label, "size": label}

    def row(self, number):
        return {"this": "a", "that": "b", "mood": number % 2, "size": 0}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = str(tmp_path_factory.mktemp("tfds"))
    for builder in (Commands, LongCommands, StereoCommands, RatelessCommands, Speech, News, Sentences, Pairs):
        built = builder(data_dir=folder, file_format="array_record")
        config = tfds.download.DownloadConfig(num_shards=2, try_download_gcs=False)
        built.download_and_prepare(download_config=config)
    return folder


def decoded(data):
    with wave.open(io.BytesIO(data)) as file:
        values = np.frombuffer(file.readframes(10**6), f"<i{file.getsampwidth()}")
        return values.reshape(-1, file.getnchannels()), file.getframerate()


@pytest.mark.parametrize("name", ["commands", "long_commands"])
def test_stored_samples_are_files_with_their_rate(data_dir, name):
    data = open_sequence_tfds(name, data_dir, "audio")
    assert data.splits == {"train": COUNT, "test": 2} and data.fixed and data.notes == ()
    train = data.examples("train")
    assert train.classes == tuple(WORDS) and train.name(1) == f"{name}, train, example 1"
    lengths = set()
    for i in range(COUNT):
        item, label = train[i]
        values, rate = decoded(item)
        number = len(values) - 20
        np.testing.assert_array_equal(values[:, 0], samples(number))
        assert rate == 8000 and label == number % 3 and type(label) is int
        lengths.add(number)
    assert lengths == set(range(COUNT))
    assert labels_of(train).tolist() == [train[i][1] for i in range(COUNT)]


def test_several_channels_and_floats(data_dir):
    train = open_sequence_tfds("stereo_commands", data_dir, "audio").examples("train")
    assert len({np.frombuffer(train[i][0][44:], "<f4").reshape(-1, 2)[0].tobytes() for i in range(COUNT)}) == COUNT
    assert (np.frombuffer(train[0][0][44:], "<f4").reshape(-1, 2)[:, 0] == 0.5).all()


def test_stored_files_stay_as_they_are(data_dir):
    data = open_sequence_tfds("speech", data_dir, "audio", "transcript")
    train = data.examples("train")
    pairs = {train[i] for i in range(COUNT)}
    expected = {(b"fLaC" + bytes([n]), ["one", "two", "CAF\xc9", "", "one two", "t"][n]) for n in range(COUNT)}
    assert pairs == expected
    assert train.classes == data.examples("test").classes == ("<blank>", *" ACFenotw\xc9")
    assert sorted(labels_of(train).tolist()) == sorted(label for _, label in expected)
    assert labels_of(train, skip_unreadable=True).tolist() == labels_of(train).tolist()
    part = Subset(train, np.array([3, 1]))
    assert labels_of(part).tolist() == [train[3][1], train[1][1]]


def test_parts(data_dir):
    data = open_sequence_tfds("news", data_dir, "text")
    assert default_splits(data, "train", None) == ("train", "test")
    whole = data.examples("train")
    part = data.examples("train[50%:]+test")
    assert len(part) == 5 and [part[i] for i in range(3)] == [whole[i] for i in range(3, 6)]
    assert data.places("train[:2]")["train"].tolist() == [0, 1]
    same = part.identity(np.arange(3), "contents").fingerprints == whole.identity(np.arange(3, 6), "names").fingerprints
    assert same.all()
    with pytest.raises(ValueError, match=r"news: 'train\[3:3\]' is empty; 'train' has 6 texts"):
        data.examples("train[3:3]")
    with pytest.raises(ValueError, match="news has no split 'tset'; did you mean test"):
        data.examples("tset")


def test_texts(data_dir):
    data = open_sequence_tfds("news", data_dir, "text")
    rows = sorted(data.examples("train")[i] for i in range(COUNT))
    assert rows == [(f"caf\xe9 {n}".encode(), n % 3) for n in range(COUNT)]
    for columns in (("title", "description"), "title,description"):
        both = open_sequence_tfds("news", data_dir, "text", item_column=columns).examples("train")
        assert sorted(both[i][0] for i in range(COUNT))[1] == "T1\ncaf\xe9 1".encode()
    lines = open_sequence_tfds("sentences", data_dir, "text", "next-token").examples("train")
    assert sorted(lines[i] for i in range(COUNT))[5] == (b"sentence 5", 0) and lines.classes == ()
    assert labels_of(lines).tolist() == [0] * COUNT
    pairs = open_sequence_tfds("pairs", data_dir, "text", item_column="that", label_column="mood").examples("test")
    assert pairs[0][0] == b"b" and pairs.classes == ("0", "1")


def test_loaders_serve_them(data_dir):
    dataset = open_dataset("news", data_dir=data_dir, kind="text")
    loader = open_loader(dataset, "train[:4]", preprocess=TextPreprocess.of_texts(), buckets=1)
    (batch,) = loader.eval_batches(4)
    examples = dataset.examples("train[:4]")
    assert batch["image"].dtype == np.int32 and batch["image"].shape[0] == 4 and loader.classes == tuple(WORDS)
    assert batch["label"].tolist() == [examples[i][1] for i in range(4)] == loader.labels.tolist()


def test_loaders_decode_sounds(data_dir):
    pytest.importorskip("soundfile")
    dataset = open_dataset("commands", data_dir=data_dir, kind="audio")
    preprocess = AudioPreprocess(sample_rate=8000, front_end="waveform")
    (batch,) = open_loader(dataset, "train", preprocess=preprocess, buckets=1).eval_batches(COUNT)
    for row, length in zip(batch["image"], batch["lengths"], strict=True):
        expected = samples(length - 20) / 2**15
        np.testing.assert_allclose(row[:length, 0], expected, atol=1e-7)


@pytest.mark.parametrize(
    "name, kind, options, message",
    [
        ("news", "audio", {}, "news has the features description, label, title; expected features of sounds"),
        ("commands", "text", {}, "commands has the features audio, label; expected features of texts"),
        ("sentences", "text", {}, r"sentences has the features text; expected features of classes \(ClassLabel\)"),
        ("commands", "audio", {"label_kind": "transcript"}, r"expected features of transcripts \(Text\)"),
        ("pairs", "text", {}, r"pairs has the features .*; expected features of classes .*; name one of mood, size"),
        ("pairs", "text", {"label_column": "mood"}, r"expected features of texts; name one of that, this"),
        (
            "news",
            "text",
            {"item_column": "titel"},
            "news has no 'titel' among its features of texts; did you mean title",
        ),
        ("news", "text", {"label_kind": "transcript"}, "texts of TFDS have label_kind 'class' or 'next-token', got"),
        ("commands", "audio", {"label_kind": "targets"}, "sounds of TFDS have label_kind 'class' or 'transcript'"),
        ("sentences", "text", {"label_kind": "next-token", "label_column": "text"}, "predict the text itself"),
        ("commands", "audio", {"item_column": ("audio", "audio")}, "expected one feature of sounds"),
        ("rateless_commands", "audio", {}, "the sample rate of 'audio' is not known"),
    ],
)
def test_what_is_no_such_dataset_gives_one_line(data_dir, name, kind, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        open_sequence_tfds(name, data_dir, kind, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name, kind", [("speech_commands", "audio"), ("imdb_reviews", "text"), ("ag_news_subset", "text")]
)
def test_what_is_not_prepared_is_named_with_the_command_that_does_it(tmp_path, capsys, name, kind):
    with pytest.raises(ValueError, match=f"{name} is not prepared in {tmp_path}") as caught:
        open_sequence_tfds(name, str(tmp_path), kind)
    assert str(caught.value).endswith(f"run: tfds build {name} --file_format=array_record --data_dir={tmp_path}")
    assert not capsys.readouterr().out


def test_examples_that_cannot_be_read_are_named(tmp_path):
    class Loud(Commands, skip_registration=True):
        dtype = np.int64

        def row(self, number):
            return {"audio": np.array([0, 2**40]), "label": 0}

    Loud(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    train = open_sequence_tfds("loud", str(tmp_path), "audio").examples("train")
    with pytest.raises(DataError, match="^loud, train, example 2: expected samples of at most 32 bits, got 0 to"):
        train[2]
    shard = next(Path(tmp_path, "loud/1.0.0").glob("*train*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UnreadableImage, match="^loud, train, example "):
        labels_of(open_sequence_tfds("loud", str(tmp_path), "audio").examples("train"))
