"""resnet-jax eval of runs on series, and their weights in files."""

import csv
import json
import shutil

import numpy as np
import pytest
from command_line import mistake, output
from small_series import LENGTHS, ROW, config, write_series

from resnet_jax import load_pretrained
from resnet_jax.models import MODELS
from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.runs.trainer import train


@pytest.fixture(scope="module", autouse=True)
def small_net():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, *ROW)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on series of unequal lengths, and the results of its last test."""
    folder = tmp_path_factory.mktemp("runs")
    made = config(
        folder / "mine",
        write_series(folder / "set", channels=1),
        data__batch_size=8,
        data__eval_batch_size=8,
        log__tensorboard=True,
    )
    return folder / "mine", train(made)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("other") / "set", channels=1, seed=5)


def test_eval_gives_the_numbers_of_the_run_and_draws_its_mistakes(run, capsys):
    folder, last = run
    lines = output(capsys, "eval", folder).splitlines()
    assert f"set (test), {len(LENGTHS['TEST'])} series: loss " in lines[0]
    assert lines[1].split()[:3] == ["class", "series", "recall"]
    names = {file.name for file in (folder / "evaluation").iterdir()}
    assert {"classes.json", "confusion.png", "confusion.svg"} <= names
    assert ("mistakes.png" in names) == (last["top1"] < 1)
    result = json.loads(output(capsys, "eval", folder, "--json", "--no-pictures"))
    assert result["loss"] == pytest.approx(last["loss"], rel=1e-5) and result["top1"] == last["top1"]
    assert result["images"] == len(LENGTHS["TEST"]) and result["dropped"] == 0


def test_training_shows_its_first_batch(run):
    folder, _ = run
    (events,) = (folder / "tensorboard").iterdir()
    assert b"train/images" in events.read_bytes()


def test_a_split_other_data_and_a_file_of_predictions(run, other, tmp_path, capsys):
    folder, _ = run
    result = json.loads(
        output(capsys, "eval", folder, "--json", "--no-pictures", "--out", tmp_path / "p.csv", "--data.path", other)
    )
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert list(rows[0]) == ["series", "label", "class1", "probability1", "class2", "probability2"]
    assert [row["series"].partition("TEST.ts, ")[2] for row in rows] == [f"line {line}" for line in range(8, 13)]
    assert np.mean([row["label"] == row["class1"] for row in rows]) == result["top1"]
    assert result["trained_on"] == 0 and result["data"] == str(other)
    result = json.loads(output(capsys, "eval", folder, "--json", "--no-pictures", "--split", "train[:4]"))
    assert result["images"] == result["trained_on"] == 4


def test_several_nets_are_averaged(run, capsys):
    folder, _ = run
    steps = sorted(int(one.name) for one in (folder / "checkpoints").iterdir())
    one = json.loads(output(capsys, "eval", folder, "--json", "--no-pictures"))
    two = json.loads(output(capsys, "eval", folder, folder, "--json", "--no-pictures"))
    assert two["steps"] == [steps[-1]] * 2
    assert [two[name] for name in ("loss", "top1", "ece")] == pytest.approx(
        [one[name] for name in ("loss", "top1", "ece")]
    )
    first, last = (folder / "checkpoints" / str(step) for step in (steps[0], steps[-1]))
    data = config("", str(folder.parent / "set")).data
    opened = open_evaluation([str(first), str(last)], data)
    each = [
        open_evaluation([str(path)], data).evaluate().predictions.outputs["log_probability"] for path in (first, last)
    ]
    both = opened.evaluate().predictions.outputs["log_probability"]
    np.testing.assert_allclose(np.exp(both), np.mean(np.exp(each), axis=0), rtol=1e-5)


def test_mistakes_are_one_line(run, tmp_path, capsys):
    folder, _ = run
    (tmp_path / "x_TRAIN.csv").write_text("up,1,2,3\n" * 3)
    for arguments, message in (
        (["--protocol", "flip"], "--protocol flip: expected --protocol single for series, which have one view"),
        (["--scales", "32"], "--scales: expected --protocol single for series"),
        (["--data.image-size", "32"], "--data.image-size is for data of images, got series"),
        (["--data.kind", "audio"], "--data.kind audio: expected series, the data of "),
        (["--data.path", tmp_path], "unknown classes up; expected those of the net: fall, rise"),
    ):
        assert message in mistake(capsys, "eval", folder, *arguments)
    line = mistake(capsys, "convert", folder, tmp_path / "x.safetensors")
    assert "small_series takes series: expected OUT as a .npz file" in line


def test_a_converted_file_keeps_the_preprocessing(run, other, tmp_path, capsys):
    folder, _ = run
    assert "small_series with our own names, 2 classes fall, rise" in output(
        capsys, "convert", folder, tmp_path / "net.npz"
    )
    assert load_pretrained(tmp_path / "net.npz").preprocess.kind == "series"
    options = ["--data.path", other, "--json", "--no-pictures"]
    of_run = json.loads(output(capsys, "eval", folder, *options))
    of_file = json.loads(output(capsys, "eval", tmp_path / "net.npz", *options))
    assert (of_file["loss"], of_file["top1"]) == pytest.approx((of_run["loss"], of_run["top1"]), rel=1e-5)
    shutil.copy(tmp_path / "net.npz", tmp_path / "plain.npz")
    with np.load(tmp_path / "net.npz") as arrays:
        np.savez(tmp_path / "plain.npz", **{name: arrays[name] for name in arrays if "/" in name})
    line = mistake(capsys, "predict", tmp_path / "plain.npz", "x.ts", "--model", "small_series")
    assert "plain.npz does not say how series are preprocessed for its net, small_series; expected a run" in line
