"""The table of classes: its order, its length and its width."""

import pytest

from resnet_jax.tasks.class_table import class_table
from resnet_jax.text import columns


def row(name, images=4, recall=0.5, mistaken_for=()):
    return {
        "class": name, "images": images, "recall": recall, "precision": None, "f1": 0.25,
        "mistaken_for": dict(mistaken_for),
    }  # fmt: skip


MACRO = {"recall": 0.5, "precision": 0.0, "f1": 0.25}


def test_the_lowest_recall_comes_first_and_a_long_table_is_shortened():
    rows = [row("cat", 4, 1.0), row("dog", 2, 0.25, {"cat": 3, "owl": 1}), row("bat", 0, None), row("owl", 9, 0.25)]
    lines = class_table(rows, MACRO, width=80, all_in="")
    assert [line.split()[0] for line in lines] == ["class", "owl", "dog", "cat", "mean", "1"]
    assert lines[2].split() == ["dog", "2", "0.2500", "-", "0.2500", "cat", "(3),", "owl", "(1)"]
    assert lines[-1] == "1 class has no images here"
    many = class_table([row(f"class {k}", 5, k / 40) for k in range(40)], MACRO, width=80, all_in=": x.json")
    assert len(many) == 13 and many[11] == "... and 30 classes with higher recall: x.json"


@pytest.mark.parametrize("width", [20, 60, 80])
def test_names_of_any_length_and_script_fit_the_terminal(width):
    names = ["x" * 300, "猫" * 40, "a\nb\x1b[31m", "caf\udce9", "e\u0301" * 3]
    lines = class_table([row(name, 4, 0.5, {"猫" * 90: 2}) for name in names], MACRO, width=width, all_in="")
    assert max(map(columns, lines)) <= max(width, 28) and all(line.isprintable() for line in lines)


def test_the_examples_have_their_word():
    rows = [{"class": "a", "images": 3, "recall": 1.0, "precision": 1.0, "f1": 1.0, "mistaken_for": {}}]
    empty = {"class": "b", "images": 0, "recall": None, "precision": None, "f1": None, "mistaken_for": {}}
    means = {"recall": 1.0, "precision": 1.0, "f1": 1.0}
    lines = class_table([*rows, empty], means, width=80, all_in="", noun="sounds")
    assert lines[0].split()[:2] == ["class", "sounds"] and lines[-1] == "1 class has no sounds here"
