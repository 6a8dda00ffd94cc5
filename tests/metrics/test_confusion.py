import json

import numpy as np
import pytest

from resnet_jax.metrics.confusion import PICTURES, Confusion, write_classes


def test_the_numbers_are_those_of_their_closed_forms():
    """Of two classes with TP 6, FN 2, FP 1, TN 11; and of a third that has no images, and a fourth never predicted."""
    labels = [0] * 8 + [1] * 12 + [3] * 2
    predicted = [0] * 6 + [1] * 2 + [0] * 1 + [1] * 11 + [2] * 2
    confusion = Confusion(("cat", "dog", "owl", "bat"), labels, predicted)
    assert confusion.matrix.tolist() == [[6, 2, 0, 0], [1, 11, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0]]
    np.testing.assert_allclose(confusion.recall, [6 / 8, 11 / 12, np.nan, 0])
    np.testing.assert_allclose(confusion.precision, [6 / 7, 11 / 13, 0, np.nan])
    np.testing.assert_allclose(confusion.f1, [2 * 6 / (2 * 6 + 1 + 2), 2 * 11 / (2 * 11 + 2 + 1), 0, 0])
    # A class without images is in no mean; a precision that is not defined counts as 0.
    expected = {"recall": (6 / 8 + 11 / 12) / 3, "precision": (6 / 7 + 11 / 13) / 3, "f1": (12 / 15 + 22 / 25) / 3}
    assert confusion.macro() == pytest.approx(expected, rel=1e-12)
    assert confusion.worst() == [3, 0, 1] and confusion.mistaken_for(0) == {"dog": 2}
    owl = {"class": "owl", "images": 0, "recall": None, "precision": 0.0, "f1": 0.0, "mistaken_for": {}}
    assert confusion.rows()[2] == owl


def test_images_may_be_added_and_padding_counts_for_nothing():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 1000, (2, 3000))
    whole, parts = Confusion(list(map(str, range(1000))), labels, predicted), Confusion(list(map(str, range(1000))))
    for first in range(0, 3000, 1000):
        parts.add(
            np.append(labels[first : first + 1000], [-1, -1]), np.append(predicted[first : first + 1000], [7, 999])
        )
    np.testing.assert_array_equal(parts.matrix, whole.matrix)
    assert whole.matrix.sum() == 3000 and whole.recall[5] == np.mean(predicted[labels == 5] == 5)


def test_the_file_says_what_was_evaluated_and_holds_the_matrix(tmp_path):
    confusion = Confusion(("cat", "d\udce9g"), [0, 0, 1], [0, 1, 1])
    file = write_classes(tmp_path / "new", confusion, {"step": 3, "split": "val"}, mistakes=[{"image": "a"}])
    record = json.loads(file.read_text())
    assert list(record) == ["step", "split", "macro", "classes", "mistakes", "confusion"]
    assert record["confusion"] == [[1, 1], [0, 1]] and record["classes"] == confusion.rows()
    pictures = [file.with_name(name) for name in PICTURES]
    for picture in pictures:  # of an earlier evaluation
        picture.write_text("")
    write_classes(tmp_path / "new", confusion, {"step": 4})
    assert not any(picture.exists() for picture in pictures)
    many = write_classes(tmp_path, Confusion(list(map(str, range(2001))), [5], [6]), {})
    assert "confusion" not in json.loads(many.read_text())


def test_classes_that_do_not_occur_can_be_left_off():
    """The matrix of many classes is large."""
    counts = Confusion([f"c{k}" for k in range(10**6)], [5, 5, 900_000, -1], [5, 7, 5, 3]).occurring()
    assert counts.classes == ("c5", "c7", "c900000")
    np.testing.assert_array_equal(counts.matrix, [[1, 1, 0], [0, 0, 0], [1, 0, 0]])
