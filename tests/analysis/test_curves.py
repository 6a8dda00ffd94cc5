import json
import os
import re
import struct
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from resnet_jax.analysis import plots
from resnet_jax.analysis.curves import read_curves
from resnet_jax.analysis.plots import draw_curves


def record(step, split, loss=1.0, top1=0.5):
    return json.dumps({"step": step, "split": split, "epoch": step / 100, "loss": loss, "top1": top1}) + "\n"


def make_run(folder, text=None):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(record(10, "train", 2.0) + record(20, "test") if text is None else text)
    return folder


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


def test_the_mean_of_runs_covers_the_steps_they_share(tmp_path):
    often = [record(step, "train", top1=0.1) for step in (10, 20, 30, 40)] + [record(40, "test")]
    seldom = [record(step, "train", top1=0.3) for step in (20, 40)] + [record(40, "test")]
    curves = read_curves([make_run(tmp_path / name, "".join(lines)) for name, lines in (("a", often), ("b", seldom))])
    steps, values = plots._mean([(curve.train_steps, curve.train_top1) for curve in curves])
    np.testing.assert_allclose((steps, values), ([20, 40], [0.2, 0.2]))
    png, svg = plots.draw_errors({"plain": {20: curves}}, tmp_path / "errors")
    assert png.exists() and "plain" in svg.read_text()


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


def text(svg):
    return [element.text for element in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_a_png_of_1280_pixels_and_an_svg_with_text(tmp_path):
    pytest.importorskip("matplotlib")
    curves = read_curves([make_run(tmp_path / name) for name in ("c20", "_c$20$", "c" * 120, "\udce9\n")])
    png, svg = draw_curves(curves, tmp_path / "plots" / "v1.5.png")
    assert (png, svg) == (tmp_path / "plots" / "v1.5.png", tmp_path / "plots" / "v1.5.svg")
    assert struct.unpack(">I", png.read_bytes()[16:20]) == (1280,)
    assert {"c20", "_c$20$", "..." + "c" * 73, "loss (nats)", "top-1 (%)", "epochs", "4 runs", "\\udce9\\n"} <= set(
        text(svg)
    )
    again = draw_curves(curves, tmp_path / "again")[1].read_text()
    assert again == svg.read_text()  # equal curves give equal files


def test_the_title_names_net_and_data_and_chance_is_marked(tmp_path):
    pytest.importorskip("matplotlib")
    for name, net in (("a", "cifar_resnet8"), ("b", "cifar_resnet20")):
        run = make_run(tmp_path / name, record(10, "train", 2.5, 0.05) + record(20, "test", 0.8, 0.6))
        config = {"config": {"model": {"name": net}, "data": {"name": "digits", "path": "~/my pets/"}}}
        (run / "config.json").write_text(json.dumps(config))
        (run / "checkpoints/20/meta").mkdir(parents=True)
        (run / "checkpoints/20/meta/metadata").write_text(json.dumps({"classes": list("0123456789")}))
    one = text(draw_curves(read_curves([tmp_path / "a"]), tmp_path / "one")[1])
    assert {"a: cifar_resnet8 on my pets", "training", "test"} <= set(one) and one.count("chance") == 2
    both = text(draw_curves(read_curves([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", x="steps")[1])
    assert {"my pets", "a (cifar_resnet8)", "b (cifar_resnet20)", "steps"} <= set(both)
    fine = make_run(tmp_path / "a/fine", record(10, "train", 0.3, 0.93) + record(20, "test", 0.2, 0.95))
    (fine / "checkpoints").symlink_to(tmp_path / "a/checkpoints")  # a line far below would flatten the curves
    assert "chance" not in text(draw_curves(read_curves([fine]), tmp_path / "fine")[1])


def test_epochs_are_the_x_axis_if_all_records_have_them(tmp_path):
    pytest.importorskip("matplotlib")
    old = make_run(tmp_path / "old", record(10, "train").replace('"epoch"', '"else"'))
    assert "steps" in text(draw_curves(read_curves([old, make_run(tmp_path / "new")]), tmp_path / "curves")[1])
    with pytest.raises(ValueError, match="--x epochs: the records of old have no epochs; expected --x steps"):
        draw_curves(read_curves([old]), tmp_path / "curves", x="epochs")


def test_the_loss_axis_is_logarithmic_beyond_two_decades(tmp_path):
    pytest.importorskip("matplotlib")
    for last, wide in ((0.03, False), (0.01, True), (0.0, False)):  # zero has no logarithm
        run = make_run(tmp_path / str(last), record(10, "train", 2.5) + record(20, "test", last))
        svg = draw_curves(read_curves([run]), tmp_path / f"curves{last}")[1].read_text()
        assert bool(re.search(r"10</tspan>|mathdefault\{10\^", svg)) == wide


def test_missing_matplotlib_is_named_with_its_install_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'flax-resnets\[plots\]'"):
        draw_curves(read_curves([make_run(tmp_path / "c20")]), tmp_path / "curves")


def task_run(folder, task, test, train=None):
    """A run with one record of training and one of a test."""
    records = [
        {"step": 1, "split": "train", "epoch": 0.5, "loss": 0.9, "grad_norm": 2.0, "param_norm": 3.0, **(train or {})}
    ]
    records.append({"step": 2, "split": "test", "epoch": 1.0, "loss": 0.5, **test, "images": 9, "ema_loss": 0.6})
    run = make_run(folder, "".join(json.dumps(record) + "\n" for record in records))
    config = {"task": task, "model": {"name": "cifar_resnet8"}, "data": {"name": "digits"}}
    (run / "config.json").write_text(json.dumps({"config": config}))
    return run


def test_curves_hold_the_metrics_of_any_task(tmp_path):
    run = task_run(tmp_path / "a", "regression", {"mae": 0.4, "r2": None}, {"mae": 0.7})
    (curve,) = read_curves([run])
    assert curve.task == "regression" and list(curve.metrics["test"]) == ["mae", "r2"]
    assert curve.metrics["train"]["mae"].tolist() == [0.7] and np.isnan(curve.metrics["train"]["r2"]).all()
    np.testing.assert_array_equal(curve.metrics["test"]["r2"], [np.nan])


def test_a_run_without_the_metric_or_before_any_is_drawn_or_refused(tmp_path):
    pytest.importorskip("matplotlib")
    regression = task_run(tmp_path / "a", "regression", {"mae": 0.4})
    multilabel = task_run(tmp_path / "b", "multilabel", {"map": 0.4})
    with pytest.raises(ValueError, match="expected runs with the metric mae, got b, which has map"):
        draw_curves(read_curves([regression, multilabel]), tmp_path / "both")
    first = make_run(tmp_path / "c", '{"step": 1, "split": "train", "epoch": 0.5, "loss": 0.9}\n')
    assert "loss" in text(draw_curves(read_curves([first]), tmp_path / "first")[1])
