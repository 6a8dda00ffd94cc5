"""Weights without a network, by commands alone: pictures are classified, a net is fine-tuned and written for timm."""

import json
import re

import jax
import numpy as np
import pytest
import recipe
from command_line import output
from hub_folder import write_hub_folder
from PIL import Image
from torch_file import write_torch_file

from resnet_jax import load_checkpoint, load_pretrained
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
def test_pictures_are_classified_and_a_net_is_fine_tuned_and_written_for_timm(pictures, tmp_path, capsys, monkeypatch):
    names = label_set("imagenet-1k").names
    classes = [str(k) for k in range(1000)]
    write_hub_folder(tmp_path / "timm", classes, "resnet18", "timm", label_names=list(names))
    photo = pictures / "val/red/0.png"
    line = output(capsys, "predict", tmp_path / "timm", photo)
    assert re.fullmatch(rf"{photo}: (.+ [01]\.\d{{4}}, ){{4}}.+ [01]\.\d{{4}}\n", line)
    write_torch_file(tmp_path / "resnet18-f37072fd.pth", recipe.float32_state("resnet18"))
    with monkeypatch.context() as patch:
        patch.setattr("resnet_jax.weights.published.sha256", lambda path: "f37072fd")
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

    output(capsys, "convert", run, tmp_path / "exported", "--to", "timm")
    assert best(capsys, tmp_path / "exported", pictures / "val") == predicted
    trained, exported = load_checkpoint(run), load_pretrained(tmp_path / "exported")
    assert exported.classes == tuple(COLOURS) and exported.preprocess == trained.preprocess
    jax.tree.map(np.testing.assert_array_equal, exported.variables, trained.variables)


@pytest.mark.parity
def test_an_exported_run_gives_timms_logits(pictures, tmp_path, capsys):
    import timm
    import torch

    write_hub_folder(tmp_path / "timm", tuple(COLOURS), "resnet18", "timm")
    output(capsys, "convert", tmp_path / "timm", tmp_path / "exported", "--to", "timm")
    net = timm.create_model(f"local-dir:{tmp_path / 'exported'}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    files = sorted((pictures / "val").rglob("*.png"))
    model, variables, preprocess, _ = load_pretrained(tmp_path / "exported")
    images = preprocess.batch(files)
    theirs = torch.stack([transform(Image.open(file)) for file in files])
    np.testing.assert_allclose(images, theirs.permute(0, 2, 3, 1), atol=1.01 / 255 / min(preprocess.std))
    with torch.no_grad():
        expected = net(torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)).numpy()
    actual = np.asarray(model.apply(variables, images, train=False).logits)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
    assert net.pretrained_cfg["label_names"] == list(COLOURS)
