"""Sounds and texts in Parquet files: columns, names of classes, transcripts, texts without labels, broken files."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import write_parquet

from resnet_jax.data import open_dataset, open_loader
from resnet_jax.data.sources.held_out import default_splits
from resnet_jax.errors import DataError
from resnet_jax.formats.parquet_sequences import open_parquet_sequences, parquet_files
from resnet_jax.formats.wav import wav_file
from resnet_jax.inputs import AudioPreprocess

SOUNDS = [b"RIFF" + bytes([n]) * 40 for n in range(4)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(file, features=None, /, **columns):
    """Writes columns; `features` is what Hugging Face's `datasets` adds to the schema."""
    file.parent.mkdir(parents=True, exist_ok=True)
    one = pa.table(columns)
    if features is not None:
        record = {"info": {"features": features}}
        one = one.replace_schema_metadata({b"huggingface": json.dumps(record).encode()})
    pq.write_table(one, file)
    return file


def sounds(*items, paths=None):
    paths = paths or [f"{n}.wav" for n in range(len(items))]
    return pa.array([{"bytes": one, "path": path} for one, path in zip(items, paths, strict=True)], STRUCT)


def opened(path, item, **options):
    data = open_parquet_sequences(path, item, **options)
    assert all(len(data.examples(split)) == count for split, count in data.splits.items())
    return data


def refused(path, item, **options):
    with pytest.raises(ValueError) as caught:
        opened(path, item, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sounds_with_classes_in_shards(tmp_path):
    features = {"audio": {"_type": "Audio"}, "label": {"names": ["yes", "no"], "_type": "ClassLabel"}}
    more = {"file": ["a", "b"], "speaker_id": ["x", "y"]}
    for shard, label in enumerate(([0, 1], [1, 1])):
        file = tmp_path / f"data/train-0000{shard}-of-00002.parquet"
        table(file, features, audio=sounds(*SOUNDS[2 * shard :][:2]), label=label, **more)
    table(tmp_path / "data/test-00000-of-00001.parquet", features, audio=sounds(SOUNDS[0]), label=[-1])
    table(tmp_path / "data/validation-00000-of-00001.parquet", features, audio=sounds(SOUNDS[0]), label=[0])
    data = opened(tmp_path, "audio")
    assert data.splits == {"train": 4, "validation": 1} and default_splits(data, "train", None)[1] == "validation"
    assert data.notes[0].startswith("split 'test' is not used")
    train = data.examples("train")
    assert train.classes == ("yes", "no") and [train[i] for i in range(4)] == list(
        zip(SOUNDS, [0, 1, 1, 1], strict=True)
    )
    first = tmp_path / "data/train-00000-of-00002.parquet"
    assert train.name(3) == f"{first} to train-00001-of-00002.parquet, row 3 (1.wav)"
    part = data.examples("train[held-out]")
    assert {part.name(i) for i in range(len(part))} < {train.name(i) for i in range(4)}


@pytest.mark.parametrize(
    "columns, label",
    [
        ({"audio": sounds(*SOUNDS), "intent_class": [0, 1, 0, 1]}, "intent_class"),
        ({"recording": sounds(*SOUNDS), "label": [0, 1, 0, 1]}, "label"),
        ({"clip": pa.array(SOUNDS), "notes": list("abcd"), "genre": [0, 1, 0, 1]}, "genre"),
    ],
)
def test_columns_are_chosen_by_name_type_and_schema(tmp_path, columns, label):
    features = {label: {"names": ["a", "b"], "_type": "ClassLabel"}}
    train = opened(table(tmp_path / "x.parquet", features, **columns), "audio").examples("train")
    assert train.classes == ("a", "b") and [train[i] for i in (0, 1)] == [(SOUNDS[0], 0), (SOUNDS[1], 1)]


def test_columns_may_be_named(tmp_path):
    columns = {"near": sounds(*SOUNDS), "far": sounds(*SOUNDS[::-1]), "who": list("abab"), "label": [0, 0, 0, 1]}
    file = table(tmp_path / "x.parquet", **columns)
    train = opened(file, "audio", item_column="far", label_column="who").examples("train")
    assert train.classes == ("a", "b") and train[0] == (SOUNDS[3], 0)
    expected = "expected one of audio, sound, speech, wav, flac; name another: audio_column='NAME'"
    assert f"has the columns near, far, who, label; {expected}" in refused(file, "audio")
    assert "expected one of mid; name another: audio_column=" in refused(file, "audio", item_column="mid")
    assert "expected one column" in refused(file, "audio", item_column=("near", "far"))


def test_transcripts(tmp_path):
    more = {"file": list("abcd"), "speaker_id": [1, 1, 2, 2], "id": list("wxyz")}
    texts = ["ONE TWO", " TWO ", "CAFE\N{COMBINING ACUTE ACCENT}", ""]
    table(tmp_path / "train.parquet", audio=sounds(*SOUNDS), text=texts, **more)
    table(tmp_path / "validation.parquet", audio=sounds(SOUNDS[0]), text=["NEXT"])
    table(tmp_path / "test.parquet", audio=sounds(SOUNDS[0]), text=[""])
    data = opened(tmp_path, "audio", label_kind="transcript")
    train, validation = data.examples("train"), data.examples("validation")
    assert [train[i] for i in range(4)] == list(zip(SOUNDS, ["ONE TWO", "TWO", "CAF\xc9", ""], strict=True))
    assert train.classes == validation.classes == ("<blank>", " ", "A", "C", "E", "F", "N", "O", "T", "W", "\xc9")
    assert validation[0] == (SOUNDS[0], "NEXT")  # its X is reported by the loader
    assert data.notes == (f"split 'test' is not used: {tmp_path}/test.parquet has no labels",)
    assert len(data.examples("train[held-out]")) >= 1
    table(tmp_path / "train.parquet", audio=sounds(SOUNDS[0]), text=[3])
    assert "column 'text' is int64; expected transcripts (string)" in refused(
        tmp_path, "audio", label_kind="transcript"
    )
    table(tmp_path / "train.parquet", audio=sounds(SOUNDS[0]), spoken=["a"])
    message = refused(tmp_path, "audio", label_kind="transcript")
    assert "has the columns audio, spoken; expected one of transcript, transcription, " in message


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_with_classes(tmp_path, kind):
    features = {"label": {"names": ["World", "Sports"], "_type": "ClassLabel"}}
    file = tmp_path / "ag/train-00000-of-00001.parquet"
    table(file, features, text=pa.array(["caf\xe9", "two\nlines", ""], kind), label=[1, 0, 1])
    train = opened(tmp_path / "ag", "text").examples("train")
    assert train.classes == ("World", "Sports") and train.name(1) == f"{file}, row 1"
    assert [train[i] for i in range(3)] == [("caf\xe9".encode(), 1), (b"two\nlines", 0), (b"", 1)]


def test_texts_of_several_columns_or_the_only_one(tmp_path):
    columns = {"label": [0, 1, 1], "title": ["A", "B", ""], "content": ["a", "b", "c"]}
    file = table(tmp_path / "x.parquet", **columns)
    assert opened(file, "text").examples("train")[1] == (b"b", 1)
    for columns in (("title", "content"), "title,content", "title, content"):
        both = opened(file, "text", item_column=columns).examples("train")
        assert [both[i][0] for i in range(3)] == [b"A\na", b"B\nb", b"c"]
    file = table(tmp_path / "x.parquet", topic=list("ab"), label=list("pq"))
    train = opened(file, "text").examples("train")
    assert train.classes == ("p", "q") and train[0] == (b"a", 0)
    file = table(tmp_path / "x.parquet", topic=list("ab"), answer=list("cd"), label=list("pq"))
    assert "expected one of text, sentence, content, " in refused(file, "text")
    message = refused(file, "text", item_column=("topic", "label_"))
    assert "expected one of label_; name another: text_column='NAME'" in message
    file = table(tmp_path / "x.parquet", text=[1, 2], label=[0, 1])
    assert "column 'text' is int64; expected texts (string)" in refused(file, "text")


def test_texts_of_language_models_have_no_labels(tmp_path):
    table(tmp_path / "wiki/train-00000-of-00001.parquet", text=["", " = One = ", "two"])
    table(tmp_path / "wiki/validation-00000-of-00001.parquet", text=["three"])
    data = opened(tmp_path / "wiki", "text", label_kind="next-token")
    train = data.examples("train")
    assert data.splits == {"train": 3, "validation": 1} and train.classes == ()
    assert train.labels.dtype == np.int32 and [train[i][0] for i in range(3)] == [b"", b" = One = ", b"two"]
    part = data.examples("train[1:]")
    assert data.fixed and [part[i][0] for i in range(2)] == [b" = One = ", b"two"]
    message = refused(tmp_path / "wiki", "text", label_kind="next-token", label_column="text")
    assert "label_column='text': language models predict the text itself" in message


def test_several_classes_and_targets(tmp_path):
    features = {"labels": {"feature": {"names": ["joy", "fear"], "_type": "ClassLabel"}, "_type": "Sequence"}}
    file = table(tmp_path / "x.parquet", features, text=["a", "b"], labels=[[0, 1], [1]])
    train = opened(file, "text", label_kind="multi-hot").examples("train")
    assert train.classes == ("joy", "fear") and train.labels.tolist() == [[1, 1], [0, 1]]
    file = table(tmp_path / "x.parquet", audio=sounds(*SOUNDS[:2]), age=[30.5, 41], mass=[1, 2])
    data = opened(file, "audio", label_kind="targets", label_column=("age", "mass"))
    assert data.examples("train").classes == ("age", "mass") and data.examples("train").labels.tolist()[0] == [30.5, 1]


@pytest.mark.parametrize(
    "item, columns, message",
    [
        (
            "audio",
            {"audio": sounds(SOUNDS[0], None), "label": [0, 1]},
            "row 1 has nothing in column 'audio' but the path",
        ),
        ("audio", {"audio": pa.array([None, SOUNDS[0]]), "label": [0, 1]}, "row 0 has nothing in column 'audio'"),
        ("audio", {"audio": ["a.wav", "b.wav"], "label": [0, 1]}, r"column 'audio' is string; expected encoded sounds"),
        ("audio", {"audio": sounds(*SOUNDS[:2]), "label": [0, None]}, "row 1 has nothing in column 'label'"),
        ("audio", {"audio": sounds(*SOUNDS[:2]), "label": [0, 2]}, "no sound has label 1, but the labels go up to 2"),
        (
            "audio",
            {"audio": sounds(*SOUNDS[:2]), "label": [0.5, 1.5]},
            "column 'label' is double; expected whole numbers",
        ),
        ("text", {"text": ["a", None], "label": [0, 1]}, "row 1 has nothing in column 'text'"),
        ("text", {"text": ["a", "b"], "label": [0, 3]}, "no text has label 1, 2, but"),
        ("text", {"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}, "has no rows"),
        ("text", {"text": ["a"], "mood": [1]}, "has the columns text, mood; expected one of label, labels, "),
    ],
)
def test_rows_and_columns_that_cannot_be_used_give_one_line(tmp_path, item, columns, message):
    file = table(tmp_path / "x.parquet", **columns)
    assert re.match(f"{re.escape(str(file))}:? ?.*{message}", refused(file, item))


def test_labels_of_other_splits_and_kinds(tmp_path):
    table(tmp_path / "train.parquet", text=["a", "b"], label=[0, 1])
    table(tmp_path / "test.parquet", text=["a", "b"], label=[0, 2])
    assert re.search("test.parquet, row 1 of 'test' has label 2; labels of 2 classes", refused(tmp_path, "text"))
    expected = "expected label_kind 'class', 'multi-hot', 'targets' or 'next-token'"
    assert f"texts have no labels of kind 'transcript'; {expected}" in refused(
        tmp_path, "text", label_kind="transcript"
    )
    for kind in ("next-token", "boxes"):
        assert f"sounds have no labels of kind {kind!r}" in refused(tmp_path, "audio", label_kind=kind)


def test_files_that_are_cut_off_or_missing_are_named(tmp_path):
    file = table(tmp_path / "train-00000-of-00002.parquet", text=["a", "b"] * 50, label=[0, 1] * 50)
    message = f"{tmp_path}: train-00001-of-00002.parquet is missing; download again"
    assert refused(tmp_path, "text").startswith(message)
    assert opened(tmp_path, "text", skip_unreadable=True).splits == {"train": 100}
    whole = file.read_bytes()
    for cut in np.linspace(0, len(whole) - 1, 20).astype(int):
        file.write_bytes(whole[:cut])
        assert refused(tmp_path, "text", skip_unreadable=True).startswith(f"{file} cannot be read: ")


def test_a_sound_that_cannot_be_decoded_is_named_by_its_row_and_path(tmp_path):
    pytest.importorskip("soundfile")
    good = wav_file(np.arange(-50, 50, dtype=np.int16), 8000)
    file = table(tmp_path / "x.parquet", audio=sounds(good, good[:60], good), label=["a", "b", "b"])
    dataset = open_dataset(path=str(file), kind="audio")
    preprocess = AudioPreprocess(sample_rate=8000, front_end="waveform")
    with pytest.raises(DataError, match=r"x.parquet, row 1 \(1.wav\): the file is cut"):
        list(open_loader(dataset, "train", preprocess=preprocess).eval_batches(3))
    loader = open_loader(dataset, "train", preprocess=preprocess, skip_unreadable=True)
    (batch,) = loader.eval_batches(3)
    assert sorted(batch["label"][batch["mask"] > 0]) == [0, 1] and list(loader.skipped) == [f"{file}, row 1 (1.wav)"]
    assert batch["image"].shape == (3, 100, 1) and dataset.examples("train").classes == ("a", "b")


def test_the_files_at_a_path(tmp_path):
    assert parquet_files(tmp_path) == []
    file = write_parquet(tmp_path / "en/train-0.parquet", SOUNDS, [0, 1, 0, 1], image="audio")
    assert parquet_files(tmp_path) == parquet_files(tmp_path / "en") == parquet_files(file) == [file]
    assert parquet_files(tmp_path / "x.csv") == [] and opened(tmp_path, "audio").splits == {"train": 4}
