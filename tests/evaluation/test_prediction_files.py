import csv
import json
from pathlib import Path

import numpy as np
import pytest
from class_predictions import predictions

from resnet_jax.evaluation.prediction_files import write_predictions
from resnet_jax.tasks import BaseTask, Classification, MultiLabel, Predictions, Regression


def test_classes_are_written_with_their_probabilities(tmp_path):
    images, probabilities = predictions(n=4)
    for kind in (".csv", ".json"):
        write_predictions(tmp_path / f"new/found{kind}", images, Classification(tuple("abcdefg")), top=2)
    records = json.loads((tmp_path / "new/found.json").read_text())
    rows = list(csv.DictReader((tmp_path / "new/found.csv").open()))
    assert len(records) == len(rows) == 4
    for i, (record, row) in enumerate(zip(records, rows, strict=True)):
        best = np.argsort(-probabilities[i])[:2]
        assert record["image"] == row["image"] == f"image {i}"
        assert record["label"] == row["label"] == "abcdefg"[images.labels[i]]
        assert [one["class"] for one in record["top"]] == [row["class1"], row["class2"]] == ["abcdefg"[k] for k in best]
        values = [float(row["probability1"]), float(row["probability2"])]
        assert values == pytest.approx(probabilities[i][best], rel=1e-12)
    with pytest.raises(ValueError, match=r"expected a .csv or .json file for predictions, got '.*x.txt'"):
        write_predictions(Path(tmp_path) / "x.txt", images, Classification(tuple("abcdefg")))


def test_a_task_without_a_format_of_its_own_writes_its_outputs(tmp_path):
    outputs = {"output": np.array([[0.25, 1.0], [2.0, 3.0]])}
    images = Predictions(["a", "b"], np.array([[1.5], [2.5]]), outputs, range(2))
    write_predictions(tmp_path / "found.csv", images, BaseTask())
    assert (tmp_path / "found.csv").read_text().splitlines() == [
        "image,label1,output1,output2",
        "a,1.5,0.25,1.0",
        "b,2.5,2.0,3.0",
    ]


def test_several_classes_have_the_same_columns_in_every_row(tmp_path):
    logits = np.array([[2.0, -2, 0], [-1, -1, -1], [1, 1, 1]])
    labels = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)
    images = Predictions(["none", "b", "ab"], labels, {"logit": logits}, range(3))
    for kind in (".csv", ".json"):
        write_predictions(tmp_path / f"out{kind}", images, MultiLabel(tuple("abc")), top=1)
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert list(rows[0]) == [
        "image",
        *(f"{column}_{x}" for column in ("label", "probability", "predicted") for x in "abc"),
    ]
    for row, label, z in zip(rows, labels, logits, strict=True):
        assert [int(row[f"label_{x}"]) for x in "abc"] == label.tolist()
        assert [float(row[f"probability_{x}"]) for x in "abc"] == pytest.approx(1 / (1 + np.exp(-z)))
        assert [int(row[f"predicted_{x}"]) for x in "abc"] == (z >= 0).tolist()
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["label"] for record in records] == [[], ["b"], ["a", "b"]]
    assert [[one["class"] for one in record["classes"]] for record in records] == [["a", "c"], ["a"], ["a", "b", "c"]]


def test_targets_have_a_column_each_and_nan_is_null_in_json(tmp_path):
    outputs = {"prediction": np.array([[1.5, 2.0], [np.nan, 4.0]])}
    images = Predictions(["x", "y"], np.array([[1.0, 2.0], [3.0, 4.0]]), outputs, range(2))
    for kind in (".csv", ".json"):
        write_predictions(tmp_path / f"out{kind}", images, Regression(targets=("t", "u")))
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "image,label_t,label_u,prediction_t,prediction_u",
        "x,1.0,2.0,1.5,2.0",
        "y,3.0,4.0,nan,4.0",
    ]
    assert json.loads((tmp_path / "out.json").read_text())[1]["prediction"] == {"t": None, "u": 4.0}


def test_a_row_with_fewer_columns_than_others_is_not_shifted(tmp_path):
    class Words(BaseTask):
        def describe(self, prediction, top):
            return {"words": ["w"] * int(prediction["output"]), "end": 1}

    images = Predictions(["a", "b"], np.zeros(2), {"output": np.array([1, 2])}, range(2))
    write_predictions(tmp_path / "out.csv", images, Words())
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [(row["words2"], row["end"]) for row in rows] == [("", "1"), ("w", "1")]
