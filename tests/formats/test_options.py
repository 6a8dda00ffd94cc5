"""Which columns are read."""

from pathlib import Path

import pytest

from resnet_jax.formats.options import ReadOptions, label_columns


def test_label_columns_are_a_tuple():
    assert label_columns(None, "class") is None and label_columns("a", "class") == ("a",)
    assert label_columns(["a", "b"], "targets") == ("a", "b")


@pytest.mark.parametrize("kind", ["multi-hot", "targets"])
def test_a_label_column_named_twice_is_refused(kind):
    with pytest.raises(ValueError, match=r"label_column=\('a', 'a'\): expected each column once, got 'a' twice"):
        label_columns(("a", "a"), kind)


def test_several_columns_are_for_several_labels():
    with pytest.raises(ValueError, match=r"label_column=\('a', 'b'\): expected one column; label_kind='multi-hot' or"):
        label_columns(("a", "b"), "class")


def test_columns_of_data_without_any_are_refused():
    ReadOptions().check_no_columns(Path("set.npz"))
    with pytest.raises(ValueError, match="^set.npz has no columns; label_column='a' is for Parquet files and files of"):
        ReadOptions(label_column=("a",)).check_no_columns(Path("set.npz"))
