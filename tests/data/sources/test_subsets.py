"""Selected classes, and sources under the labels of a net."""

from dataclasses import replace

import numpy as np
import pytest

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.class_names import rename_classes
from resnet_jax.data.sources.subsets import RelabelledSource, Subset, select_classes
from resnet_jax.errors import UnreadableImage


def test_selected_classes_and_the_first_examples_of_each():
    labels = np.array([0, 1, 2, 1, 0, 2, 2, 1])
    items = ArraySource(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), labels, ("a", "b", "c"), "x.npz")
    unlabelled = RelabelledSource(items, ("a", "b", "c"))  # whose labels are only met as they are read
    for examples in (items, unlabelled):
        selected = select_classes(examples, ("c", "a"), None)
        assert [(int(image[0, 0, 0]), label) for image, label in (selected[i] for i in range(len(selected)))] == [
            *((0, 1), (2, 0), (4, 1), (5, 0), (6, 0)),
        ]
        assert selected.classes == ("c", "a") and selected.name(1) == "x.npz, image 2"
        few = select_classes(examples, None, 2)
        assert [int(few[i][0][0, 0, 0]) for i in range(len(few))] == [0, 1, 2, 3, 4, 5]
    assert select_classes(items, None, None) is items
    for classes, per_class, message in (
        (("a", "d"), None, "no class 'd'"),
        (("a", "a"), None, "classes a, a; expected each class once"),
        (("a",), 3, "class 'a': expected 3 of its images, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            select_classes(items, classes, per_class)
    with pytest.raises(ValueError, match="class 'c': expected at least one of its images, got 0"):
        select_classes(items.take(np.array([0, 1])), ("a", "c"), None)


def test_unreadable_examples_have_no_class():
    class Torn(list):
        classes, name = ("a", "b"), "x.npz, image {}".format

        def __getitem__(self, index):
            if index == 1:
                raise UnreadableImage("x.npz, image 1: torn")
            return super().__getitem__(index)

    torn = Torn((np.zeros((1, 1, 1), np.uint8), label) for label in (0, 0, 1))
    with pytest.raises(UnreadableImage, match="image 1: torn"):
        select_classes(torn, ("a",), None)
    selected = select_classes(torn, ("a",), None, skip_unreadable=True)
    assert [selected.name(i) for i in range(len(selected))] == ["x.npz, image 0"]


def test_names_in_another_unicode_form_are_the_same_classes():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    items = ArraySource(np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1]), (decomposed, "tea"), "x.npz")
    assert [RelabelledSource(items, ("tea", composed))[i][1] for i in range(2)] == [1, 0]
    assert select_classes(items, ("tea", composed), None).classes == ("tea", decomposed)
    assert rename_classes((composed, "tea"), (f"{decomposed}=coffee",)) == ("coffee", "tea")


def test_a_part_of_a_source_has_other_classes_with_labels_alone():
    source = ArraySource(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1], np.int32), ("cat", "dog"), "a.npz")
    part = Subset(source, np.array([1]))
    assert part.classes == ("cat", "dog") and part[0][1] == 1
    other = replace(part, labels=np.array([0]), classes=("wolf",))
    assert other.classes == ("wolf",) and other[0][1] == 0
    with pytest.raises(ValueError, match=r"^expected labels for other classes \(wolf\), got labels=None"):
        replace(part, classes=("wolf",))
