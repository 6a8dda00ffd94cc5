"""The matrix and the sheet of mistakes."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.analysis.confusion import draw_confusion, draw_mistakes, reduced


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
