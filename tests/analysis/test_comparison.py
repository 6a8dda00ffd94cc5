"""Metric, axes and labels that the curves of several runs share."""

import numpy as np
import pytest
from run_records import make_run, record

from resnet_jax.analysis.comparison import (
    common_chance,
    common_metric,
    common_progress,
    mean_error,
    needs_log_axis,
    points,
    title_and_labels,
)
from resnet_jax.analysis.curves import Curve, read_curves

NOTHING = np.zeros(0)


def curve(label="a", metrics=(), loss=(1.0, 0.5), epochs=(1.0, 2.0), **fields):
    """A curve of two training records, before the first test."""
    values = {split: {name: np.array([0.25, 0.75]) for name in metrics} for split in ("train", "test")}
    steps = np.array([10.0, 20.0])
    return Curve(label, steps, np.array(loss), np.array(epochs), NOTHING, NOTHING, NOTHING, values, **fields)


def test_the_mean_of_runs_covers_the_steps_they_share(tmp_path):
    often = [record(step, "train", top1=0.1) for step in (10, 20, 30, 40)] + [record(40, "test")]
    seldom = [record(step, "train", top1=0.3) for step in (20, 40)] + [record(40, "test")]
    curves = read_curves([make_run(tmp_path / name, "".join(lines)) for name, lines in (("a", often), ("b", seldom))])
    epochs, errors = mean_error(curves, "train")
    np.testing.assert_allclose((epochs, errors), ([0.2, 0.4], [80, 80]))


@pytest.mark.parametrize(
    "metrics, asked, common",
    [
        ([("loss_a", "top1"), ("top1",)], None, "top1"),
        ([("mae", "r2"), ()], None, "mae"),
        ([("mae", "r2"), ("r2",)], "r2", "r2"),
        ([(), ()], "r2", None),
    ],
)
def test_the_common_metric_is_top1_or_the_first_one(metrics, asked, common):
    assert common_metric([curve(metrics=names) for names in metrics], asked) == common


def test_runs_without_a_common_metric_are_refused():
    with pytest.raises(ValueError, match="expected runs with the metric mae, got b, which has map, loss_b"):
        common_metric([curve("a", ["mae"]), curve("b", ["map", "loss_b"])], None)


def test_epochs_need_every_record_to_have_them():
    lacking = curve("old", epochs=(1.0, np.nan))
    assert common_progress([curve()], None) == "epochs" and common_progress([curve(), lacking], None) == "steps"
    assert common_progress([curve()], "steps") == "steps"
    with pytest.raises(ValueError, match="--x epochs: the records of old have no epochs; expected --x steps"):
        common_progress([curve(), lacking], "epochs")


def test_chance_is_that_of_one_number_of_classes():
    assert common_chance([curve(classes=4), curve(classes=4)]) == 0.25
    assert common_chance([curve(classes=4), curve(classes=5)]) is common_chance([curve()]) is None


def test_titles_have_what_is_common_and_labels_what_differs():
    one, other = curve("a", net="resnet18", data="pets"), curve("b", net="resnet50", data="pets")
    assert title_and_labels([one]) == ("a: resnet18 on pets", ["a"])
    assert title_and_labels([one, other]) == ("pets", ["a (resnet18)", "b (resnet50)"])
    assert title_and_labels([curve("a"), curve("b")]) == ("2 runs", ["a", "b"])


def test_points_of_a_metric_that_no_record_has_are_empty():
    xs, ys = points(curve(metrics=["top1"]), "train", "steps", "top1")
    assert xs.tolist() == [10, 20] and ys.tolist() == [0.25, 0.75]
    assert [len(values) for values in points(curve(), "train", "epochs", "top1")] == [0, 0]


@pytest.mark.parametrize("loss, expected", [((1.0, 0.02), False), ((1.0, 0.009), True), ((1.0, 0.0), False)])
def test_the_loss_axis_is_logarithmic_beyond_two_decades_of_positive_losses(loss, expected):
    assert needs_log_axis([curve(loss=loss)]) == expected
    assert not needs_log_axis([curve(loss=(np.nan, np.nan))])
