"""Files of series to predict: with labels, which are ignored, and without."""

import numpy as np
import pytest

from resnet_jax.formats.series.unlabelled import read_unlabelled

TS = "@univariate true\n@classLabel {}\n@data\n{}\n"


def values_of(contents):
    return [one[:, 0].tolist() for one in contents.series]


@pytest.mark.parametrize(
    ("text", "expected", "is_labelled"),
    [
        ("1,0.5,0.25\n2,1.5,1.25\n", [[0.5, 0.25], [1.5, 1.25]], True),
        ("0.5,0.25\n1.5,1.25\n", [[0.5, 0.25], [1.5, 1.25]], False),
        ("cat,0.5,0.25\ndog,1.5,1.25\n", [[0.5, 0.25], [1.5, 1.25]], True),  # no names of classes, and no numbers
        ("label,a,b\n7,0.5,0.25\n", [[0.5, 0.25]], False),
        ("a,b,c\n1,0.5,0.25\n", [[1, 0.5, 0.25]], False),
        ("0.5,0.25,\n1.5,,nan\n", [[0.5, 0.25], [1.5]], False),
    ],
)
def test_a_table_has_labels_where_every_line_begins_with_one(tmp_path, text, expected, is_labelled):
    (tmp_path / "set.csv").write_text(text)
    contents = read_unlabelled(tmp_path / "set.csv", ("1", "2"))
    assert values_of(contents) == expected
    assert ("the first cell of each line is taken as its label" in contents.note) == is_labelled
    assert contents.places[0] == f"line {1 + text[0].isalpha() * (not text.startswith('cat'))}"


def test_lines_with_and_without_a_label_are_refused(tmp_path):
    (tmp_path / "set.tsv").write_text("1\t0.5\n0.25\t0.5\n")
    with pytest.raises(ValueError, match=r"set.tsv, line 2: expected one of 1, 2, as in other lines, got '0.25'; or"):
        read_unlabelled(tmp_path / "set.tsv", ("1", "2"))
    contents = read_unlabelled(tmp_path / "set.tsv")  # numbers are predicted: the first is one
    assert values_of(contents) == [[0.5], [0.5]] and "taken as its label" in contents.note
    (tmp_path / "set.tsv").write_text("0.1\t0.5\n0.25\n")
    with pytest.raises(ValueError, match=r"set.tsv, line 2: expected 2 cells, as in the first line, got 1"):
        read_unlabelled(tmp_path / "set.tsv", ("1", "2"))


def test_ts_files_may_have_any_labels_or_none(tmp_path):
    for header, line in (("false", "0.5,0.25"), ("true other", "0.5,0.25:other")):
        (tmp_path / "set.ts").write_text(TS.format(header, line))
        contents = read_unlabelled(tmp_path / "set.ts", ("1", "2"))
        assert values_of(contents) == [[0.5, 0.25]] and contents.places == ["line 4"] and contents.note == ""
    (tmp_path / "set.ts").write_text("@dimensions 2\n@classLabel false\n@data\n1,2:3,4\n")
    assert read_unlabelled(tmp_path / "set.ts").series[0].tolist() == [[1, 3], [2, 4]]


def test_archives_have_an_array_x(tmp_path):
    x = np.arange(12.0).reshape(2, 3, 2)
    np.savez(tmp_path / "set.npz", x=x, y=np.zeros(2))
    contents = read_unlabelled(tmp_path / "set.npz", ("1",))
    assert contents.places == ["series 0 of x", "series 1 of x"]
    np.testing.assert_array_equal(np.stack(contents.series), x)
    np.savez(tmp_path / "set.npz", mine=x[..., 0])
    assert read_unlabelled(tmp_path / "set.npz").series[1].tolist() == [[6], [8], [10]]
    np.savez(tmp_path / "set.npz", x_test=x, x_train=x)
    with pytest.raises(ValueError, match="expected an array x of series to predict, got x_test, x_train"):
        read_unlabelled(tmp_path / "set.npz")


def test_missing_values_stay_or_are_interpolated(tmp_path):
    (tmp_path / "set.csv").write_text("0.5,nan,1.5\n")
    assert np.isnan(read_unlabelled(tmp_path / "set.csv", ("1",)).series[0][1, 0])
    assert values_of(read_unlabelled(tmp_path / "set.csv", ("1",), "linear")) == [[0.5, 1.0, 1.5]]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "set.csv").write_text("label,a\n")
    for name, message in (
        ("set.csv", "expected series, got none"),
        ("photo.png", "is no file of series; expected a file"),
    ):
        with pytest.raises(ValueError, match=message):
            read_unlabelled(tmp_path / name, ("1",))
