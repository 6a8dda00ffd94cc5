"""Folders, tables and plain texts become sources of UTF-8 with names; what is broken is named by file and line."""

import json
import re

import numpy as np
import pytest

from resnet_jax.data.sources.held_out import default_splits
from resnet_jax.formats.texts import open_texts


def write(folder, **files):
    """Writes files; "__" in a name stands for a folder, "_" before the last word for a dot."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / f"{stem.replace('__', '/')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def texts(source):
    return [(source[i][0].decode(), source[i][1]) for i in range(len(source))]


def refused(message, path, **options):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        open_texts(path, **options)


def test_folders_of_classes(tmp_path):
    write(tmp_path, neg__b_txt="\ufeffbad", neg__deep__a_txt="worse", pos__c_txt="good\n", pos__note_md="no text")
    dataset = open_texts(tmp_path)
    source = dataset.examples("train")
    assert source.classes == ("neg", "pos")
    assert texts(source) == [("bad", 0), ("worse", 0), ("good\n", 1)]
    names = ("neg/b.txt", "neg/deep/a.txt", "pos/c.txt")
    assert [source.name(i) for i in range(3)] == [f"{tmp_path}, {name}" for name in names]
    assert sum(len(dataset.examples(part)) for part in ("train[held-out]", "train[training]")) == 3


def test_folders_of_classes_in_folders_of_splits(tmp_path):
    write(tmp_path, train__neg__a_txt="a", train__pos__b_txt="b", test__pos__c_txt="c", more_csv="x,y\n")
    dataset = open_texts(tmp_path)
    assert dataset.splits == {"train": 2, "test": 1}
    assert texts(dataset.examples("test")) == [("c", 1)]
    assert default_splits(dataset, "train", None) == ("train", "test")
    assert open_texts(tmp_path, classes=("train", "test")).examples("train").classes == ("test", "train")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a__x_txt": "x"}, "{}: expected a folder of .txt files for each of two or more classes, got one, 'a'"),
        ({"a__x_md": "x"}, "{}: expected a folder of .txt files for each of two or more classes, got none"),
        ({"a__x_txt": "x", "b__y_txt": b"ab\ncd\n\xff"}, "{}/b/y.txt, line 3: expected UTF-8, got byte 0xff"),
        (
            {"a__x_txt": " \n", "b__y_txt": "y"},
            "{}, a/x.txt: expected a text, got none; go without: skip_unreadable=True",
        ),
        ({"test__a__x_txt": "x"}, "{} has the splits test, but none to train on; expected a folder train"),
        (
            {"train__a__x_txt": "x", "train__b__x_txt": "x", "test__c__x_txt": "x"},
            "{}, test: classes that training lacks: c",
        ),
    ],
)
def test_folders_that_are_no_set_are_refused(tmp_path, files, message):
    refused(message.format(tmp_path), write(tmp_path, **files))


def test_broken_and_empty_files_are_skipped_where_this_is_asked_for(tmp_path):
    write(tmp_path, a__x_txt="x", a__y_txt=b"\xff", b__y_txt=" ", b__z_txt="z")
    dataset = open_texts(tmp_path, skip_unreadable=True)
    assert texts(dataset.examples("train")) == [("x", 0), ("z", 1)]
    assert dataset.notes == ("2 files of 'train' are skipped",)


ROWS = [("good, really", "pos"), ('a "bad" one', "neg"), ("na\u00efve", "neg")]
TABLES = {
    "csv": 'text,label\n"good, really",pos\n"a ""bad"" one",neg\nnai\u0308ve,neg\n',
    "tsv": 'label\tsentence\npos\tgood, really\n\nneg\ta "bad" one\n"neg"\t"na\u00efve"\r\n',
    "jsonl": "\n".join(json.dumps({"review": text, "category": label}) for text, label in ROWS),
}


@pytest.mark.parametrize("suffix", TABLES)
def test_tables_by_usual_names_of_columns(tmp_path, suffix):
    write(tmp_path, **{f"reviews_{suffix}": TABLES[suffix]})
    for path in (tmp_path, tmp_path / f"reviews.{suffix}"):
        source = open_texts(path).examples("train")
        assert source.classes == ("neg", "pos")
        assert texts(source) == [(text, int(label == "pos")) for text, label in ROWS]
    lines = {"csv": [2, 3, 4], "tsv": [2, 4, 5], "jsonl": [1, 2, 3]}[suffix]
    assert [source.name(i) for i in range(3)] == [f"{tmp_path}/reviews.{suffix}, line {line}" for line in lines]


def test_a_text_of_a_table_may_be_long(tmp_path):
    file = write(tmp_path, a_csv=f"text,label\n{'x' * 200_000},a\ny,b\n") / "a.csv"
    assert len(open_texts(file).examples("train")[0][0]) == 200_000


def test_quotes_inside_a_cell_of_a_tsv_are_letters(tmp_path):
    write(tmp_path, a_tsv='text\tlabel\n"open\tx\nclosed"\ty\n"both" and "both"\ty\n"a ""b"""\tx\n')
    assert [text for text, _ in texts(open_texts(tmp_path / "a.tsv").examples("train"))] == [
        '"open', 'closed"', '"both" and "both"', 'a "b"'
    ]  # fmt: skip


AG_NEWS = '"3","Wall St.","Short-sellers\nare back"\n"4","Chips","A ""new"" one"\n"3","Oil",""\n'


@pytest.mark.parametrize("column", ["2,3", ("2", "3")])
def test_columns_have_numbers_where_the_first_line_is_a_row(tmp_path, column):
    write(tmp_path, train_csv=AG_NEWS, test_csv='"4","Mars","Red"\n', classes_txt="World\nSports\n")
    dataset = open_texts(tmp_path, label_column="1", text_column=column)
    train = dataset.examples("train")
    assert train.classes == ("3", "4")
    assert [text for text, _ in texts(train)] == ["Wall St.\nShort-sellers\nare back", 'Chips\nA "new" one', "Oil"]
    assert texts(dataset.examples("test")) == [("Mars\nRed", 1)]
    assert train.name(1) == f"{tmp_path}/train.csv, line 3"


def test_splits_in_a_column(tmp_path):
    write(tmp_path, a_csv="text,label,split\nx,1,train\ny,0,train\nz,0,dev\nw,-1,test\n")
    dataset = open_texts(tmp_path / "a.csv")
    assert dataset.splits == {"train": 2, "validation": 1}
    assert dataset.unlabelled == {"test": f"{tmp_path}/a.csv has no labels of 'test'"}
    assert dataset.notes[0] == "a.csv: texts from 'text', labels from 'label', splits from 'split'"


def test_several_classes_per_text_and_numbers(tmp_path):
    write(tmp_path, a_csv="text,label,stars,funny,sad\nx,a;b,4.5,1,0\ny,b,2,0,1\n")
    file = tmp_path / "a.csv"
    several = open_texts(file, label_kind="multi-hot").examples("train")
    assert (several.classes, several.labels.tolist()) == (("a", "b"), [[1, 1], [0, 1]])
    columns = open_texts(file, label_kind="multi-hot", label_column=("funny", "sad")).examples("train")
    assert (columns.classes, columns.labels.tolist()) == (("funny", "sad"), [[1, 0], [0, 1]])
    targets = open_texts(file, label_kind="targets", label_column="stars").examples("train")
    assert (targets.classes, targets.labels.tolist()) == (("stars",), [[4.5], [2.0]])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("text,label\nx,a\n ,b\n", {}, ", line 3: expected a text, got none; go without: skip_unreadable=True"),
        ("text,label\nx,a\ny,\nz,b\n", {}, ", line 3: the text has no label"),
        ("text,label\nx,a\ny,a\n", {}, ": expected two or more classes in 'label', got one, 'a'"),
        ("text,label\nx,a\ny\n", {}, ", line 3: 1 values for 2 columns"),
        (b"text,label\nx,a\n\xe9,b\n", {}, ", line 3: expected UTF-8, got byte 0xe9"),
        ("text,label\n", {}, " has no rows"),
        ("", {}, " is empty; expected a first line with the names of columns"),
        (
            "a,b\nx,y\n",
            {},
            " has the columns a, b, none of them known for texts; name it: text_column='NAME'; columns have numbers "
            "where the first line is a text, as '1'",
        ),
        (
            "a,b\nx,y\n",
            {"text_column": "a"},
            " has the columns a, b, none of them known for labels; name it: label_column='NAME'; columns have numbers "
            "where the first line is a text, as '1'",
        ),
        ("text,label\nx,a\ny,b\n", {"text_column": "txt"}, " has no column 'txt'; did you mean text?"),
        ("x,a\ny,b\n", {"text_column": "1", "label_column": "3"}, " has no column '1'; expected x or a"),
        (
            "text,label\nx,a\ny,b\n",
            {"text_column": "1", "label_column": "2"},
            ", line 1: columns 2, 1: expected names, as the first line has them, such as 'label'",
        ),
        ("text,y\nx,a\ny,b\n", {"label_column": "text", "text_column": "text"},
         ": column 'text' cannot have both texts and labels"),
        ('text,label\n"x,a\ny,b\n', {},
         ", behind line 1: cannot be read: unexpected end of data; a quote inside quotes is written twice"),
        ("text,label,split\nx,a,dev\n", {}, ": column 'split' has validation; expected train, and test or val"),
    ],
)  # fmt: skip
def test_tables_that_are_no_set_are_refused(tmp_path, text, options, message):
    refused(f"{tmp_path}/a.csv{message}", write(tmp_path, a_csv=text) / "a.csv", **options)


def test_a_test_file_with_another_class_or_other_columns_is_refused(tmp_path):
    write(tmp_path, train_csv="text,label\nx,a\ny,b\n", test_csv="text,label\nz,c\n")
    message = "line 2: the text of 'test' has the class 'c', which no text of 'train' has"
    refused(f"{tmp_path}/test.csv, {message}", tmp_path)
    write(tmp_path, test_csv="label,words\nz,c\n")
    with pytest.raises(ValueError, match=r"test\.csv has the columns label, words, none of them known for texts"):
        open_texts(tmp_path)


def test_empty_texts_of_a_table_are_skipped_where_this_is_asked_for(tmp_path):
    write(tmp_path, a_csv="text,label\nx,a\n ,b\ny,b\n")
    dataset = open_texts(tmp_path / "a.csv", skip_unreadable=True)
    assert texts(dataset.examples("train")) == [("x", 0), ("y", 1)]
    assert dataset.notes[1:] == ("1 empty text of 'train' skipped",)


def test_plain_text_is_cut_by_position(tmp_path):
    write(tmp_path, bible_txt="".join(f"line {i}\r\n" for i in range(10)) + "\nlast")
    dataset = open_texts(tmp_path / "bible.txt", label_kind="next-token")
    first, rest = dataset.examples("train[:50%]"), dataset.examples("train[50%:]")
    assert [x.decode() for x in (*first.images, *rest.images)] == [*(f"line {i}\n" for i in range(10)), "\n", "last\n"]
    assert (len(first), rest.name(0)) == (6, f"{tmp_path}/bible.txt, line 7")
    assert default_splits(dataset, "train", None) == ("train[:80%]", "train[80%:]")


def test_plain_texts_in_files_of_splits_and_in_several_files(tmp_path):
    write(tmp_path, **{"wiki.train_tokens": "a\n", "wiki.valid_tokens": "b\nc\n", "wiki.test_tokens": "d\n"})
    dataset = open_texts(tmp_path, label_kind="next-token")
    assert dataset.splits == {"train": 1, "test": 1, "valid": 2}
    write(tmp_path / "books", two_txt="2\n", one_txt="1\n", deep__three_txt="3")
    books = open_texts(tmp_path / "books", label_kind="next-token").examples("train")
    assert b"".join(books.images) == b"3\n1\n2\n"
    assert books.name(1) == f"{tmp_path}/books, one.txt, line 1"


def test_a_long_line_is_several_items(tmp_path):
    line = "word " * 2000 + "x" * 5000
    write(tmp_path, a_txt=line)
    source = open_texts(tmp_path / "a.txt", label_kind="next-token").examples("train")
    assert b"".join(source.images).decode() == line + "\n"
    assert max(map(len, source.images)) <= 4096
    assert source.images[0].endswith(b"word ")
    assert source.name(1) == f"{tmp_path}/a.txt, line 1, part 2"


def test_tables_of_language_models_need_no_labels(tmp_path):
    write(tmp_path, a_csv="id,text\n1,first\n2,second\n")
    dataset = open_texts(tmp_path / "a.csv", label_kind="next-token")
    assert dataset.fixed
    assert texts(dataset.examples("train[:50%]")) == [("first", 0)]


def test_what_is_no_set_of_texts_is_refused(tmp_path):
    write(tmp_path, a_txt="x", empty_txt=" \n", other_csv="text,label\nx,a\ny,b\n", again_csv="text,label\n")
    with pytest.raises(FileNotFoundError, match=r"^no file or folder '.*nothing'; expected a folder of \.txt files"):
        open_texts(tmp_path / "nothing")
    kinds = "'class', 'multi-hot', 'targets' or 'next-token'"
    refused(f"{tmp_path}: texts have labels of kind {kinds}, got 'pixels'", tmp_path, label_kind="pixels")
    file = tmp_path / "a.txt"
    with pytest.raises(ValueError, match=r"a\.txt has no labels of kind 'class'; expected a folder of \.txt files"):
        open_texts(file)
    with pytest.raises(ValueError, match=r"a\.txt has no labels of kind 'targets'; expected a file \.csv, \.tsv or"):
        open_texts(file, label_kind="targets")
    message = "label_column='x': language models predict the text itself; expected no column"
    refused(message, file, label_kind="next-token", label_column="x")
    refused(f"text_column='x' is for .csv, .tsv, .jsonl or .parquet, got {file}", file, text_column="x")
    refused(f"{tmp_path}/empty.txt: there is no text", tmp_path / "empty.txt", label_kind="next-token")
    refused(f"{tmp_path} has again.csv, other.csv, but none to train on; expected train.csv, or one file", tmp_path)
    (tmp_path / "bare").mkdir()
    message = f"{tmp_path}/bare has no text; expected train.txt, or .txt files"
    refused(message, tmp_path / "bare", label_kind="next-token")
    write(tmp_path / "twice", train_csv="text,label\n", train_tsv="text\tlabel\n")
    refused(f"{tmp_path}/twice has several files of one name: train.csv, train.tsv", tmp_path / "twice")


def test_labels_are_served_as_other_sources_serve_them(tmp_path):
    write(tmp_path, a_csv="text,label\nx,1\ny,0\n")
    source = open_texts(tmp_path / "a.csv").examples("train")
    assert source.labels.dtype == np.int32
    assert source.take(np.array([1])).name(0) == f"{tmp_path}/a.csv, line 3"
    assert source.identity(np.arange(2), "contents").labels.tolist() == [1, 0]
