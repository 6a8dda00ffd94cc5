"""Names of classes, typed with commas and renamed."""

import re

import numpy as np
import pytest

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import rename_classes
from resnet_jax.data.sources.subsets import select_classes


def test_names_may_be_typed_with_commas_between_them():
    examples = ArraySource(np.zeros((4, 1, 1, 1), np.uint8), np.arange(4), ("cat", "dog", "a,b", "c"), "x")
    assert select_classes(examples, ("dog,cat", "a,b"), None).classes == ("dog", "cat", "a,b")
    assert rename_classes(("0", "1"), ("zero,one",)) == ("zero", "one")
    with pytest.raises(ValueError, match="no class 'cat,owl'"):
        select_classes(examples, ("cat,owl",), None)
    with pytest.raises(ValueError, match="expected spaces between CLASS=NAME and the next, got '0=zero,1=one'"):
        rename_classes(("0", "1"), ("0=zero,1=one",))


@pytest.mark.parametrize(
    "names, expected",
    [
        (("zero", "one", "ten"), ("zero", "one", "ten")),
        (("10=ten", "0=zero", "1=one"), ("zero", "one", "ten")),
        (("10=ten",), ("0", "1", "ten")),
        (("a=b", "c=d", "e=f"), ("a=b", "c=d", "e=f")),  # names with such a sign in them
        (("zero", "one"), "expected 3 class names, for 0, 1, 10; got 2"),
        (("a", "a", "b"), "class name 'a' is given to two classes; expected another name for each"),
        (("0=a", "1=a", "10=b"), "class name 'a' is given to two classes"),
        (("0=1",), "class name '1' is given to two classes"),
        (("2=two",), "class_names: no class '2' to rename; "),
        (("0=",), "class_names: expected a name for class '0', got '0='"),
        (("a", " ", "b"), "class_names has an empty name; expected one for each of 0, 1, 10"),
        (("0=a", "0=b"), "class_names 0=a, 0=b; expected each class once"),
    ],
)
def test_classes_are_renamed_by_place_or_by_name(names, expected):
    if isinstance(expected, tuple):
        assert rename_classes(("0", "1", "10"), names) == expected
        return
    with pytest.raises(ValueError, match=re.escape(expected)):
        rename_classes(("0", "1", "10"), names)
