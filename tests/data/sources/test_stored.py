import dataclasses
import re
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data import default_splits
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import rename_classes
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.slices import spread
from resnet_jax.data.sources.stored import LazySplit, StoredDataset
from resnet_jax.data.sources.subsets import RelabelledSource, select_classes
from resnet_jax.errors import UnreadableImage


def stored(labels, splits=("train",)):
    """Every image's one pixel tells its place."""
    labels = np.asarray(labels)
    images = np.arange(len(labels), dtype=np.uint16).view(np.uint8).reshape(-1, 1, 2, 1)
    classes = tuple(map(str, range(labels.max() + 1)))
    return StoredDataset("set", {split: ArraySource(images, labels, classes, "set.npz") for split in splits})


def which(part):
    return [int.from_bytes(part[i][0].tobytes(), sys.byteorder) for i in range(len(part))]


def count(split, length=1000):
    return len(stored(np.arange(length) % 10).examples(split))


@pytest.mark.parametrize(
    "split, wanted",
    [
        ("train", 1000),
        ("train[:]", 1000),
        ("train[:10%]", 100),
        ("train[10%:]", 900),
        ("train[500:]", 500),
        ("train[:1]", 1),
        ("train[-100:]", 100),
        ("train[:-100]", 900),
        ("train[-10%:]", 100),
        ("train[-30%:-10%]", 200),
        ("train[200:30%]", 100),
        ("train[:5000]", 1000),
        ("train[-5000:]", 1000),
        ("train[:250%]", 1000),
    ],
)
def test_parts_have_the_size_they_ask_for(split, wanted):
    assert count(split) == wanted


@pytest.mark.parametrize("split", ["train[500:500]", "train[600:500]", "train[1000:]", "train[:0]", "train[:0%]"])
def test_an_empty_part_is_named(split):
    with pytest.raises(ValueError, match=re.escape(f"set: '{split}' is empty; 'train' has 1000 images")):
        count(split)


@pytest.mark.parametrize(
    "split",
    ["train[", "train[]", "train[5]", "train[a:b]", "train[::2]", "train[:10%", "train[held out]", "train[:1.5%]"],
)
def test_a_part_that_cannot_be_understood_is_named(split):
    with pytest.raises(ValueError, match="cannot be understood; expected .*train\\[:10%") as caught:
        count(split)
    assert repr(split) in str(caught.value)


@pytest.mark.parametrize("split", ["tarin", "tarin[:10%]", "", "[:10%]", "train]", "train+test"])
def test_a_split_that_is_not_there_is_named(split):
    with pytest.raises(ValueError, match="set has no split .*(did you mean|expected) train"):
        count(split)


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.integers(0, 4), min_size=4, max_size=80),
    cuts=st.lists(st.one_of(st.integers(1, 79).map(str), st.integers(1, 99).map("{}%".format)), max_size=3),
)
def test_complementary_parts_have_every_image_once(labels, cuts):
    data, length = stored(labels), len(labels)

    def place(cut):
        return min(length, round(int(cut[:-1]) * length / 100) if cut.endswith("%") else int(cut))

    ends = ["", *sorted(cuts, key=place), ""]
    seen = []
    for first, last in zip(ends, ends[1:], strict=False):
        if (place(first) if first else 0) < (place(last) if last else length):
            part = data.examples(f"train[{first}:{last}]")
            assert [part[i][1] for i in range(len(part))] == [labels[i] for i in which(part)]
            assert which(part) == sorted(which(part))
            seen += which(part)
    assert sorted(seen) == list(range(length))


@pytest.mark.parametrize("split", ["train[:10%]", "train[50%:60%]", "train[-50:]", "train[95:145]"])
def test_every_part_of_a_set_in_order_of_class_has_all_classes_in_their_share(split):
    labels = np.repeat(np.arange(5), [200, 100, 100, 50, 50])
    part = stored(labels).examples(split)
    np.testing.assert_allclose(np.bincount(part.labels, minlength=5), [20, 10, 10, 5, 5], atol=1)


@settings(deadline=None, max_examples=60)
@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=80))
def test_spread_is_a_fixed_order_of_everything(labels):
    order = spread(np.array(labels))
    assert sorted(order) == list(range(len(labels)))
    np.testing.assert_array_equal(order, spread(np.array(labels)))


def test_an_image_keeps_its_name_in_a_part():
    part = stored(np.zeros(50, int)).examples("train[:10%]")
    assert [part.name(i) for i in range(5)] == [f"set.npz, image {n}" for n in which(part)]


def test_files_are_read_when_they_are_asked_for(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    paths[1].write_bytes(b"one")
    files = ImageFileSource(paths, np.arange(4), tuple("abcd")).take(np.array([1, 3]))
    assert files[0] == (b"one", 1) and files.name(0) == str(paths[1]) and len(files) == 2
    with pytest.raises(UnreadableImage, match=re.escape(f"{paths[3]}: No such file or directory")):
        files[1]


@dataclasses.dataclass
class Named:
    splits: dict
    name: str = "set"
    fixed: bool = False

    def places(self, split):
        return stored(np.arange(10) % 2, tuple(self.splits)).places(split)


@pytest.mark.parametrize(
    "there, train, test, wanted",
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
def test_where_to_test_is_the_sets_own_split_else_a_fifth_held_out(there, train, test, wanted):
    assert default_splits(Named(dict.fromkeys(there.split(), 10)), train, test) == wanted


def test_of_several_validation_splits_one_is_asked_for():
    several = Named(dict.fromkeys(("train", "val", "validation", "test"), 10))
    with pytest.raises(ValueError, match="has several splits for validation: validation, val; name one: --data.test-s"):
        default_splits(several, "train", None)
    assert default_splits(several, "train", "val") == ("train", "val")
    assert default_splits(several, "train", None, "position") == ("train", "test")


def test_names_may_be_typed_with_commas_between_them():
    examples = ArraySource(np.zeros((4, 1, 1, 1), np.uint8), np.arange(4), ("cat", "dog", "a,b", "c"), "x")
    assert select_classes(examples, ("dog,cat", "a,b"), None).classes == ("dog", "cat", "a,b")
    assert rename_classes(("0", "1"), ("zero,one",)) == ("zero", "one")
    with pytest.raises(ValueError, match="no class 'cat,owl'"):
        select_classes(examples, ("cat,owl",), None)
    with pytest.raises(ValueError, match="expected spaces between CLASS=NAME and the next, got '0=zero,1=one'"):
        rename_classes(("0", "1"), ("0=zero,1=one",))


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
def test_nothing_to_test_on_is_told(there, train):
    with pytest.raises(ValueError, match="set has no split to test on beside .*; name a part .* as --data.test-split"):
        default_splits(Named(dict.fromkeys(there.split(), 10)), train, None)


def test_classes_and_so_many_of_each():
    labels = np.array([0, 1, 2, 1, 0, 2, 2, 1])
    items = ArraySource(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), labels, ("a", "b", "c"), "x.npz")
    unlabelled = RelabelledSource(items, ("a", "b", "c"))  # whose labels are only met as they are read
    for examples in (items, unlabelled):
        found = select_classes(examples, ("c", "a"), None)
        assert [(int(image[0, 0, 0]), label) for image, label in (found[i] for i in range(len(found)))] == [
            *((0, 1), (2, 0), (4, 1), (5, 0), (6, 0)),
        ]
        assert found.classes == ("c", "a") and found.name(1) == "x.npz, image 2"
        few = select_classes(examples, None, 2)
        assert [int(few[i][0][0, 0, 0]) for i in range(len(few))] == [0, 1, 2, 3, 4, 5]
    assert select_classes(items, None, None) is items
    for classes, per_class, said in (
        (("a", "d"), None, "no class 'd'"),
        (("a", "a"), None, "classes a, a; expected each class once"),
        (("a",), 3, "class 'a': expected 3 of its images, got 2"),
    ):
        with pytest.raises(ValueError, match=said):
            select_classes(items, classes, per_class)
    with pytest.raises(ValueError, match="class 'c': expected at least one of its images, got 0"):
        select_classes(items.take(np.array([0, 1])), ("a", "c"), None)


def test_what_cannot_be_read_has_no_class():
    class Torn(list):
        classes, name = ("a", "b"), "x.npz, image {}".format

        def __getitem__(self, index):
            if index == 1:
                raise UnreadableImage("x.npz, image 1: torn")
            return super().__getitem__(index)

    torn = Torn((np.zeros((1, 1, 1), np.uint8), label) for label in (0, 0, 1))
    with pytest.raises(UnreadableImage, match="image 1: torn"):
        select_classes(torn, ("a",), None)
    found = select_classes(torn, ("a",), None, skip_unreadable=True)
    assert [found.name(i) for i in range(len(found))] == ["x.npz, image 0"]


def test_names_in_another_unicode_form_are_the_same_classes():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    items = ArraySource(np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1]), (decomposed, "tea"), "x.npz")
    assert [RelabelledSource(items, ("tea", composed))[i][1] for i in range(2)] == [1, 0]
    assert select_classes(items, ("tea", composed), None).classes == ("tea", decomposed)
    assert rename_classes((composed, "tea"), (f"{decomposed}=coffee",)) == ("coffee", "tea")


@pytest.mark.parametrize(
    "names, wanted",
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
def test_classes_are_renamed_by_place_or_by_name(names, wanted):
    if isinstance(wanted, tuple):
        assert rename_classes(("0", "1", "10"), names) == wanted
        return
    with pytest.raises(ValueError, match=re.escape(wanted)):
        rename_classes(("0", "1", "10"), names)


def test_a_part_is_read_once_and_when_it_is_asked_for():
    reads = []

    def read():
        reads.append(1)
        return ArraySource(np.zeros((4, 1, 1, 1), np.uint8), np.arange(4) % 2, ("a", "b"), "x.npz")

    data = StoredDataset("set", {"train": LazySplit(4, read)}, unlabelled={"test": "x.npz: test has no labels"})
    assert data.splits == {"train": 4} and not reads
    assert len(data.examples("train")) == 4 and len(data.examples("train[:50%]")) == 2 and len(reads) == 1
    with pytest.raises(ValueError, match="x.npz: test has no labels"):
        data.examples("test[:1]")
