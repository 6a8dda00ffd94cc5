"""The table of classes, the matrix and the sheet of mistakes."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.analysis.confusion import class_table, draw_confusion, draw_mistakes, reduced
from resnet_jax.analysis.text import columns


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


def test_a_reduced_matrix_keeps_the_classes_with_the_most_mistakes_and_every_image():
    matrix = np.diag(np.full(50, 9))
    matrix[7, 40], matrix[3, 2] = 5, 1
    small, names = reduced(matrix, [f"c{k}" for k in range(50)], most=3)
    assert names == ["c2", "c7", "c40", "47 others"] and small.sum() == matrix.sum()
    assert small.tolist() == [[9, 0, 0, 0], [0, 9, 5, 0], [0, 0, 9, 0], [1, 0, 0, 47 * 9]]
    assert reduced(matrix, names=[""] * 50, most=49)[0].shape == (50, 50)  # a single other class is not merged


def test_pictures_of_the_matrix_and_the_mistakes(tmp_path):
    pytest.importorskip("matplotlib")
    png, svg = draw_confusion(
        np.array([[3, 1], [0, 4]]), ["_c$at$", "猫\n"], tmp_path / "new/confusion", heading="a $b$"
    )
    assert "_c$at$" in svg.read_text() and Image.open(png).size[0] > 600
    images = [np.zeros((8, 8, 1), np.uint8), np.full((80, 90, 3), 200, np.uint8)]
    (sheet,) = draw_mistakes(images, [("cat", "dog", 0.9), ("owl" * 20, "_", 0.5)], tmp_path / "mistakes", heading="x")
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert sheet.name == "mistakes.png" and (pixels == 0).sum() > 10_000 and (pixels == 200).sum() > 10_000
