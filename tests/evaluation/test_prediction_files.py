import csv
import json
from pathlib import Path

import numpy as np
import pytest
from class_predictions import predictions

from resnet_jax.evaluation.prediction_files import write_predictions
from resnet_jax.tasks import BaseTask, Classification, Predictions


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
