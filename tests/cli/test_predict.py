"""resnet-jax predict."""

import io
import json
import re
import sys

import numpy as np
import pytest
from command_line import mistake, output

from resnet_jax.cli.main import main


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
