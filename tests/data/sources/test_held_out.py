"""Where a run trains and tests."""

import dataclasses

import numpy as np
import pytest
from stored_sets import stored, which

from resnet_jax.data import default_splits


@dataclasses.dataclass
class Named:
    splits: dict
    name: str = "set"
    fixed: bool = False

    def places(self, split):
        return stored(np.arange(10) % 2, tuple(self.splits)).places(split)


@pytest.mark.parametrize(
    "there, train, test, expected",
    [
        ("train test", "train", None, ("train", "test")),
        ("train validation", "train", None, ("train", "validation")),
        ("train val", "train", None, ("train", "val")),
        ("train valid", "train", None, ("train", "valid")),
        ("train validation test", "train", None, ("train", "validation")),
        ("train", "train", None, ("train[training]", "train[held-out]")),
        ("train", "train", "train[80%:]", ("train[:80%]", "train[80%:]")),
        ("train", "train", "train[20%:-4]", ("train[:20%]+train[-4:]", "train[20%:-4]")),
        ("train", "train", "train[:100%]", ("train", "train[:100%]")),
        ("train test", "train", "test[80%:]", ("train", "test[80%:]")),
        ("train", "train", "train[held-out]", ("train[training]", "train[held-out]")),
        ("train", "train", "train[training]", ("train[held-out]", "train[training]")),
        ("train test", "train[:10%]", None, ("train[:10%]", "test")),
        ("train test", "test", None, ("test[training]", "test[held-out]")),
        ("train validation test", "train+test", None, ("train+test", "validation")),
        ("train validation test", "test[:5]+train", None, ("test[:5]+train", "validation")),
        ("train", "train[:50%]", "train[50%:]", ("train[:50%]", "train[50%:]")),
        ("train test", "train", "train", ("train", "train")),
    ],
)
def test_where_to_test_is_the_sets_own_split_else_a_fifth_held_out(there, train, test, expected):
    assert default_splits(Named(dict.fromkeys(there.split(), 10)), train, test) == expected


def test_several_validation_splits_are_an_error():
    several = Named(dict.fromkeys(("train", "val", "validation", "test"), 10))
    with pytest.raises(
        ValueError, match="has several splits for validation: validation, val; name one: test='validation'"
    ):
        default_splits(several, "train", None)
    assert default_splits(several, "train", "val") == ("train", "val")
    assert default_splits(several, "train", None, "position") == ("train", "test")


def test_runs_of_version_0_1_0_keep_their_splits():
    """And sets that never change are still cut by place."""
    both, alone = (Named(dict.fromkeys(there.split(), 10)) for there in ("train validation test", "train"))
    assert default_splits(both, "train", None, "position") == ("train", "test")
    assert default_splits(alone, "train", None, "position") == ("train[:80%]", "train[80%:]")
    assert default_splits(alone, "train", "train[80%:]", "position") == ("train", "train[80%:]")
    assert default_splits(dataclasses.replace(alone, fixed=True), "train", None) == ("train[:80%]", "train[80%:]")
    part = stored(np.repeat([0, 1, 2], [7, 12, 5])).examples("train[80%:]")
    assert which(part) == [1, 9, 14, 15, 19]


@pytest.mark.parametrize(
    "there, train", [("train", "train[:50%]"), ("train val", "train+val"), ("train val", "val[:5]+train")]
)
def test_nothing_to_test_on_is_an_error(there, train):
    with pytest.raises(ValueError, match="set has no split to test on beside .*; name a part .* as test='"):
        default_splits(Named(dict.fromkeys(there.split(), 10)), train, None)
