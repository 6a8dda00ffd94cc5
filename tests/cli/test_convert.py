"""resnet-jax convert."""

import jax
import numpy as np
import pytest
import recipe
from command_line import mistake, output
from hub_folder import write_hub_folder
from safetensors.numpy import load_file, save_file

from resnet_jax import Preprocess, create_model, load_pretrained
from resnet_jax.cli.main import main
from resnet_jax.types import Pretrained
from resnet_jax.weights.writers import write_weights


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "animals"
    write_hub_folder(folder, model="resnet18", layout="timm")
    return folder


@pytest.mark.parametrize(
    ("out", "options", "loaded_by"),
    [
        ("new", (), 'timm.create_model("local-dir:new", pretrained=True)'),
        ("a.safetensors", (), 'timm.create_model("resnet18", num_classes=3, checkpoint_path="a.safetensors")'),
        ("b.safetensors", ("--to", "torchvision"), 'net.load_state_dict(safetensors.torch.load_file("b.safetensors"))'),
        ("c.npz", (), 'resnet_jax.load_pretrained("c.npz")'),
    ],
)
def test_weights_keep_their_numbers_classes_and_preprocessing(
    animals, tmp_path, monkeypatch, capsys, out, options, loaded_by
):
    monkeypatch.chdir(tmp_path)
    names = {"c.npz": "our own", "b.safetensors": "torchvision's"}.get(out, "timm's")
    file = "new/model.safetensors" if out == "new" else out
    assert output(capsys, "convert", animals, out, *options).splitlines() == [
        f"{file}: resnet18 with {names} names, 3 classes cat, dog, owl",
        f"to load it: {loaded_by}",
    ]
    before, after = load_pretrained(animals), load_pretrained(out)
    assert (after.name, after.classes, after.preprocess) == (before.name, before.classes, before.preprocess)
    jax.tree.map(np.testing.assert_array_equal, after.variables, before.variables)


@pytest.mark.parametrize("out", ["file/a.npz", "file/a.safetensors", "file/new"])
def test_a_place_that_cannot_be_written_is_one_line(animals, tmp_path, capsys, out):
    (tmp_path / "file").touch()
    error = mistake(capsys, "convert", animals, tmp_path / out)
    assert f"{tmp_path}/{out}" in error and " cannot be written: " in error


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("fcn", {}, "out.safetensors: fcn with torchvision's names, 3 classes cat, dog, owl"),
        (
            "retinanet",
            {"fpn_features": 8, "levels": ("stage3",)},
            "out.npz: retinanet with our own names, 2 classes cat, dog",
        ),
    ],
)
def test_a_dense_net_gets_the_names_of_its_library(tmp_path, monkeypatch, capsys, name, options, line):
    """timm has none of them. A detector's background is no class."""
    monkeypatch.chdir(tmp_path)
    model, preprocess = (
        create_model(name, backbone="cifar_resnet8", num_classes=3, **options),
        Preprocess(32, 32, (0.5,) * 3, (0.25,) * 3),
    )
    net = Pretrained(model, recipe.variables(model), preprocess, name, line.split("classes ")[1].split(", "))
    write_weights(net, "in.npz", "npz")
    out = line.split(":")[0]
    assert output(capsys, "convert", "in.npz", out).splitlines()[0] == line
    after = load_pretrained(out)
    assert (after.classes, after.preprocess.mean) == (net.classes, preprocess.mean)
    jax.tree.map(np.testing.assert_array_equal, after.variables, net.variables)


def test_notes_on_the_weights_are_printed(animals, photos, tmp_path, capsys):
    """By every command that takes weights; not in its output."""
    arrays = {f"module.{key}": x for key, x in load_file(animals / "model.safetensors").items()}
    save_file(arrays, file := tmp_path / "resnet18.safetensors")
    features = ("--out", str(tmp_path / "f.npz"))
    for command in (("convert", str(file), str(tmp_path / "a.npz")), ("features", str(file), str(photos), *features)):
        main(list(command))
        out, error = capsys.readouterr()
        assert error.startswith(
            "note: names are read without their prefix 'module.'\nnote: the preprocessing is not known: "
        )
        assert "note:" not in out


def test_mistakes_are_one_line(animals, hub, tmp_path, capsys):
    for arguments, message in (
        ([animals, tmp_path / "a.txt", "--to", "npz"], "expected a file name that ends in .npz for npz, got a.txt"),
        ([animals, tmp_path / "a.safetensors", "--to", "openai"], "openai"),
        ([animals, tmp_path / "a.safetensors", "--model", "resnet34"], "--model resnet18"),
        ([animals, tmp_path / "a.safetensors", "--step", "best"], "--step is for runs, and "),
        ([hub, tmp_path / "a.safetensors"], "no library has a net with the numbers of cifar_resnet8"),
        ([animals], "expected OUT, got nothing"),
    ):
        assert message in mistake(capsys, "convert", *arguments)
    assert not list(tmp_path.iterdir())
