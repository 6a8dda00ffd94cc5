"""Folders and lists of sounds: which examples and labels they hold, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sounds import sounds, wave_bytes

from resnet_jax.formats.audio import open_audio


def listed(part, root):
    return [(path.relative_to(root).as_posix(), label) for path, label in zip(part.paths, part.labels, strict=True)]


def refused(path, kind=ValueError, **options):
    with pytest.raises(kind) as caught:
        data = open_audio(path, **options)
        for split in data.splits:
            data.examples(split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file.parent


def test_a_folder_of_sounds_per_class(tmp_path):
    sounds(tmp_path, "yes/b.WAV", "no/a.flac", "no/deeper/c.oga", "yes/without extension")
    (tmp_path / "no/notes.txt").write_text("")
    (tmp_path / "yes/cover.png").write_text("")
    data = open_audio(tmp_path)
    train = data.examples("train")
    expected = [("no/a.flac", 0), ("no/deeper/c.oga", 0), ("yes/b.WAV", 1), ("yes/without extension", 1)]
    assert train.classes == ("no", "yes") and listed(train, tmp_path) == expected
    assert data.notes == ("2 files are not read (1 .png, 1 .txt)",)
    contents, label = train[2]
    assert contents[:4] == b"RIFF" and label == 1


def test_folders_of_splits_and_a_held_out_fifth(tmp_path):
    root = sounds(tmp_path, *(f"{split}/{name}/{i}.wav" for split in ("train", "val") for name in "ab" for i in "123"))
    data = open_audio(root)
    assert data.splits == {"train": 6, "val": 6} and data.examples("val").classes == ("a", "b")
    parts = [data.examples(f"train[{part}]") for part in ("training", "held-out")]
    assert sum(map(len, parts)) == 6 and min(map(len, parts)) >= 2
    (root / "val/c").mkdir()
    sounds(root, "val/c/1.wav")
    assert "/val has classes that " in refused(root)


def test_a_list_of_classes_or_numbers_beside_the_sounds(tmp_path):
    sounds(tmp_path, "clips/a.wav", "clips/b.wav", "clips/c.wav")
    write(tmp_path / "metadata.csv", "file_name,label,age\nclips/a.wav,it,3\nclips/b.wav,fr,4.5\n")
    data = open_audio(tmp_path)
    assert data.examples("train").classes == ("fr", "it")
    assert "1 sound has no row in metadata.csv and is not used: " in data.notes[1]
    assert data.notes[0] == "labels of metadata.csv: sounds from column 'file_name', labels from 'label'"
    numbers = open_audio(tmp_path, label_kind="targets", label_column="age").examples("train")
    assert numbers.labels.tolist() == [[3], [4.5]]
    flags = write(tmp_path / "flags.csv", "clip,tags\na.wav,dog;rain\nb.wav,\n") / "flags.csv"
    several = open_audio(tmp_path, labels="flags.csv", label_kind="multi-hot", label_column="tags").examples("train")
    assert several.classes == ("dog", "rain") and several.labels.tolist() == [[1, 1], [0, 0]]
    assert len(open_audio(flags, label_kind="multi-hot", label_column="tags").examples("train")) == 2


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.tsv", "metadata.jsonl"])
def test_a_list_of_transcripts(tmp_path, name):
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = [("a.wav", "no, née 1.0", "train"), ("b.wav", "one", "train"), ("c.wav", "non", "test")]
    if name.endswith(".jsonl"):
        text = "\n".join(json.dumps(dict(zip(("audio", "text", "split"), row, strict=True))) for row in rows)
    else:
        separator = "\t" if name.endswith(".tsv") else ";"
        text = "\n".join(separator.join(row) for row in [("audio", "text", "split"), *rows])
    write(tmp_path / name, text)
    data = open_audio(tmp_path, label_kind="transcript")
    train = data.examples("train")
    assert train.labels.tolist() == ["no, née 1.0", "one"] and train.labels.dtype.kind == "U"
    assert train.classes == ("<blank>", *sorted(set("no, née 1.0one")))
    assert data.examples("test").classes == train.classes and data.examples("test")[0][1] == "non"


def test_transcripts_that_cannot_be_used_are_named(tmp_path):
    sounds(tmp_path, "a.wav", "b.wav")
    write(tmp_path / "metadata.csv", "file,text,split\na.wav,no,train\nb.wav,on!,test\n")
    expected = "line 3: the transcript of b.wav of 'test' has '!', which no transcript of 'train' has"
    assert refused(tmp_path, label_kind="transcript").endswith(expected)
    write(tmp_path / "metadata.csv", "file,text\na.wav,no\nb.wav,\n")
    assert refused(tmp_path, label_kind="transcript").endswith("line 3: b.wav has no transcript")
    write(tmp_path / "metadata.csv", "file,words\na.wav,no\nb.wav,on\n")
    path = tmp_path / "metadata.csv"
    assert refused(tmp_path, label_kind="transcript").startswith(f"{path} has the columns file, words, none of them")
    message = "file, words, none of them known for transcripts; name it: label_column='NAME'"
    assert refused(path, label_kind="transcript").endswith(message)
    assert open_audio(path, label_kind="transcript", label_column="words").splits == {"train": 2}
    assert "expected one column" in refused(path, label_kind="transcript", label_column=("words", "file"))


def test_missing_files_are_named_or_skipped(tmp_path):
    sounds(tmp_path, "a.wav")
    write(tmp_path / "metadata.csv", "file,label\na.wav,x\nb.wav,y\n")
    expected = "1 of 2 sounds of 'train' are missing, the first b.wav of line 3; go without: skip_unreadable=True"
    assert refused(tmp_path).endswith(expected)
    data = open_audio(tmp_path, skip_unreadable=True)
    assert data.splits == {"train": 1} and data.notes[-1] == "1 of 2 sounds of 'train' in metadata.csv are missing"
    (tmp_path / "a.wav").unlink()
    assert "none of its 2 sounds is there, as a.wav of line 2" in refused(tmp_path)


def test_what_is_no_set_of_sounds_is_refused(tmp_path):
    expected = "expected a folder of WAV, FLAC or Ogg files or of .parquet files, a .parquet, or a .csv, .tsv or .jsonl"
    assert expected in refused(tmp_path / "none", FileNotFoundError)
    (tmp_path / "empty").mkdir()
    assert "/empty has no sounds; expected a folder of WAV" in refused(tmp_path / "empty")
    sounds(tmp_path / "flat", "a.wav")
    assert "has sounds, but no sub-folder of them per class, and no metadata.csv" in refused(tmp_path / "flat")
    assert "is no set of sounds; " in (message := refused(tmp_path / "flat/a.wav")) and "predict takes it" in message
    assert "labels in a file: metadata.csv beside the sounds" in refused(tmp_path / "flat", label_kind="transcript")
    assert "label_kind='boxes': sounds have labels of the kinds class, multi-hot," in refused(
        tmp_path, label_kind="boxes"
    )
    sounds(tmp_path / "classes", "a/1.wav", "b/1.mp3")
    (tmp_path / "classes/b/1.mp3").write_text("")
    message = refused(tmp_path / "classes")
    assert "has no sounds (.flac, .oga, .ogg, .wav, .wave); 1 file is not read (1 .mp3)" in message
    sounds(tmp_path / "classes", "b/1.wav")
    message = refused(tmp_path / "classes", audio_column="x")
    assert "has folders of classes; audio_column='x' is for Parquet files and files of labels; to read" in message
    assert refused(tmp_path, labels="").startswith("labels='': expected a path")


def test_identities_follow_contents_and_transcripts(tmp_path):
    sounds(tmp_path, "a.wav", "b.wav")
    write(tmp_path / "metadata.csv", "file,text\na.wav,no\nb.wav,no\n")
    one = open_audio(tmp_path, label_kind="transcript").examples("train")
    identity = one.identity(np.arange(2), "contents")
    assert len(set(identity.fingerprints.tolist())) == 2 and len(set(identity.labels.tolist())) == 1


def test_sounds_in_a_parquet_file(tmp_path):
    rows = [{"bytes": wave_bytes([0.1 * i] * 9), "path": f"{i}.wav"} for i in range(2)]
    pq.write_table(pa.table({"audio": rows, "sentence": ["no", "on"]}), tmp_path / "train.parquet")
    train = open_audio(tmp_path, label_kind="transcript").examples("train")
    assert train[1] == (rows[1]["bytes"], "on") and train.classes == ("<blank>", "n", "o")
