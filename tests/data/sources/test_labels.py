"""Labels in a file beside the images."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import listed, open_all, picture, pictures

from resnet_jax.data.sources.formats import open_path
from resnet_jax.files import expanded


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(path, **options):
    with pytest.raises(ValueError) as caught:
        open_all(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


CAT_DOG = [("images/a.png", 0), ("images/b.png", 1), ("images/c.png", 0)]
ROWS = [("a.png", "cat"), ("b.png", "dog"), ("c.png", "cat")]


def lines(*rows, separator=","):
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "name, text",
    [
        ("metadata.csv", lines(("file_name", "label"), *((f"images/{name}", label) for name, label in ROWS))),
        ("metadata.csv", "\ufeff" + lines(("label", "id"), *((label, name[0]) for name, label in reversed(ROWS)))),
        ("metadata.csv", lines(("Image Path", "n", "Category"), *((f"./images/{n}", "7", c) for n, c in ROWS))),
        ("metadata.tsv", lines(("filename", "class"), *ROWS, separator="\t")),
        ("metadata.csv", lines(("path", "label"), *((f"images\\{name}", c) for name, c in ROWS), separator=";")),
        ("metadata.csv", '"image","label"\r\n"a.png"," cat "\r\n\r\n"b.png","dog"\r\n"c.png","cat"\r\n'),
        ("metadata.jsonl", "\n".join(json.dumps({"file_name": n, "label": c, "more": [1]}) for n, c in ROWS)),
        ("images/metadata.csv", lines(("file_name", "label"), *ROWS)),
    ],
)
def test_a_file_of_labels_beside_the_images_is_read(tmp_path, name, text):
    pictures(tmp_path / "D", "images/a.png", "images/b.png", "images/c.png")
    file = write(tmp_path / "D" / name, text)
    options = {} if file.parent.name == "D" else {"labels": name}
    train = open_all(tmp_path / "D", **options).examples("train")
    assert train.classes == ("cat", "dog") and listed(train, tmp_path / "D") == CAT_DOG
    assert listed(open_all(file).examples("train"), tmp_path / "D") == CAT_DOG  # the file alone says as much


def test_another_file_is_read_when_it_is_named_and_its_columns_too(tmp_path, monkeypatch):
    pictures(tmp_path / "D", "train/a.png", "train/b.png", "test/x.png")
    write(tmp_path / "D" / "train.csv", "id,breed,weight\na,pug,3\nb,collie,9\n")
    write(tmp_path / "D" / "sample_submission.csv", "id,label\nx,0\n")
    message = refused(tmp_path / "D")
    assert "files of labels that are not read: sample_submission.csv; to read one: labels='sample_subm" in message
    message = refused(tmp_path / "D", labels="train.csv")
    assert (
        "train.csv has the columns id, breed, weight, none of them known for labels; name it: label_column='NAME'"
        in message
    )
    assert "has no column 'bread'; did you mean breed" in refused(
        tmp_path / "D", labels="train.csv", label_column="bread"
    )
    monkeypatch.chdir(tmp_path)
    for labels in ("train.csv", "D/train.csv", tmp_path / "D" / "train.csv"):
        data = open_all("D", labels=labels, label_column="breed")
        assert data.splits == {"train": 2} and data.examples("train").classes == ("collie", "pug")
    assert data.notes == (
        "labels of train.csv: images from column 'id', labels from 'breed'",
        "1 image has no row in train.csv and is not used: D/test/x.png ...",
        "1 file is not read (1 .csv)",
    )
    with pytest.raises(FileNotFoundError, match="no file 'gone.csv' of labels, neither here nor in D"):
        open_path("D", labels="gone.csv")


def test_splits_of_a_column_and_of_the_images_folders(tmp_path):
    names = [f"{split}/{name}.png" for split in ("training", "test_set") for name in "ab"]
    pictures(tmp_path, *names)
    write(tmp_path / "metadata.csv", "file_name,label\n" + "".join(f"{name},{name[-5]}\n" for name in names))
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, "test": 2}
    assert listed(data.examples("test"), tmp_path) == [("test_set/a.png", 0), ("test_set/b.png", 1)]
    rows = [f"{names[i]},{i % 2},{split}\n" for i, split in enumerate("Train Train dev val".split())]
    write(tmp_path / "metadata.csv", "file_name,label,split\n" + "".join(rows))
    assert open_all(tmp_path).splits == {"train": 2, "validation": 1, "val": 1}
    write(tmp_path / "metadata.csv", "file_name,label,split\n" + "".join(rows).replace("Train", "fold1"))
    assert "column 'split' has fold1, val, validation; expected train" in refused(tmp_path)
    write(tmp_path / "metadata.csv", f"file_name,label\n{names[0]},0\nx/y.png,1\n")
    assert f"{names[0]} lies in the folder of a split, x/y.png of line 3 does not; expected all" in refused(tmp_path)


def test_each_split_may_have_its_own_file_and_a_split_without_labels_is_not_used(tmp_path):
    pictures(tmp_path, "train/a.png", "train/b.png", "val/a.png", "test/a.png")
    write(tmp_path / "train/metadata.csv", "file_name,label\na.png,cat\nb.png,dog\n")
    write(tmp_path / "val/metadata.jsonl", json.dumps({"file_name": "a.png", "label": "dog"}))
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, "val": 1} and list(data.examples("val").labels) == [1]
    assert any(note.startswith("split 'test' is not used: ") for note in data.notes)
    write(tmp_path / "test/metadata.csv", "file_name,label\na.png,-1\n")
    for opened in (data, open_all(tmp_path)):
        with pytest.raises(ValueError, match="/test has no labels, neither class folders nor metadata.csv"):
            opened.examples("test")
    write(tmp_path / "val/metadata.jsonl", json.dumps({"file_name": "a.png", "label": "owl"}))
    with pytest.raises(ValueError, match="/val has classes that .*/train has not: owl"):
        open_path(tmp_path).examples("val")
    rows = "train/a.png,cat\ntrain/b.png,dog\ntest/a.png,\n"
    write(tmp_path / "metadata.csv", "file_name,label\n" + rows)
    data = open_all(tmp_path)
    assert (
        data.splits == {"train": 2}
        and f"split 'test' is not used: {tmp_path}/metadata.csv has no labels of 'test'" in data.notes
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty; expected a first line with the names of columns"),
        ("file_name,label\n", "has no rows"),
        (
            "file_name,label\na.png,cat\na.png,dog\n",
            "a.png has 'dog' in line 3 and 'cat' in line 2; expected one label",
        ),
        ("file_name,label\na.png,cat\nb.png,\n", "line 3: b.png has no label"),
        ("file_name,label\na.png,cat\n,dog\n", "line 3: nothing in column 'file_name'"),
        ("file_name,label\na.png,cat\nb.png,dog,big\n", "line 3: 3 values for 2 columns"),
        ("file_name,label\na.png,0.5\nb.png,1.25\n", "column 'label' has 0.5; expected names or whole numbers"),
        ("file_name,label\na.png,Cat\nb.png,cat\n", "has classes whose names differ by case alone: Cat, cat"),
        ("file_name,label\na.png,cat\nx.png,dog\ny.png,dog\n", "2 of 3 images of 'train' are missing, the first x.png"),
        ("file_name,label\nx.png,cat\n", "none of its 1 images is there, as x.png of line 2"),
        ('file_name,label\na.png,"cat\n', "cannot be read: unexpected end of data"),
        (
            "a.png,cat\nb.png,dog\n",
            "has the columns a.png, cat, none of them known for images; name it: image_column='NAME', "
            "or add a first line of column names",
        ),
    ],
)
def test_files_that_cannot_be_used_give_one_line(tmp_path, text, message):
    pictures(tmp_path, "a.png", "b.png")
    file = write(tmp_path / "labels.csv", text)
    assert message in refused(tmp_path, labels=file) and str(file) in refused(tmp_path, labels=file)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"file_name": "a.png", "label": ["cat", "dog"]}', "expected one text or number"),
        ('{"file_name": "a.png", "label": ', "line 1 is not valid JSON: "),
        ("[1, 2]", "expected a JSON object, got '[1, 2]'"),
    ],
)
def test_lines_of_json_that_cannot_be_used_are_named(tmp_path, text, message):
    pictures(tmp_path, "a.png", "b.png")
    assert message in refused(tmp_path, labels=write(tmp_path / "a.jsonl", text))
    (tmp_path / "a.csv").write_bytes(b"file_name,label\n\xff\xfe.png,cat\n")
    assert "a.csv is not UTF-8 text" in refused(tmp_path, labels="a.csv")
    assert "a.txt is no file of labels; expected .csv, .tsv, .jsonl" in refused(
        tmp_path, labels=write(tmp_path / "a.txt", "a.png cat")
    )


def test_missing_images_may_be_skipped_and_repeated_rows_count_once(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    write(tmp_path / "metadata.csv", "file_name,label\na.png,1.0\na.png,1.0\nb.png,10\nx.png,2\n")
    data = open_all(tmp_path, skip_unreadable=True)
    assert data.splits == {"train": 2} and data.examples("train").classes == ("1", "2", "10")
    assert "1 of 3 images of 'train' in metadata.csv are missing" in data.notes
    assert "metadata.csv has 1 row of an image that it has already" in data.notes


def test_an_image_that_a_name_does_not_tell_from_another_is_an_error(tmp_path):
    pictures(tmp_path, "x/a.png", "y/a.png", "../outside.png")
    write(tmp_path / "metadata.csv", "file_name,label\na.png,cat\n")
    assert "metadata.csv, line 2: 'a.png' may be " in refused(tmp_path, labels="metadata.csv")
    write(tmp_path / "metadata.csv", "file_name,label\nx/a.png,cat\n../outside.png,dog\n")
    assert len(open_all(tmp_path, labels="metadata.csv").examples("train")) == 2


def test_folders_that_disagree_with_a_file_of_labels_are_not_taken_for_classes(tmp_path):
    """As photographs that were packed in two parts."""
    pictures(tmp_path, "part1/a.png", "part1/b.png", "part2/c.png")
    write(tmp_path / "ham.csv", "image_id,category\na,mole\nb,wart\nc,mole\n")
    message = refused(tmp_path)
    assert "has the folders part1, part2, and other labels in ham.csv; expected labels='ham.csv' to read" in message
    assert open_all(tmp_path, labels="ham.csv").examples("train").classes == ("mole", "wart")
    assert open_all(tmp_path, classes=("part1", "part2")).examples("train").classes == ("part1", "part2")
    write(tmp_path / "ham.csv", "image_id,category\na,0\nb,0\nc,1\n")  # the same parts under other names
    assert open_all(tmp_path).examples("train").classes == ("part1", "part2")
    write(tmp_path / "ham.csv", "name,label\npart1,good\npart2,bad\n")  # of something else
    assert open_all(tmp_path).examples("train").classes == ("part1", "part2")
    write(tmp_path / "ham.csv", "image,x,y,w,h\na,1,1,5,5\na,2,3,5,5\nc,1,3,5,5\n")  # boxes
    assert "labels" not in str(open_all(tmp_path).notes)
    for rows, relation in (("a,pug\nb,terrier\nc,tabby", "finer"), ("a,pet\nb,pet\nc,pet", "coarser")):
        write(tmp_path / "ham.csv", f"image_id,category\n{rows}\n")
        data = open_all(tmp_path)
        assert data.examples("train").classes == ("part1", "part2")
        assert f"ham.csv has {relation} labels than the folders; not read: labels='ham.csv' reads it" in data.notes


def test_names_in_two_unicode_forms_are_one(tmp_path):
    picture(tmp_path / "cafe\u0301.png")
    picture(tmp_path / "b.png")
    write(tmp_path / "metadata.csv", "file_name,label\ncaf\u00e9.png,th\u00e9\nb.png,the\u0301\n")
    assert open_all(tmp_path).examples("train").classes == ("th\u00e9",)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([".csv", ".tsv", ".jsonl"]), st.integers(0, 60), st.binary(max_size=9), st.integers(0, 9))
def test_damaged_files_are_read_or_told_in_one_line(tmp_path_factory, suffix, place, new, cut):
    root = pictures(tmp_path_factory.mktemp("damaged"), "a.png", "b.png")
    text = {
        ".csv": 'file_name,label\na.png,"cat"\nb.png,dog\n',
        ".tsv": "file_name\tlabel\na.png\tcat\nb.png\tdog\n",
        ".jsonl": '{"file_name": "a.png", "label": "cat"}\n{"file_name": "b.png", "label": 1e9}\n',
    }[suffix].encode()
    file = root / f"labels{suffix}"
    file.write_bytes(text[:place] + new + text[place + cut :])
    try:
        assert len(open_all(file).examples("train")) <= 2
    except ValueError as error:
        assert str(file) in str(error) and "\n" not in str(error)


def test_pipes_and_large_files_are_not_read(tmp_path):
    pictures(tmp_path, "a.png")
    os.mkfifo(tmp_path / "metadata.csv")
    assert "metadata.csv cannot be read: not a file" in refused(tmp_path, labels="metadata.csv")
    assert "no sub-folder of them per class" in refused(tmp_path)
    with open(tmp_path / "large.csv", "wb") as file:
        file.truncate(2**29)
    assert "large.csv has 536,870,912 bytes; expected at most" in refused(tmp_path, labels="large.csv")


def test_columns_of_json_objects_are_those_of_all_lines(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    rows = [{"file_name": "a.png", "label": "cat"}, {"file_name": "b.png", "label": "dog", "split": "test"}]
    write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)))
    assert "metadata.jsonl, line 1: nothing in column 'split'" in refused(tmp_path)


def test_one_image_under_several_spellings_is_one(tmp_path, monkeypatch):
    pictures(tmp_path / "D", "a.png", "b.png")
    pictures(tmp_path / "beside", "c.png")
    (tmp_path / "link").symlink_to(tmp_path / "D")
    spelt = ["a.png", str(tmp_path / "D" / "a.png"), "../D/a.png", "../link/a.png"]
    outside = ["../beside/c.png", str(tmp_path / "beside" / "c.png")]
    rows = [(name, "cat") for name in [*spelt, *outside]] + [("b.png", "dog")]
    file = write(tmp_path / "D" / "metadata.csv", lines(("file_name", "label"), *rows))
    for path in ("D", tmp_path / "D"):
        monkeypatch.chdir(tmp_path)
        assert open_all(path).splits == {"train": 3}
    for one, other in ((spelt[0], spelt[1]), (spelt[2], spelt[3]), outside):
        write(file, lines(("file_name", "label"), (one, "cat"), (other, "dog")))
        assert "expected one label an image" in refused(tmp_path / "D")


@pytest.mark.parametrize(
    "text, message",
    [
        ("file,label,label\na.png,cat,dog\nb.png,dog,cat\n", "has several columns 'label'; expected one of a name"),
        ("file,label\na.png,-1\nb.png,1\n", "column 'label' has -1, which means no label, beside others; expected"),
    ],
)
def test_labels_that_may_mean_two_things_are_refused(tmp_path, text, message):
    pictures(tmp_path, "a.png", "b.png")
    write(tmp_path / "labels.csv", text)
    assert message in refused(tmp_path, labels="labels.csv")


def test_an_empty_path_is_not_the_current_folder(tmp_path):
    assert refused("").startswith("path='': expected a path")
    assert refused(tmp_path, labels="").startswith("labels='': expected a path")
    with pytest.raises(ValueError, match="expected a file or a folder, .* got an empty path"):
        expanded("")
