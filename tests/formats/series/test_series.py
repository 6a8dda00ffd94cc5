"""Sets of series in folders and files: every format, splits, lengths, missing values, and what is broken."""

import numpy as np
import pytest
from pictures import write

from resnet_jax.data.sources.held_out import default_splits
from resnet_jax.formats.series import open_series, open_series_dataset

TAGS = ("@problemName X", "@timeStamps false", "@missing false", "@univariate true", "@classLabel true b a")
HEADER = "\n".join(["# about", "% more", *TAGS, "@data", ""])
TS = {"x_TRAIN.ts": HEADER + "1,2,3:a\n4,5:b\n", "x_TEST.ts": HEADER + "6:b\n"}
TSV = {"x_TRAIN.tsv": "2\t1\t2\t3\n10\t4\t5\tNaN\n", "x_TEST.tsv": "10\t6\tNaN\tNaN\n"}
TXT = {
    "x_TRAIN.txt": "   2.0000000e+00   1.0   2.0   3.0\n  1.0000000e+01  4e0 5 NaN\n",
    "x_TEST.txt": "10 6 NaN nan\n",
    "x.txt": "About this set.\n",
}
CSV = {"x_TRAIN.csv": "t0,t1,t2,Label\n1,2,3,2\n4,5,,10\n", "x_TEST.csv": "t0,t1,t2,label\n6,,,10\n"}


def folder(path, files):
    for name, text in files.items():
        write(path / name, text)
    return path


@pytest.mark.parametrize(
    "files, classes", [(TS, ("b", "a")), (TSV, ("2", "10")), (TXT, ("2", "10")), (CSV, ("2", "10"))]
)
def test_splits_of_every_format(tmp_path, files, classes):
    data = open_series(folder(tmp_path / "x", files))
    train, test = data.splits["train"], data.splits["test"]
    assert list(data.splits) == ["train", "test"] and train.classes == test.classes == classes
    np.testing.assert_array_equal(train.values, np.array([[[1], [2], [3]], [[4], [5], [0]]], np.float32))
    assert train.values.dtype == np.float32 and train.lengths.dtype == train.labels.dtype == np.int32
    assert train.lengths.tolist() == [3, 2] and test.lengths.tolist() == [1] and test.values.shape == (1, 1, 1)
    expected = [1, 0] if files is TS else [0, 1]
    assert train.labels.tolist() == expected and test.labels.tolist() == expected[1:]
    values, label = train[1]
    assert values.tolist() == [[4], [5]] and label == expected[1] and len(train) == 2


def test_numpy_archives(tmp_path):
    x = np.arange(24.0).reshape(3, 4, 2)
    x[1, 2:] = np.nan
    labels = np.array(["up", "down", "up"])
    np.savez(tmp_path / "set.npz", X_train=x, y_train=labels, X_test=x[:1], y_test=labels[:1, None])
    for path in (tmp_path, tmp_path / "set.npz"):
        data = open_series(path)
        train, test = data.splits["train"], data.splits["test"]
        assert train.classes == test.classes == ("down", "up")
        assert train.labels.tolist() == [1, 0, 1] and test.labels.tolist() == [1]
        assert train.lengths.tolist() == [4, 2, 4] and test.lengths.tolist() == [4]
        np.testing.assert_array_equal(train.values, np.nan_to_num(x).astype(np.float32))
        assert train.name(1) == f"{tmp_path / 'set.npz'}, series 1 of X_train"
    np.savez(tmp_path / "set.npz", x=x[..., 0], y=[1.0, 2.0, 1.0])
    train = open_series(tmp_path).splits["train"]
    assert train.values.shape == (3, 4, 1) and train.classes == ("1", "2")


def test_several_channels(tmp_path):
    header = HEADER.replace("@univariate true", "@univariate false\n@dimensions 2")
    file = write(tmp_path / "x.ts", header + "1,2:3,4:a\n5:6:b\n")
    train = open_series(file).splits["train"]
    np.testing.assert_array_equal(train.values, np.array([[[1, 3], [2, 4]], [[5, 6], [0, 0]]], np.float32))
    assert train.name(1) == f"{file}, line 11"


def test_numbers_to_predict(tmp_path):
    header = "@timestamps false\n@univariate true\n@equalLength true\n@targetlabel true\n@data\n"
    train = open_series(write(tmp_path / "x.ts", header + "1,2:0.5\n3,4:-7\n"), label_kind="targets").splits["train"]
    assert train.labels.dtype == np.float32 and train.labels.tolist() == [[0.5], [-7]] and train.classes == ("target",)
    values, target = train[0]
    assert values.tolist() == [[1], [2]] and target.tolist() == [0.5]
    with pytest.raises(ValueError, match="has numbers to predict .*; expected label_kind='targets'"):
        open_series(tmp_path / "x.ts")
    for text in ("1,2:high\n", "1,2:inf\n"):
        write(tmp_path / "x.ts", header + text)
        with pytest.raises(ValueError, match="line 6: expected a finite number as target, got '(high|inf)'"):
            open_series(tmp_path / "x.ts", label_kind="targets")


def test_missing_values(tmp_path):
    file = write(tmp_path / "x.ts", HEADER + "1,2:a\n?,1,?,?,4,?:b\n")
    with pytest.raises(ValueError, match="line 10: value 1 is missing; missing='linear' interpolates"):
        open_series(file)
    values, _ = open_series(file, missing="linear").splits["train"][1]
    np.testing.assert_allclose(values[:, 0], [1, 1, 2, 3, 4], rtol=1e-6)
    several = HEADER.replace("@univariate true", "@univariate false")
    write(file, several + "1,2:3,?:a\n")
    with pytest.raises(ValueError, match="line 9: value 2 of channel 2 is missing"):
        open_series(file)
    assert open_series(file, missing="linear").splits["train"].values.tolist() == [[[1, 3], [2, 3]]]
    write(file, several + "1,2:?,?:a\n")
    with pytest.raises(ValueError, match="line 9: channel 2 has no values"):
        open_series(file, missing="linear")
    write(file, HEADER + "?,?:a\n")
    with pytest.raises(ValueError, match="line 9: expected a series with values, got none"):
        open_series(file, missing="linear")


@pytest.mark.parametrize(
    "text, message",
    [
        ("1,2:a\n3,4", "line 10: expected values, a colon and a label, got a line without a label; it may be cut off"),
        ("1,2:a\n3,4:", "line 10: expected values, a colon and a label"),
        ("1,2:c\n", "line 9: class 'c' is not in @classLabel; expected b or a"),
        ("1,2:3,4:a\n", "line 9: expected 1 channels, got 2"),
        ("1,x:a\n", "line 9: expected a number as value 2, got 'x'"),
        ("1,inf:a\n", "line 9: value 2 is inf; expected a finite number"),
        ("1,2:a\n3,1e99:a\n", "line 10: expected finite values of float32"),
        ("", "expected series, got none"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_broken_lines_are_named(tmp_path, text, message):
    file = write(tmp_path / "x.ts", HEADER + text)
    with pytest.raises(ValueError, match=message) as error:
        open_series(file)
    assert str(error.value).startswith(str(file)) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("@data", "", "line 9: expected @NAME VALUE or @data, got '1,2:a'"),
        ("@timeStamps false", "@timeStamps true", "expected @timeStamps false, got true"),
        ("@timeStamps false", "@timeStamps", "expected true or false behind @timestamps, got nothing"),
        ("@classLabel true b a", "", "expected @classLabel true or @targetLabel true, got neither"),
        ("@classLabel true b a", "@classLabel true a a", "expected each class of @classLabel once, got a a"),
        ("@univariate true", "@univariate yes", "expected true or false behind @univariate, got yes"),
        ("@univariate true", "@dimensions two", "expected a number of at least 1 behind @dimensions, got 'two'"),
        (
            "@data",
            "@equalLength true\n@seriesLength 3\n@data",
            r"line 11: expected 3 values \(@equalLength true\), got 2",
        ),
        ("@data", "@equalLength true\n@data", r"line 11: expected 2 values \(@equalLength true\), got 1"),
    ],
)
def test_headers_are_checked(tmp_path, old, new, message):
    file = write(tmp_path / "x.ts", HEADER.replace(old, new) + "1,2:a\n1:b\n")
    with pytest.raises(ValueError, match=message):
        open_series(file)


def test_channels_of_different_lengths_and_labels_of_other_kinds(tmp_path):
    file = write(tmp_path / "x.ts", HEADER.replace("@univariate true", "@univariate false") + "1,2:3:a\n")
    with pytest.raises(ValueError, match="line 9: expected channels of one length, got 1, 2 values"):
        open_series(file)
    with pytest.raises(ValueError, match="has classes .*; expected label_kind='class'"):
        open_series(file, label_kind="targets")
    write(file, "@univariate true\n")
    with pytest.raises(ValueError, match="expected a line @data before the series, got none"):
        open_series(file)


@pytest.mark.parametrize(
    "name, text, message",
    [
        (
            "x.tsv",
            "1\t2\t3\n2\t3\n",
            "line 2: expected 3 cells, as in the first line, got 2; a shorter series ends with",
        ),
        ("x.tsv", "1\t2\t3\n\t3\t4\n", "line 2: expected a class, got none"),
        ("x.csv", "label,t0,t1\na,1,2\nb,1,x\n", "line 3: expected a number as value 2, got 'x'"),
        ("x.csv", "t0,t1,which\n1,2,a\n", "the first line has the names t0, t1, which, none of them known for labels"),
        ("x.csv", "0,1,2\n1,5,6\n", "the first line counts 0, 1, ... 2, as names of columns do"),
        ("x.txt", "1\n2\n", "expected a label and values in each line, got one cell: '1'"),
        ("x.txt", "\n\n", "expected series, got none"),
        ("x.csv", "label,t0\n", "expected series, got none"),
    ],
)
def test_broken_tables_are_named(tmp_path, name, text, message):
    file = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=message) as error:
        open_series(file)
    assert str(error.value).startswith(str(file))


def test_tables_with_names_and_without(tmp_path):
    named = write(tmp_path / "x.csv", 'which;t0;t1\n"b";1;2\na;3;4\n')
    train = open_series(named, label_column="which").splits["train"]
    assert train.classes == ("a", "b") and train.labels.tolist() == [1, 0] and train.values.shape == (2, 2, 1)
    with pytest.raises(ValueError, match="has no column 'wich'; did you mean which"):
        open_series(named, label_column="wich")
    plain = write(tmp_path / "y.csv", "up,1,2\ndown,3,4\n")
    assert open_series(plain).splits["train"].classes == ("down", "up")
    with pytest.raises(ValueError, match="has no column 'label'"):
        open_series(plain, label_column="label")
    numbers = write(tmp_path / "z.txt", "-1.0 5\n1.0 6\n")
    assert open_series(numbers).splits["train"].classes == ("-1", "1")
    with pytest.raises(ValueError, match="label_column='y' is for .tsv, .csv or .txt, got"):
        open_series(write(tmp_path / "x.ts", HEADER + "1:a\n"), label_column="y")


@pytest.mark.parametrize(
    "test, message",
    [
        (HEADER.replace("b a", "b a c") + "6:c\n", "line 9: class 'c'; expected one of training: b, a"),
        (HEADER.replace("@univariate true", "") + "6:7:b\n", "line 9: expected 1 channels, as in training, got 2"),
    ],
)
def test_test_series_are_like_the_training_series(tmp_path, test, message):
    path = folder(tmp_path / "x", TS | {"x_TEST.ts": test})
    with pytest.raises(ValueError, match=message):
        open_series(path)


def test_folders(tmp_path):
    data = open_series(folder(tmp_path / "several", TS | TSV))
    assert data.splits["train"].classes == ("b", "a") and data.notes == ("not read: x_TEST.tsv, x_TRAIN.tsv",)
    with pytest.raises(ValueError, match="x_TRAIN and y_TRAIN both name the split 'train'"):
        open_series(folder(tmp_path / "two", TS | {"y_TRAIN.ts": TS["x_TRAIN.ts"]}))
    with pytest.raises(ValueError, match="has no training series; expected a file .ts.*did you mean .*/several"):
        open_series(tmp_path)
    with pytest.raises(ValueError, match="has no training series"):
        open_series(folder(tmp_path / "test", {"x_TEST.ts": TS["x_TEST.ts"]}))
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        open_series(tmp_path / "nothing")
    with pytest.raises(ValueError, match="x.arff is no file of series"):
        open_series(write(tmp_path / "x.arff", ""))


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "x.ts").write_bytes(b"@data\n\xff\xfe1,2:a\n")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        open_series(tmp_path / "x.ts")
    (tmp_path / "x.tsv").mkdir()
    with pytest.raises(ValueError, match="has no training series"):
        open_series(tmp_path / "x.tsv")
    write(tmp_path / "x.npz", "text")
    with pytest.raises(ValueError, match="x.npz"):
        open_series(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": np.zeros(3), "y": np.zeros(3)}, r"x: expected numbers \[n, L\] or \[n, L, C\], got float64 \[3\]"),
        ({"x": np.array([["a"]]), "y": [0]}, r"x: expected numbers \[n, L\] or \[n, L, C\], got <U1 \[1, 1\]"),
        ({"x": np.zeros((3, 4)), "y": np.zeros(2)}, r"y: expected 3 labels, one per series of x, got \[2\]"),
        ({"x": np.full((1, 3), np.nan), "y": [0]}, "series 0 of x: expected a series with values, got none"),
        ({"x": np.array([[1.0, np.inf]]), "y": [0]}, "series 0 of x: expected finite values"),
    ],
)
def test_arrays_that_are_no_series(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        open_series(tmp_path / "x.npz")


def test_a_dataset_for_runs(tmp_path):
    data = open_series_dataset(folder(tmp_path / "x", TS))
    assert (
        data.splits == {"train": 2, "test": 1}
        and not data.fixed
        and default_splits(data, "train", None)
        == (
            "train",
            "test",
        )
    )
    train, test = data.examples("train"), data.examples("test")
    assert train.classes == test.classes == ("b", "a") and [train[i][1] for i in range(2)] == [1, 0]
    assert [train[i][0].tolist() for i in range(2)] == [[[1], [2], [3]], [[4], [5]]]
    assert train[1][0].dtype == np.float32 and test[0][0].tolist() == [[6]] and test[0][1] == 0
    assert train.name(1) == f"{tmp_path / 'x' / 'x_TRAIN.ts'}, line 10"
    both = data.examples("test+train")
    assert both.name(2) == train.name(1) and both[2][0].tolist() == train[1][0].tolist()


def test_parts_of_a_dataset(tmp_path):
    rows = "".join(f"{n % 2},{n},{n + 0.5}\n" for n in range(40))
    file = write(tmp_path / "x.csv", "label,t0,t1\n" + rows)
    data = open_series_dataset(file)
    assert default_splits(data, "train", None) == ("train[training]", "train[held-out]")
    parts = [data.examples(f"train[{part}]") for part in ("training", "held-out")]
    assert sum(map(len, parts)) == 40 and 4 <= len(parts[1]) <= 14
    for part in (*parts, data.examples("train[:25%]")):
        assert set(part.labels.tolist()) == {0, 1}
        for i in range(len(part)):
            values, label = part[i]
            assert part.name(i) == f"{file}, line {int(values[0, 0]) + 2}" and label == int(values[0, 0]) % 2
    reordered = "".join(reversed(rows.splitlines(keepends=True)))
    other = open_series_dataset(write(tmp_path / "y.csv", "label,t0,t1\n" + reordered)).examples("train[held-out]")
    first = [sorted(part[i][0][0, 0] for i in range(len(part))) for part in (parts[1], other)]
    assert first[0] == first[1]


def test_labels_and_missing_values_of_a_dataset(tmp_path):
    file = write(tmp_path / "x.csv", "price,t0,t1,t2\n0.5,1,,3\n2,4,5,6\n")
    with pytest.raises(ValueError, match="line 2: value 2 is missing"):
        open_series_dataset(file, label_kind="targets", label_column="price")
    for column in ("price", ("price",)):
        data = open_series_dataset(file, label_kind="targets", label_column=column, missing="linear")
        train = data.examples("train")
        assert train.labels.tolist() == [[0.5], [2]] and train[0][0].tolist() == [[1], [2], [3]]
    for kind in ("multi-hot", "boxes"):
        with pytest.raises(ValueError, match=f"x.csv: series have one label each; expected .* got '{kind}'"):
            open_series_dataset(file, label_kind=kind)
    with pytest.raises(ValueError, match="label_column=.*: expected one column"):
        open_series_dataset(file, label_kind="targets", label_column=("price", "t0"))
    data = open_series_dataset(folder(tmp_path / "two", TS | TSV))
    assert data.notes == ("not read: x_TEST.tsv, x_TRAIN.tsv",)
