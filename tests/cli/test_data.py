"""resnet-jax data."""

import re

import pytest
from command_line import output
from PIL import Image

from resnet_jax.cli.data import make_request


@pytest.mark.slow
def test_data_shows_what_training_sees(pictures, tmp_path, capsys):
    sheet = tmp_path / "sheets" / "sheet.png"
    out = output(
        capsys, "data", pictures, "--sheet", sheet, "--data.image-size", "16", "--data.batch-size", "32", "--batches", 2
    )
    assert "train 90, val 18 images" in out and "3 classes: digit0, digit1, digit7" in out
    assert re.search(r"[\d,]+ images/s read and cropped, in batches of 32", out)
    assert Image.open(sheet).size == (8 * 84 - 4, 4 * (84 + 16) - 4)  # five times as large, and a name below each


@pytest.mark.slow
def test_data_starts_from_a_config_and_shows_a_part(pictures, tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("from resnet_jax.config import *\nconfig = Config(data=DataConfig(image_size=8, batch_size=30))\n")
    out = output(capsys, "data", pictures, "--config", file, "--sheet", tmp_path / "s.png", "--data.channels", "3")
    assert "served as 8 x 8 x 3" in out and "in batches of 30" in out


def test_the_net_of_a_config_says_what_the_data_holds():
    assert make_request({"name": "vowels", "config": "series_default"}).data.kind == "series"
    assert make_request({"name": "vowels", "config": "series_default", "data.kind": "text"}).data.kind == "text"
    assert make_request({"name": "pictures", "config": "folder_resnet18"}).data.kind is None
    assert make_request({"name": "pictures"}).data.kind is None


def test_the_data_may_be_that_of_a_config_or_of_options(capsys):
    request = make_request({"config": "captions_clip"})
    assert (request.name, request.task, request.data.name) == (None, "contrastive", "scenes")
    assert make_request({"data.name": "scenes", "task": "contrastive"}).data.name == "scenes"
    with pytest.raises(SystemExit):
        make_request({"task": "contrastive"})
    assert "expected NAME|PATH, or --config FILE, got nothing" in capsys.readouterr().err
