"""Several classes per image, targets and transcripts, from every format that can hold them; what is refused."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import pictures
from PIL import Image

from resnet_jax.data.loading.samplers import check_balance
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.label_kinds import (
    compact,
    count_in_words,
    label_codes,
    label_of,
    strata,
    transcript_ids,
    transcript_tokens,
)
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.subsets import RelabelledSource, identify, known_labels, select_classes
from resnet_jax.errors import DataError
from resnet_jax.formats import open_path

N = 10
IMAGES = np.arange(N * 16, dtype=np.uint8).reshape(N, 4, 4, 1)
MULTI_HOT = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]] * 2)
TARGETS = np.linspace(-1, 1, N)


def npz(path, **arrays):
    np.savez(path / "a.npz", **arrays)
    return path / "a.npz"


def table(path, name, text, columns=("a.png", "b.png", "c.png")):
    pictures(path, *columns)
    (path / name).write_text(text)
    return path


def png(value):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "png")
    return buffer.getvalue()


def parquet(path, **columns):
    pq.write_table(pa.table({"image": [png(n) for n in range(3)], **columns}), path / "a.parquet")
    return path / "a.parquet"


def labels(path, kind, split="train", **options):
    source = open_path(path, label_kind=kind, **options).examples(split)
    return source.classes, source.labels.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
def test_npz_of_several_classes_per_image(tmp_path, dtype):
    file = npz(tmp_path, images=IMAGES, labels=MULTI_HOT.astype(dtype), classes=np.array(["cat", "dog"]))
    assert labels(file, "multi-hot") == (("cat", "dog"), MULTI_HOT.tolist())


@pytest.mark.parametrize("values", [TARGETS, np.arange(N), np.stack([TARGETS, -TARGETS], 1)])
def test_npz_of_targets(tmp_path, values):
    names, rows = labels(npz(tmp_path, images=IMAGES, labels=values), "targets")
    assert names == (("target",) if values.ndim == 1 else ("target0", "target1"))
    np.testing.assert_array_equal(rows, values.reshape(N, -1).astype(np.float32))


@pytest.mark.parametrize("both, none", [("cat;dog", ""), ("cat|dog|", " "), ('"[""cat"", ""dog""]"', "[]")])
def test_one_column_of_class_names(tmp_path, both, none):
    table(tmp_path, "metadata.csv", f"file_name,label\na.png,{both}\nb.png,{none}\nc.png,dog\n")
    assert labels(tmp_path, "multi-hot") == (("cat", "dog"), [[1, 1], [0, 0], [0, 1]])


def test_lists_in_lines_of_json(tmp_path):
    rows = [("a.png", ["dog", "cat"]), ("b.png", []), ("c.png", ["dog"])]
    text = "\n".join(json.dumps({"file_name": name, "label": value}) for name, value in rows)
    table(tmp_path, "metadata.jsonl", text)
    assert labels(tmp_path, "multi-hot") == (("cat", "dog"), [[1, 1], [0, 0], [0, 1]])


def test_a_column_of_zero_and_one_per_class(tmp_path):
    table(tmp_path, "metadata.csv", "file_name,dog,cat\na.png,1,true\nb.png,0,0\nc.png,1.0,False\n")
    flags = labels(tmp_path, "multi-hot", label_column=("dog", "cat"))
    assert flags == (("dog", "cat"), [[1, 1], [0, 0], [1, 0]])


@pytest.mark.parametrize("flags", ["1 0 1", "Yes no True", "0.0 1.0 0.0", "1 1 1"])
def test_a_lone_column_of_flags_names_no_classes(tmp_path, flags):
    rows = "".join(f"{name}.png,{flag}\n" for name, flag in zip("abc", flags.split(), strict=True))
    table(tmp_path, "metadata.csv", f"file_name,sick\n{rows}")
    message = refused(tmp_path, "multi-hot", label_column="sick")
    assert "column 'sick' has " in message and " alone; expected names of classes; " in message
    assert labels(tmp_path, "class", label_column="sick")[0] == tuple(
        sorted({f.removesuffix(".0") for f in flags.split()})
    )


def test_numbers_are_written_as_numbers_are(tmp_path):
    table(tmp_path, "metadata.csv", "file_name,n\na.png,1_00\nb.png,2\nc.png,3\n")
    assert "column 'n': expected a number, got '1_00'" in refused(tmp_path, "targets", label_column="n")
    table(tmp_path, "metadata.csv", "file_name,n\na.png,1e300\nb.png,2\nc.png,3\n")
    assert "column 'n': expected a number, got '1e300'" in refused(tmp_path, "targets", label_column="n")


def test_complex_numbers_are_no_targets(tmp_path):
    assert "expected numbers [n] or [n, T]" in refused(npz(tmp_path, images=IMAGES, labels=TARGETS + 1j), "targets")


def test_columns_of_targets(tmp_path):
    table(tmp_path, "metadata.tsv", "file_name\tage\tweight\na.png\t3\t-1.5\nb.png\t4\t1e3\nc.png\t5\t.5\n")
    assert labels(tmp_path, "targets", label_column="age") == (("age",), [[3], [4], [5]])
    assert labels(tmp_path, "targets", label_column=("weight", "age"))[1] == [[-1.5, 3], [1000, 4], [0.5, 5]]


def test_parquet(tmp_path):
    lists = parquet(tmp_path, label=[["b"], [], ["a", "b"]])
    assert labels(lists, "multi-hot") == (("a", "b"), [[0, 1], [0, 0], [1, 1]])
    assert labels(parquet(tmp_path, label=[[1], [], [0, 1]]), "multi-hot")[1] == [[0, 1], [0, 0], [1, 1]]
    assert labels(parquet(tmp_path, label=[1.5, 2, 3]), "targets") == (("label",), [[1.5], [2], [3]])
    vectors = parquet(tmp_path, label=[[1.5, 2], [3, 4], [5, 6.0]])
    assert labels(vectors, "targets") == (("target0", "target1"), [[1.5, 2], [3, 4], [5, 6]])
    several = parquet(tmp_path, dog=[1, 0, 1], cat=[True, False, False])
    assert labels(several, "multi-hot", label_column=("dog", "cat"))[1] == [[1, 1], [0, 0], [1, 0]]


def test_classes_of_another_split_are_ordered_as_those_of_train(tmp_path):
    for split, text in (("train", "b;a\n1.png,a"), ("test", "b\n1.png,b")):
        table(tmp_path / split, "metadata.csv", f"file_name,label\n0.png,{text}\n", ("0.png", "1.png"))
    assert labels(tmp_path, "multi-hot") == (("a", "b"), [[1, 1], [1, 0]])
    assert labels(tmp_path, "multi-hot", "test") == (("a", "b"), [[0, 1], [0, 1]])


def refused(path, kind="class", **options):
    with pytest.raises(ValueError) as caught:
        open_path(path, label_kind=kind, **options).examples("train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_labels_of_another_kind_name_the_task_that_has_them(tmp_path):
    assert "; label_kind='targets' predicts numbers" in refused(npz(tmp_path, images=IMAGES, labels=TARGETS))
    assert "; label_kind='multi-hot' has several" in refused(npz(tmp_path, images=IMAGES, labels=MULTI_HOT))
    assert "; label_kind='targets' predicts numbers" in refused(parquet(tmp_path, label=[1.5, 2, 3]))
    assert "; label_kind='multi-hot' reads lists of classes" in refused(parquet(tmp_path, label=[["a"], [], ["b"]]))
    table(tmp_path / "csv", "metadata.csv", "file_name,label,n\na.png,1.5,1\nb.png,2.5,2\nc.png,3.5,x\n")
    assert "; label_kind='targets' predicts other numbers" in refused(tmp_path / "csv")
    assert "expected one column; label_kind='multi-hot' or label_kind='targets'" in refused(
        tmp_path / "csv", label_column=("label", "n")
    )
    assert "line 4: column 'n': expected a number, got 'x'" in refused(tmp_path / "csv", "targets", label_column="n")
    assert "line 2: column 'n': expected a number, got ''" in refused(
        table(tmp_path / "empty", "metadata.csv", "file_name,n\na.png,\n", ("a.png",)), "targets", label_column="n"
    )
    message = refused(tmp_path / "csv", "multi-hot", label_column=("n", "label"))
    assert "line 2: column 'label': expected 0 or 1, got '1.5'" in message
    pictures(tmp_path / "folders", "cat/1.png", "dog/2.png")
    assert "folders of classes are for label_kind='class'" in refused(tmp_path / "folders", "targets")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_targets_that_are_not_finite_are_named(tmp_path, value):
    message = refused(npz(tmp_path, images=IMAGES, labels=np.where(np.arange(N) == 3, value, TARGETS)), "targets")
    assert "expected finite targets" in message and "for image 3" in message


def dataset(rows):
    return StoredDataset("set", {"train": ArraySource(IMAGES, np.asarray(rows, np.float32), ("a", "b"), "x")})


def test_parts_of_a_split_hold_each_image_once():
    data = dataset(MULTI_HOT)
    for parts in (("train[training]", "train[held-out]"), ("train[:30%]", "train[30%:]")):
        assert sorted(np.concatenate([data.places(part)["train"] for part in parts])) == list(range(N))
    assert strata(MULTI_HOT).tolist() == [0] * N and strata(np.arange(3)).tolist() == [0, 1, 2]


def test_another_label_is_another_identity():
    changed = MULTI_HOT.copy()
    changed[4] = [0, 1]
    one, other = (identify(dataset(rows).examples("train"), "contents") for rows in (MULTI_HOT, changed))
    assert (one.labels != other.labels).nonzero()[0].tolist() == [4] and one.labels.min() >= 0
    assert label_codes(MULTI_HOT)[0] == label_codes(MULTI_HOT)[5]


def test_columns_follow_the_classes_of_a_net():
    source = RelabelledSource(dataset(MULTI_HOT).examples("train"), ("c", "b", "a"))
    assert known_labels(source)[1].tolist() == source[1][1].tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="unknown classes b; expected those of the net: a, c"):
        RelabelledSource(dataset(MULTI_HOT).examples("train"), ("a", "c"))


def test_classes_are_selected_only_where_each_image_has_one():
    with pytest.raises(
        ValueError, match=r"classes=\('a',\): expected one class per image, as label_kind='class' reads"
    ):
        select_classes(dataset(MULTI_HOT).examples("train"), ("a",), None)


def test_minus_one_is_a_target_like_others_and_nan_stands_for_none(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": TARGETS, "x_test": IMAGES}
    opened = open_path(npz(tmp_path, **arrays, y_test=np.full(N, -1)), label_kind="targets")
    assert opened.examples("test").labels.tolist() == [[-1]] * N
    opened = open_path(npz(tmp_path, **arrays, y_test=np.full(N, np.nan)), label_kind="targets")
    assert "y_test has no labels, it is NaN everywhere" in opened.notes[-1]
    for value, splits in {"-1": {"train", "test"}, "nan": {"train"}}.items():
        (folder := tmp_path / value).mkdir()
        rows = f"image,y,split\na.png,1,train\nb.png,2,train\nc.png,{value},test\n"
        assert open_path(table(folder, "metadata.csv", rows), label_kind="targets").splits.keys() == splits


def test_a_missing_target_is_refused_by_name_whatever_the_values():
    source = dataset(MULTI_HOT).examples("train")
    assert RelabelledSource(source, ("a", "b", "c"), "multi-hot").classes == ("a", "b", "c")
    with pytest.raises(ValueError, match="expected the targets a, b, c, got a, b; missing: c"):
        RelabelledSource(source, ("a", "b", "c"), "targets")


@pytest.mark.parametrize("offset, scale, is_refused", [(1.7e9, 1.0, True), (1e8, 1e-3, True), (1.7e9, 1e9, False)])
def test_targets_that_float32_does_not_tell_apart_are_refused(tmp_path, offset, scale, is_refused):
    values = offset + scale * np.arange(N)
    for folder in ("t", "p"):
        (tmp_path / folder).mkdir()
    rows = "".join(f"{name}.png,{value:.6f}\n" for name, value in zip("abc", values, strict=False))
    opened = [
        open_path(npz(tmp_path, x_train=IMAGES, y_train=values, x_test=IMAGES, y_test=values), label_kind="targets"),
        open_path(table(tmp_path / "t", "metadata.csv", f"image,y\n{rows}"), label_kind="targets"),
        open_path(parquet(tmp_path / "p", label=values[:3]), label_kind="targets"),
    ]
    for one in opened:
        if is_refused:
            with pytest.raises(
                ValueError, match=r"float32 rounds targets of column 0, 1\d*\.0 to .*subtract an offset"
            ):
                one.examples("train")
        else:
            one.examples("train")


def test_a_constant_target_is_exact(tmp_path):
    assert labels(npz(tmp_path, images=IMAGES, labels=np.full(N, 1.7e9 + 1)), "targets")[1] == [[1.7e9]] * N


def test_targets_are_not_counted_as_classes():
    counts = [count_in_words("targets", 1), count_in_words("targets", 2), count_in_words("multi-hot", 4)]
    assert counts == ["1 target", "2 targets", "4 classes"]
    assert count_in_words("caption", 2700) == "a vocabulary of 2,700 tokens" != count_in_words("caption", 0)


TEXTS = np.array(["no", "", "née", "no"])


def spoken(texts=TEXTS):
    source = ArraySource([b"a", b"b", b"c", b"d"], texts, ("<blank>", "e", "n", "o", "\xe9"), "x")
    return StoredDataset("set", {"train": source})


def test_transcripts_are_texts():
    assert [label_of(TEXTS, i) for i in range(4)] == ["no", "", "née", "no"] and type(label_of(TEXTS, 0)) is str
    assert compact(TEXTS) is TEXTS and strata(TEXTS).tolist() == [0, 0, 0, 0]
    codes = label_codes(TEXTS)
    assert codes[0] == codes[3] and len(set(codes.tolist())) == 3 and codes.dtype == np.int32 and codes.min() >= 0
    assert label_codes(np.array(["no", "a longer text"]))[0] == codes[0]  # whatever else the array has room for


def test_transcripts_in_parts_of_a_split_and_under_the_characters_of_a_net():
    whole = spoken().examples("train")
    parts = spoken().examples("train[training]+train[held-out]")
    assert sorted(parts.labels.tolist()) == sorted(TEXTS.tolist())
    source = RelabelledSource(whole, ("<blank>", "a", "e", "n", "o", "\xe9"), "transcript")
    assert known_labels(source).tolist() == [source[i][1] for i in range(4)] == TEXTS.tolist()
    with pytest.raises(ValueError, match="unknown classes \xe9; expected those of the net: <blank>, e, n, o"):
        RelabelledSource(whole, ("<blank>", "e", "n", "o"), "transcript")
    changed = identify(spoken(np.array(["no", "", "nee", "no"])).examples("train"), "contents")
    assert (identify(whole, "contents").labels != changed.labels).tolist() == [False, False, True, False]


def test_transcripts_are_neither_selected_nor_balanced_by_class():
    with pytest.raises(ValueError, match="per_class=1: expected one class per image"):
        select_classes(spoken().examples("train"), None, 1)
    with pytest.raises(ValueError, match="balance=True is for one class"):
        check_balance(TEXTS)


def test_ids_of_a_transcript_leave_0_to_the_blank():
    assert transcript_ids("one", transcript_tokens(["no", "e"]), "a.wav").tolist() == [3, 2, 1]
    assert transcript_ids("", ("<blank>", "e"), "a.wav").dtype == np.int32
    with pytest.raises(DataError, match=r"a.wav: the transcript 'on!' has '!'; expected one of 'e', 'n', 'o'"):
        transcript_ids("on!", transcript_tokens(["one"]), "a.wav")
