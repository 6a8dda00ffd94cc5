"""Labels of rows as numbers, in the order of their names. Files of labels are tested in test_labels.py."""

from pathlib import Path

import pytest

from resnet_jax.formats.row_labels import LabelEncoder, class_order, classes_of, lack_labels
from resnet_jax.formats.tables import Columns, Row

FILE = Path("a.csv")


def rows(*labels):
    return [Row(line, f"x{line}", label, "") for line, label in enumerate(labels, 2)]


def test_numbers_are_in_numerical_order_and_names_in_alphabetical_order():
    assert class_order({"10", "9", "1"}) == ("1", "9", "10")
    assert class_order({"b", "10", "9"}) == ("10", "9", "b")


@pytest.mark.parametrize(
    ("kind", "labels", "lacking"),
    [
        ("class", ("", "-1"), True),
        ("class", ("", "0"), False),
        ("targets", (("nan",), ("",)), True),
        ("targets", (("-1",),), False),
        ("transcript", ("-1",), False),
        ("multi-hot", ((), ("",)), True),
    ],
)
def test_labels_that_stand_for_none(kind, labels, lacking):
    assert lack_labels(rows(*labels), kind) == lacking


def test_the_noun_of_the_columns_is_in_messages():
    columns, train = Columns("text", ("label",), None, "text"), rows("a", "b")
    classes = classes_of(FILE, columns, train, "class")
    encode = LabelEncoder(FILE, columns, "test", classes, "class")
    assert encode(train).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"^a.csv, line 2: x2 of 'test' has the class 'c', which no text of 'train'"):
        encode(rows("c"))
