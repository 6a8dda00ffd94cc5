"""Where the files of an evaluation go, and what remains if they cannot be written."""

from pathlib import Path

import numpy as np
import pytest
from class_predictions import predictions

from resnet_jax.runs.saved.evaluation_files import evaluation_folder, joined_name, measure, write_evaluation
from resnet_jax.tasks import Classification

TASK = Classification(classes=tuple("abcdefg"))


def test_the_folder_is_named_after_the_runs_and_what_differs_from_their_test(tmp_path):
    run = str(tmp_path / "run")
    assert evaluation_folder([run], None) == Path(run) / "evaluation"
    assert evaluation_folder([run], None, ("other/set", "val")) == Path(run) / "evaluation-other-set-val"
    assert evaluation_folder(["runs/a", "runs/b"], None, ("ema",)) == Path("evaluation-a-b-ema")
    assert evaluation_folder([run], str(tmp_path / "out")) == tmp_path / "out"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/classes.json' cannot be written"):
        evaluation_folder([run], str(tmp_path / "file"))
    assert joined_name([f"run{i}" for i in range(20)]) == "run0-and-19-more"


def test_metrics_are_those_of_all_predictions_and_sown_ones_are_added():
    made, probabilities = predictions()
    result = measure(TASK, made, {"executed": 0.5})
    assert result.metrics["top1"] == (probabilities.argmax(1) == np.asarray(made.labels)).mean()
    assert result.metrics["executed"] == 0.5


def test_a_folder_that_cannot_be_written_to_loses_no_metrics(tmp_path):
    (tmp_path / "file").write_text("")
    result = measure(TASK, predictions()[0], {})
    files, notes = write_evaluation(tmp_path / "file" / "out", result, None, {}, "heading")
    assert files == [] and notes[0].startswith(f"nothing is written to {tmp_path}/file/out: ")
    assert notes[0].endswith("; --out-dir names another folder")
