"""Weights without a network, by commands alone: pictures are classified, a net is fine-tuned and written for timm."""

import json
import re

import numpy as np
import pytest
import recipe
from command_line import output
from hub_folder import write_hub_folder
from PIL import Image
from torch_file import write_torch_file

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.weights.labels import label_set

COLOURS = {"blue": (30, 40, 220), "green": (20, 200, 60), "red": (210, 30, 20)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three classes of pictures of noise around a colour."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for split, count in (("train", 16), ("val", 4)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(rng.normal(colour, 40, (40 + i, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def best(capsys, *line):
    """The likeliest class of each image."""
    records = map(json.loads, output(capsys, "predict", *line, "--json").splitlines())
    return [one["predictions"][0]["class"] for one in records]


@pytest.mark.slow
def test_pictures_are_classified_and_a_net_is_fine_tuned_and_written_for_timm(pictures, tmp_path, capsys):
    names = label_set("imagenet-1k").names
    classes = [str(k) for k in range(1000)]
    write_hub_folder(tmp_path / "timm", classes, "resnet18", "timm", label_names=list(names))
    photo = pictures / "val/red/0.png"
    line = output(capsys, "predict", tmp_path / "timm", photo)
    assert re.fullmatch(rf"{photo}: (.+ [01]\.\d{{4}}, ){{4}}.+ [01]\.\d{{4}}\n", line)
    write_torch_file(tmp_path / "resnet18-f37072fd.pth", recipe.float32_state("resnet18"))
    (name,) = best(capsys, tmp_path / "resnet18-f37072fd.pth", photo)
    assert name in names

    run = tmp_path / "run"
    output(
        *(capsys, "train", "--init.from", tmp_path / "timm", "--data.path", pictures, "--workdir", run),
        *("--data.image-size", "32", "--data.batch-size", "24", "--train.epochs", "10", "--optim.peak-lr", "0.02"),
        *("--optim.freeze", "stem|stage", "--log.no-tensorboard", "--data.crop-area", "0.5", "1"),
    )
    assert open_checkpoint(run).metadata["begun"]["files"].keys() == {"model.safetensors"}
    folders = [name for name in COLOURS for _ in range(4)]
    predicted = best(capsys, run, pictures / "val")
    assert np.mean(np.array(predicted) == folders) >= 0.9
