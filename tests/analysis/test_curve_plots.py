"""Pictures of curves: their size, text, axes and legends."""

import json
import re
import struct

import pytest
from run_records import make_run, record, svg_text, task_run

from resnet_jax.analysis.curve_plots import draw_curves, draw_errors
from resnet_jax.analysis.curves import read_curves


def test_a_png_of_1280_pixels_and_an_svg_with_text(tmp_path):
    pytest.importorskip("matplotlib")
    curves = read_curves([make_run(tmp_path / name) for name in ("c20", "_c$20$", "c" * 120, "\udce9\n")])
    png, svg = draw_curves(curves, tmp_path / "plots" / "v1.5.png")
    assert (png, svg) == (tmp_path / "plots" / "v1.5.png", tmp_path / "plots" / "v1.5.svg")
    assert struct.unpack(">I", png.read_bytes()[16:20]) == (1280,)
    assert {"c20", "_c$20$", "..." + "c" * 73, "loss (nats)", "top-1 (%)", "epochs", "4 runs", "\\udce9\\n"} <= set(
        svg_text(svg)
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
    one = svg_text(draw_curves(read_curves([tmp_path / "a"]), tmp_path / "one")[1])
    assert {"a: cifar_resnet8 on my pets", "training", "test"} <= set(one) and one.count("chance") == 2
    both = svg_text(draw_curves(read_curves([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", x="steps")[1])
    assert {"my pets", "a (cifar_resnet8)", "b (cifar_resnet20)", "steps"} <= set(both)
    fine = make_run(tmp_path / "a/fine", record(10, "train", 0.3, 0.93) + record(20, "test", 0.2, 0.95))
    (fine / "checkpoints").symlink_to(tmp_path / "a/checkpoints")  # a line far below would flatten the curves
    assert "chance" not in svg_text(draw_curves(read_curves([fine]), tmp_path / "fine")[1])


def test_epochs_are_the_x_axis_if_all_records_have_them(tmp_path):
    pytest.importorskip("matplotlib")
    old = make_run(tmp_path / "old", record(10, "train").replace('"epoch"', '"else"'))
    assert "steps" in svg_text(draw_curves(read_curves([old, make_run(tmp_path / "new")]), tmp_path / "curves")[1])
    with pytest.raises(ValueError, match="--x epochs: the records of old have no epochs; expected --x steps"):
        draw_curves(read_curves([old]), tmp_path / "curves", x="epochs")


def test_the_loss_axis_is_logarithmic_beyond_two_decades(tmp_path):
    pytest.importorskip("matplotlib")
    for last, wide in ((0.03, False), (0.01, True), (0.0, False)):  # zero has no logarithm
        run = make_run(tmp_path / str(last), record(10, "train", 2.5) + record(20, "test", last))
        svg = draw_curves(read_curves([run]), tmp_path / f"curves{last}")[1].read_text()
        assert bool(re.search(r"10</tspan>|mathdefault\{10\^", svg)) == wide


def test_a_run_without_the_metric_or_before_any_is_drawn_or_refused(tmp_path):
    pytest.importorskip("matplotlib")
    regression = task_run(tmp_path / "a", "regression", {"mae": 0.4})
    multilabel = task_run(tmp_path / "b", "multilabel", {"map": 0.4})
    with pytest.raises(ValueError, match="expected runs with the metric mae, got b, which has map"):
        draw_curves(read_curves([regression, multilabel]), tmp_path / "both")
    first = make_run(tmp_path / "c", '{"step": 1, "split": "train", "epoch": 0.5, "loss": 0.9}\n')
    assert "loss" in svg_text(draw_curves(read_curves([first]), tmp_path / "first")[1])


def test_errors_have_a_panel_for_each_kind_and_a_colour_for_each_depth(tmp_path):
    pytest.importorskip("matplotlib")
    (curve,) = read_curves([make_run(tmp_path / "a")])
    _, svg = draw_errors({"plain": {20: [curve], 56: [curve]}, "residual": {20: [curve]}}, tmp_path / "errors")
    assert {"plain", "residual", "20 layers", "56 layers", "training", "test", "error (%)"} <= set(svg_text(svg))
