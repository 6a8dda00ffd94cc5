"""Pairs of images and captions from every kind of file; bad pairs are named, or skipped and counted."""

import io
import json
import tarfile

import numpy as np
import pytest
from dense_sets import write_pictures
from PIL import Image

from resnet_jax.errors import UnreadableImage
from resnet_jax.formats import open_path
from resnet_jax.formats.pairs import open_pairs

ROWS = [("a.png", "a cat"), ("b.png", "a dog"), ("a.png", "a tabby, asleep")]


def captions(dataset, split="train"):
    source = dataset.examples(split)
    return sorted((source.name(i).rpartition("/")[2], source[i][1]) for i in range(len(source)))


def write_rows(file, rows=ROWS):
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps({"file_name": name, "caption": text}) + "\n" for name, text in rows))
        return
    mark = "\t" if file.suffix == ".tsv" else ","
    quoted = [(name, f'"{text}"' if mark in text else text) for name, text in rows]
    file.write_text("".join(mark.join(row) + "\n" for row in [("file_name", "caption"), *quoted]))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_rows_give_an_image_as_many_pairs_as_captions(tmp_path, suffix):
    write_pictures(tmp_path, "abc")
    write_rows(tmp_path / f"metadata{suffix}")
    for dataset in (open_pairs(tmp_path), open_pairs(tmp_path / f"metadata{suffix}")):
        assert captions(dataset) == sorted(ROWS)
        assert dataset.examples("train").labels.dtype.kind == "U"
    (tmp_path / f"metadata{suffix}").rename(tmp_path / f"others{suffix}")
    assert captions(open_pairs(tmp_path, labels=f"others{suffix}")) == sorted(ROWS)
    with pytest.raises(ValueError, match=f"others{suffix}"):
        open_pairs(tmp_path)


def test_rows_of_bad_pairs_are_named_or_skipped_and_counted(tmp_path):
    write_pictures(tmp_path, "ab")
    write_rows(tmp_path / "metadata.csv", [*ROWS, ("missing.png", "a bird"), ("b.png", "")])
    with pytest.raises(ValueError, match=r"metadata.csv, line 5: no image 'missing.png'; go without"):
        open_pairs(tmp_path)
    dataset = open_pairs(tmp_path, skip_unreadable=True)
    assert captions(dataset) == sorted(ROWS)
    assert any("2 pairs that cannot be used are skipped, the first" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("caption", "problem"),
    [
        ("a\0c\0", "null characters in .* is the file in UTF-16"),
        ("x" * 20_000, "at most 16,384 letters, got 20,000"),
        ("\ud800", "half of a surrogate pair"),
        ("\t \n", "expected a caption, got "),
        (["a cat", "a dog"], "expected one text or number, got .*a cat.*; expected a row for each caption"),
    ],
)
def test_captions_that_are_no_texts_are_named(tmp_path, caption, problem):
    write_pictures(tmp_path, "a")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "caption": caption}))
    with pytest.raises(ValueError, match=rf"metadata.jsonl, line 1: (?s:.*){problem}"):
        open_pairs(tmp_path)


def coco(rows):
    images = [{"id": 10 + i, "file_name": name} for i, name in enumerate(("a.png", "b.png"))]
    numbers = {image["file_name"]: image["id"] for image in images}
    pairs = [{"id": 1 + i, "image_id": numbers.get(name, 99), "caption": text} for i, (name, text) in enumerate(rows)]
    return {"images": images, "annotations": pairs, "info": {}}


def test_captions_of_coco_have_a_file_for_each_split(tmp_path):
    for folder in ("train2017", "val2017", "annotations"):
        (tmp_path / folder).mkdir()
    write_pictures(tmp_path / "train2017", "ab")
    write_pictures(tmp_path / "val2017", "ab")
    for split, rows in (("train", ROWS), ("val", ROWS[:1])):
        (tmp_path / f"annotations/captions_{split}2017.json").write_text(json.dumps(coco(rows)))
    for dataset in (open_pairs(tmp_path), open_pairs(tmp_path, labels="annotations")):
        assert captions(dataset) == sorted(ROWS) and captions(dataset, "val") == ROWS[:1]
        assert "val2017" in dataset.examples("val").name(0)


def test_captions_of_coco_that_are_bad_are_named_or_skipped(tmp_path):
    write_pictures(tmp_path, "ab")
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(coco([*ROWS, ("b.png", " "), ("x.png", "none")])))
    with pytest.raises(ValueError, match=r"captions.json, annotation 4: expected a caption, got ' '"):
        open_pairs(tmp_path)
    dataset = open_pairs(file, skip_unreadable=True)
    assert captions(dataset) == sorted(ROWS) and "2 pairs" in dataset.notes[-1]
    for images, problem in (
        ([{"id": [1], "file_name": "a.png"}], r"expected an id and a file_name of image 0, got "),
        ([{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}], "'a.png' and 'b.png' have one id, 1"),
        ([{"id": 1, "file_name": "a.png"}], "annotation 7: no image has the id \\[1\\]"),
        ([{"id": 1, "file_name": "a.png"}], "annotation 7: no image has the id True"),
    ):
        record = {"id": 7, "image_id": True if "True" in problem else [1], "caption": "a cat"}
        file.write_text(json.dumps({"images": images, "annotations": [record]}))
        with pytest.raises(ValueError, match=problem):
            open_pairs(tmp_path)
    file.write_text("{}")
    with pytest.raises(ValueError, match="expected COCO's JSON, with lists images, annotations; missing: "):
        open_pairs(tmp_path)


def png(seed):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def write_tar(file, members):
    with tarfile.open(file, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_tar_shards_are_read_where_they_lie(tmp_path):
    for number in range(2):
        pair = {f"{number}.png": png(number), f"{number}.txt": b"picture %d\n" % number, f"{number}.json": b"{}"}
        write_tar(tmp_path / f"set-train-{number:05d}.tar", pair)
    write_tar(tmp_path / "set-val-00000.tar", {"in/7.jpg.png": png(7), "in/7.txt": b"seven"})
    dataset = open_pairs(tmp_path)
    source = dataset.examples("train")
    assert [source[i] for i in range(2)] == [(png(i), f"picture {i}") for i in range(2)]
    assert dataset.examples("val")[0] == (png(7), "seven")
    assert source.take(np.array([1]))[0] == source[1] and "set-train-00001.tar, 1.png" in source.name(1)
    index = np.arange(2)
    prints = [source.identity(index, kind).fingerprints.tolist() for kind in ("contents", "names")]
    assert len({*prints[0], *prints[1]}) == 4
    (tmp_path / "set-train-00001.tar").write_bytes((tmp_path / "set-train-00001.tar").read_bytes()[:700])
    with pytest.raises(UnreadableImage, match=r"1.png: expected .* bytes, got .*; cut short"):
        source[1]


def test_tar_shards_with_bad_pairs_are_named_or_skipped(tmp_path):
    members = {"a.png": png(0), "a.txt": b"good", "b.png": png(1), "c.txt": b"alone", "d.png": png(2), "d.txt": b"\xff"}
    write_tar(tmp_path / "x.tar", members)
    with pytest.raises(ValueError, match=r"x.tar, (c.txt: no image|d.txt: expected UTF-8)"):
        open_pairs(tmp_path / "x.tar")
    dataset = open_pairs(tmp_path, skip_unreadable=True)
    assert len(dataset.examples("train")) == 1
    assert "3 pairs that cannot be used are skipped" in dataset.notes[0]
    (tmp_path / "x.tar").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"x.tar cannot be read as a tar archive"):
        open_pairs(tmp_path)


def test_a_second_image_or_caption_of_one_name_is_a_bad_pair(tmp_path):
    write_tar(tmp_path / "x.tar", {"a.png": png(0), "a.txt": b"one", "a.jpg": png(1), "a.b.txt": b"two"})
    with pytest.raises(ValueError, match=r"x.tar, a.jpg: another file of this pair is of the same kind"):
        open_pairs(tmp_path)
    dataset = open_pairs(tmp_path, skip_unreadable=True)
    assert dataset.examples("train")[0] == (png(0), "one") and "2 pairs" in dataset.notes[0]


def test_hidden_files_of_a_tar_are_not_read(tmp_path):
    write_tar(tmp_path / "x.tar", {"in/._a.png": b"macOS", "a.png": png(0), "a.txt": b"\xef\xbb\xbfgood"})
    source = open_pairs(tmp_path).examples("train")
    assert len(source) == 1 and source[0] == (png(0), "good")


def test_names_in_a_tar_that_are_no_utf_8_have_an_identity(tmp_path):
    write_tar(tmp_path / "x.tar", {"\udce9.png": png(0), "\udce9.txt": b"one", "b.png": png(1), "b.txt": b"two"})
    source = open_pairs(tmp_path).examples("train")
    assert len(set(source.identity(np.arange(2), "names").names.tolist())) == 2


@pytest.mark.parametrize(
    "damage", [lambda data, end: data[:end] + b"x" * 512 + data[end:], lambda data, end: data[:end]]
)
def test_a_tar_without_its_end_is_reported(tmp_path, damage):
    write_tar(tmp_path / "x.tar", {"a.png": png(0), "a.txt": b"good"})
    data = (tmp_path / "x.tar").read_bytes()
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    (tmp_path / "x.tar").write_bytes(damage(data, end))
    with pytest.raises(ValueError, match=rf"x.tar: expected the end of the archive at byte {end:,}, got "):
        open_pairs(tmp_path)
    assert len(open_pairs(tmp_path, skip_unreadable=True).examples("train")) == 1


def test_a_compressed_tar_is_named_as_such(tmp_path):
    """Its images could not be read where they lie."""
    with tarfile.open(tmp_path / "x.tar", "w:gz"):
        pass
    with pytest.raises(
        ValueError, match="x.tar cannot be read as a tar archive: it is compressed; decompress it first"
    ):
        open_pairs(tmp_path)


def test_a_tar_member_of_negative_size_is_refused(tmp_path):
    write_tar(tmp_path / "x.tar", {"a.png": png(0), "a.txt": b"good"})
    info = tarfile.TarInfo("b.png")
    info.size = -1024
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[:1024] + info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(ValueError, match="x.tar"):
        open_pairs(tmp_path)


def test_parquet_has_captions_in_a_column(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = {"image": [{"bytes": png(i), "path": None} for i in range(2)], "caption": ["zero", None]}
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    source = open_pairs(tmp_path).examples("train")
    assert source[0] == (png(0), "zero") and source[1][1] == ""
    pq.write_table(pa.table(table | {"caption": ["zero", "one\0"]}), tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="train.parquet, row 1: expected a text, got null characters"):
        open_pairs(tmp_path).examples("train")


@pytest.mark.parametrize(
    ("rows", "column", "problem"),
    [
        ("file,words\n", None, "has the columns .*, none of them known for captions"),
        ("file_name,caption\n", "captoin", "has no column 'captoin'; did you mean caption"),
        ("", None, "is empty"),
    ],
)
def test_a_metadata_file_that_cannot_be_read_says_why(tmp_path, rows, column, problem):
    write_pictures(tmp_path, "a")
    (tmp_path / "metadata.csv").write_text(rows)
    with pytest.raises(ValueError, match=f"metadata.csv {problem}"):
        open_pairs(tmp_path, label_column=column)


def test_a_tar_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    def refuse(file, mode):
        file.unlink()
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.tar").touch()
    monkeypatch.setattr(tarfile, "open", refuse)
    with pytest.raises(ValueError, match="x.tar cannot be read as a tar archive: .*Permission denied"):
        open_pairs(tmp_path)


def test_a_file_of_captions_with_another_name_is_named(tmp_path):
    write_pictures(tmp_path, "a")
    (tmp_path / "captions.csv").write_text("file_name,caption\na.png,a cat\n")
    with pytest.raises(
        ValueError, match="has no metadata.csv, and files .* not read: captions.csv; .*labels='captions.csv'"
    ):
        open_pairs(tmp_path)
    (tmp_path / "captions.csv").rename(tmp_path / "metadata.csv")
    assert open_pairs(tmp_path).splits == {"train": 1}
    with pytest.raises(ValueError, match="metadata.csv has no column of labels; captions are for --task contrastive"):
        open_path(tmp_path)


def test_what_is_no_set_of_pairs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a folder of images and a file of captions"):
        open_pairs(tmp_path / "none")
    with pytest.raises(ValueError, match="has no captions; expected a folder of images"):
        open_pairs(tmp_path)
    (tmp_path / "packed.json").write_text("{}")
    with pytest.raises(ValueError, match="is a packed set, which has no captions; expected a folder of images"):
        open_pairs(tmp_path)
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(ValueError, match="tar shards; label_column='text' is for Parquet"):
        open_pairs(tmp_path, label_column="text")
