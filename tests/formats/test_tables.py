"""Files of labels as rows and columns."""

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import open_all, pictures, refused, write

from resnet_jax.formats.file_kinds import IMAGE_FILES
from resnet_jax.formats.tables import LABEL_COLUMNS, SPLIT_COLUMNS, matching


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


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([".csv", ".tsv", ".jsonl"]), st.integers(0, 60), st.binary(max_size=9), st.integers(0, 9))
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path_factory, suffix, place, new, cut):
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


@pytest.mark.parametrize("text", ['["cat", "dog"', "['cat', 'dog']", "[1, 2"])
def test_a_broken_list_is_no_class(tmp_path, text):
    pictures(tmp_path, "a.png")
    write(tmp_path / "metadata.tsv", f"file_name\tlabel\na.png\t{quoted(text)}\n")
    message = refused(tmp_path, label_kind="multi-hot")
    assert f"metadata.tsv, line 2: expected a JSON list, got {text!r}" in message
    write(tmp_path / "metadata.tsv", "file_name\tlabel\na.png\t[unknown];cat\n")
    assert open_all(tmp_path, label_kind="multi-hot").examples("train").classes == ("[unknown]", "cat")


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


def test_the_usual_columns_are_chosen_whatever_their_spelling():
    assert matching(["Image Path", "n", "Category"], LABEL_COLUMNS) == "Category"
    assert matching(["Image Path", "n", "Category"], IMAGE_FILES.usual_columns) == "Image Path"
    assert matching(["CLASS_NAME", "label"], LABEL_COLUMNS) == "label"  # the first of the usual ones
    assert matching(["n"], LABEL_COLUMNS) is None


PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_page_lists_the_usual_columns():
    for row, names in (("images", IMAGE_FILES.usual_columns), ("labels", LABEL_COLUMNS), ("splits", SPLIT_COLUMNS)):
        assert f"| {row} | {', '.join(f'`{name}`' for name in names.split())} |" in PAGE.read_text()


@pytest.mark.parametrize(
    "sample, options, classes, labels",
    [
        (0, {}, ("cat", "dog"), [0, 1]),
        (1, {"label_kind": "multi-hot"}, ("beach", "sunset"), [[1, 1], [0, 0], [0, 1]]),
        (2, {"label_kind": "multi-hot", "label_column": ("beach", "sunset")}, None, [[1, 1], [0, 0], [0, 1]]),
        (3, {"label_kind": "targets", "label_column": ("age", "weight")}, None, [[3, 4.5], [11, 30.25], [7, 21]]),
    ],
)
def test_the_samples_of_the_page_are_read(tmp_path, sample, options, classes, labels):
    text = re.findall(r"```csv\n(.*?)```", PAGE.read_text(), re.DOTALL)[sample]
    write(pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg") / "metadata.csv", text)
    train = open_all(tmp_path, **options).examples("train")
    assert train.classes == (classes or options["label_column"]) and train.labels.tolist() == labels
