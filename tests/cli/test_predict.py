"""resnet-jax predict."""

import csv
import io
import json
import re
import shutil
import sys
from unittest.mock import ANY

import numpy as np
import pytest
from command_line import mistake, output
from hub_folder import write_hub_folder

from resnet_jax import load_pretrained
from resnet_jax.cli.main import main
from resnet_jax.weights.labels import label_set


@pytest.mark.slow
def test_predict_names_the_classes(trained, pictures, tmp_path, capsys):
    lines = output(capsys, "predict", trained, pictures / "val", "--json", "--batch-size", "5").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 18 and [one["image"] for one in records] == sorted(one["image"] for one in records)
    for one in records:
        shares = [guess["probability"] for guess in one["top"]]
        assert len(shares) == 3 and shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-5)
    right = np.mean([one["top"][0]["class"] in one["image"] for one in records])
    assert right == json.loads(output(capsys, "eval", trained, "--json"))["top1"]
    line = output(capsys, "predict", trained, records[0]["image"], "--top", "1")
    assert re.fullmatch(rf"{re.escape(records[0]['image'])}: digit\d [01]\.\d{{4}}\n", line)


@pytest.mark.slow
def test_predict_reports_unreadable_images_and_continues(trained, pictures, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    good = next((pictures / "val" / "digit1").iterdir())
    with pytest.raises(SystemExit) as exit:
        main(["predict", str(trained), str(tmp_path / "broken.png"), str(good)])
    out, error = capsys.readouterr()
    assert exit.value.code == 2 and error == "error: 1 of 2 images could not be read\n"
    assert [line.split(":")[0] for line in out.splitlines()] == ["unreadable", str(good)]


@pytest.mark.slow
def test_predict_takes_patterns_and_standard_input(trained, pictures, tmp_path, capsys, monkeypatch):
    images = sorted((pictures / "val" / "digit1").iterdir())
    lines = output(capsys, "predict", trained, pictures / "val" / "digit1" / "*.png").splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(map(str, images))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(images[0].read_bytes())))
    assert output(capsys, "predict", trained, "-").splitlines() == [lines[0].replace(str(images[0]), "-")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert "expected an image on standard input, got nothing" in mistake(capsys, "predict", trained, "-")
    error = mistake(capsys, "predict", trained, "https://example.org/cat.jpg")
    assert "got the address https://example.org/cat.jpg; nothing is downloaded" in error
    assert "no image or folder" in mistake(capsys, "predict", trained, tmp_path / "*.png")


def test_weights_in_the_hubs_layout_name_the_classes(hub, photos, tmp_path, capsys):
    """In text, as JSON and as a table, with the same numbers as in Python."""
    images = sorted(photos.rglob("*.png"))
    model, variables, preprocess, _ = loaded = load_pretrained(hub)
    logits = np.asarray(model.apply(variables, preprocess.batch(images), train=False).logits, np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    lines = output(capsys, "predict", hub, photos, "--json", "--top", "2", "--batch-size", "3").splitlines()
    for line, image, share in zip(map(json.loads, lines), images, shares, strict=True):
        best = np.argsort(-share)[:2].tolist()
        assert line["image"] == str(image) and list(line) == ["image", "predictions", "top"]
        assert [list(one) for one in line["predictions"]] == [["index", "class", "probability"]] * 2
        assert [one["index"] for one in line["predictions"]] == best
        assert [one["class"] for one in line["predictions"]] == [loaded.classes[k] for k in best]
        assert [one["probability"] for one in line["predictions"]] == pytest.approx(share[best], rel=1e-4)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(SystemExit):
        main(["predict", str(hub), str(tmp_path / "broken.png"), str(images[0]), "--csv", "--top", "1"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["image", "class1", "probability1", "error"]
    assert "not an image" in rows[0]["error"] and rows[0]["class1"] == ""
    first = json.loads(lines[0])["predictions"][0]
    assert rows[1] == {"image": str(images[0]), "class1": first["class"], "error": "", "probability1": ANY}
    assert float(rows[1]["probability1"]) == pytest.approx(first["probability"], rel=1e-4)


def test_classes_without_names_are_numbers_or_assumed(tmp_path, photos, capsys):
    """Of a net with as many classes as its first published weights, they are assumed to be those."""
    write_hub_folder(tmp_path / "hub", label_names=[])
    line = json.loads(output(capsys, "predict", tmp_path / "hub", photos / "owl/owl0.png", "--json", "--top", "1"))
    (best,) = line["predictions"]
    assert best["class"] == str(best["index"])
    write_hub_folder(tmp_path / "large", [str(k) for k in range(1000)], "resnet18", "timm", label_names=[])
    for name, note in (("hub", "they are numbers"), ("large", "those of imagenet-1k are assumed")):
        main(["predict", str(tmp_path / name), str(photos / "owl/owl0.png"), "--top", "1", "--json"])
        out, error = capsys.readouterr()
        assert error == f"note: the names of the classes of {tmp_path / name} are not known: {note}\n"
    (best,) = json.loads(out)["predictions"]
    assert label_set("imagenet-1k").names[best["index"]] == best["class"]


def test_mistakes_with_weights_are_one_line(hub, photos, tmp_path, capsys):
    shutil.copy(hub / "model.safetensors", tmp_path / "mine.safetensors")
    write_hub_folder(tmp_path / "headless", (), "resnet18", "timm")
    for arguments, message in (
        ([tmp_path / "none.safetensors", photos], "no file '"),
        ([hub, photos, "--step", "3"], f"--step is for runs, and {hub} is a file of weights"),
        ([tmp_path / "headless", photos, "--model", "resnet34"], "--model resnet18"),
        ([hub, photos, "--model", "resnet81"], "no model named 'resnet81'; did you mean resnet18"),
        ([hub, photos, "--ema"], "no averaged weights"),
        ([hub], "expected image files, or folders of them, got none"),
        ([hub, photos, "--csv", "--json"], "--csv and --json are two forms of the output; choose one"),
        ([tmp_path / "headless", photos], "has no classifier; resnet-jax features writes its feature maps"),
        ([tmp_path / "mien", photos], "no run, file or folder '"),
    ):
        assert message in mistake(capsys, "predict", *arguments)


def test_the_help_lists_the_sources_of_weights(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    out = capsys.readouterr().out
    assert "\n  timm/NAME.TAG         or a repository of the Hugging Face hub (extra hub)\n" in out
    assert "--model MODEL " in out and "ModelConfig" not in out
