"""Curves are read from the records of runs, whatever the task."""

import os

import numpy as np
import pytest
from run_records import make_run, record, task_run

from resnet_jax.analysis.curves import read_curves


def test_records_are_split_into_train_and_test_and_an_incomplete_line_is_ignored(tmp_path):
    lines = [record(10, "train", 2.5, 0.125), record(20, "train", 2.0, 0.25), record(20, "test", 1.5, 0.5)]
    (curve,) = read_curves([make_run(tmp_path / "c20", "".join(lines) + '{"step": 30, "spl')])
    assert curve.label == "c20"
    for split, columns in {"train": ([10, 20], [2.5, 2.0], [0.125, 0.25]), "test": ([20], [1.5], [0.5])}.items():
        for name, column in zip(("steps", "loss", "top1"), columns, strict=True):
            np.testing.assert_array_equal(getattr(curve, f"{split}_{name}"), np.array(column, float))


def test_a_run_before_its_first_evaluation_has_an_empty_test_curve(tmp_path):
    (curve,) = read_curves([make_run(tmp_path / "c20", record(10, "train"))])
    assert curve.test_steps.shape == curve.test_loss.shape == curve.test_top1.shape == (0,)


def test_a_record_whose_steps_were_all_skipped_is_nan(tmp_path):
    lines = record(10, "train").replace("1.0", "null") + record(20, "train") + record(20, "test")
    (curve,) = read_curves([make_run(tmp_path / "c20", lines)])
    np.testing.assert_array_equal(curve.train_loss, [np.nan, 1.0])


def test_labels_are_the_shortest_ends_that_distinguish_runs(tmp_path, monkeypatch):
    for name in ("c20", "a/run", "b/run", "run"):
        make_run(tmp_path / "all" / name)
    monkeypatch.chdir(tmp_path)
    runs = ["all/c20", tmp_path / "all" / "a" / "run", "all/b/run/", "all/b/../run", "all/c20"]
    labels = ["a/run", "all/run", "b/run", "c20"]  # sorted: the same colours in whatever order the runs are given
    assert [curve.label for curve in read_curves(runs)] == [curve.label for curve in read_curves(runs[::-1])] == labels


@pytest.mark.parametrize(
    "line",
    [
        "loss 1.5\n",
        "\n",
        "[1]\n",
        '{"step": 1, "split": "train"}\n',
        '{"step": 1, "split": "test", "loss": 1.0, "mae": "0.5"}\n',
        '{"step": 1, "split": "train", "loss": "0.5", "top1": 0.5}\n',
        record(1, "valid"),
        record(1, "train").replace('"step": 1', '"step": 1' + "0" * 400),
        "[" * 100_000 + "\n",
    ],
)
def test_an_invalid_line_is_named(tmp_path, line):
    run = make_run(tmp_path / "c20", record(10, "train") + line + record(20, "test"))
    with pytest.raises(ValueError, match=r"c20/metrics\.jsonl, line 2: expected .*, got "):
        read_curves([run])


def test_an_unreadable_config_gives_no_net(tmp_path):
    run = make_run(tmp_path / "c20")
    (run / "config.json").write_text("[" * 100_000)
    assert read_curves([run])[0].net == ""
    (run / "config.json").unlink()
    os.mkfifo(run / "config.json")  # reading it would block
    assert read_curves([run])[0].net == ""
    (run / "metrics.jsonl").unlink()
    os.mkfifo(run / "metrics.jsonl")
    with pytest.raises(ValueError, match="metrics.jsonl cannot be read: not a file"):
        read_curves([run])


def test_a_missing_run_is_named_with_the_nearest(tmp_path):
    run = make_run(tmp_path / "cifar_c20")
    with pytest.raises(FileNotFoundError, match=r"cifar_c2; expected a run directory; did you mean cifar_c20"):
        read_curves([tmp_path / "cifar_c2"])
    with pytest.raises(FileNotFoundError, match="expected a run directory; runs in it: cifar_c20$"):
        read_curves([tmp_path])
    with pytest.raises(FileNotFoundError, match="there is no run beside it"):
        read_curves([run / "metrics.jsonl"])


def test_no_run_and_a_run_without_records_raise(tmp_path):
    with pytest.raises(ValueError, match="no record yet"):
        read_curves([make_run(tmp_path / "c20", '{"step"')])
    with pytest.raises(ValueError, match="expected at least one run directory"):
        read_curves([])


def test_tests_of_boxes_and_label_maps_have_no_loss(tmp_path):
    lines = record(10, "train", 2.5) + '{"step": 10, "split": "test", "ap": 0.5, "ap_large": null, "images": 6}\n'
    (curve,) = read_curves([make_run(tmp_path / "a", lines)])
    assert curve.train_loss.tolist() == [2.5] and np.isnan(curve.test_loss).tolist() == [True]
    assert curve.metrics["test"]["ap"].tolist() == [0.5]


def test_curves_hold_the_metrics_of_any_task(tmp_path):
    run = task_run(tmp_path / "a", "regression", {"mae": 0.4, "r2": None}, {"mae": 0.7})
    (curve,) = read_curves([run])
    assert curve.task == "regression" and list(curve.metrics["test"]) == ["mae", "r2"]
    assert curve.metrics["train"]["mae"].tolist() == [0.7] and np.isnan(curve.metrics["train"]["r2"]).all()
    np.testing.assert_array_equal(curve.metrics["test"]["r2"], [np.nan])
