"""resnet-jax plot."""

import json
import shutil
import xml.etree.ElementTree as ET

import pytest
from command_line import mistake, output
from PIL import Image


@pytest.mark.slow
def test_plot_draws_runs(trained, tmp_path, capsys, monkeypatch):
    assert output(capsys, "plot", trained, "--out", tmp_path / "a" / "b").splitlines() == [
        str(tmp_path / "a" / "b.png"),
        str(tmp_path / "a" / "b.svg"),
    ]
    assert Image.open(tmp_path / "a" / "b.png").width == 1280
    monkeypatch.chdir(tmp_path)
    assert output(capsys, "plot", trained, "--x", "steps").splitlines()[0] == str(trained / "curves.png")
    shutil.copytree(trained, tmp_path / "runs/other")
    assert output(capsys, "plot", "runs/other", trained).splitlines() == [
        "curves-mine-other.png",
        "curves-mine-other.svg",
    ]
    (tmp_path / "file").write_text("")
    assert "--out names another place" in mistake(capsys, "plot", trained, "--out", "file/b")


@pytest.mark.parametrize(
    ("task", "results", "axis"),
    [
        ("regression", {"rmse": 0.5, "mae": 0.4, "r2": None}, "mean absolute error (MAE)"),
        ("multilabel", {"map": None, "f1_macro": 0.5}, "mean average precision (mAP)"),
        ("classification", {"top1": 0.5}, "top-1 (%)"),
        ("classification", {"psnr": 20.5}, "psnr"),  # a task of your own
    ],
)
def test_plot_draws_the_first_metric_of_a_task(tmp_path, capsys, task, results, axis):
    pytest.importorskip("matplotlib")
    records = [{"step": 1, "split": "train", "epoch": 0.5, "loss": 0.9}]
    records.append({"step": 2, "split": "test", "epoch": 1.0, "loss": 0.5, **results, "images": 9})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    config = {"task": task, "model": {"name": "cifar_resnet8"}, "data": {"name": "digits"}}
    (tmp_path / "config.json").write_text(json.dumps({"config": config}))
    picture = output(capsys, "plot", tmp_path, "--out", tmp_path / "a").splitlines()[1]
    assert axis in [element.text for element in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
