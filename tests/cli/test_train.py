"""resnet-jax train: options and configs into a Config; runs on a folder of images."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import SHORT, mistake, output, write_classes
from PIL import Image

from resnet_jax.cli.commands import make_request
from resnet_jax.cli.main import main
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, to_dict
from resnet_jax.data.loading import statistics


def test_defaults_and_typed_overrides():
    assert parse([]) == Config()
    config = parse(
        [
            "--optim.peak-lr",
            "0.2",
            "--workdir=/tmp/x",
            "--optim.nesterov",
            "--data.mean",
            "0.5",
            "0.4",
            "--model.stem",
            "cifar",
        ]
    )
    assert config.optim == dataclasses.replace(Config().optim, peak_lr=0.2, nesterov=True)
    assert (config.workdir, config.data.mean, config.model.stem) == ("/tmp/x", (0.5, 0.4), "cifar")


def test_a_file_is_the_start_and_options_override_it(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from resnet_jax.config import *\nconfig = Config(workdir='w', train=TrainConfig(epochs=3.0))\n")
    for arguments in (["--config", str(file)], [f"--config={file}"]):
        assert parse([*arguments, "--train.seed", "7"]).train == dataclasses.replace(Config().train, epochs=3.0, seed=7)
    assert parse(["--config", str(file)]).workdir == "w"


def test_a_name_takes_the_place_of_the_path_of_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from resnet_jax.config import *\nconfig = Config(data=DataConfig(path='pictures'))\n")
    at = ["--config", str(file)]
    assert parse(at).data.path == "pictures"
    named = parse([*at, "--data.name", "cifar10"]).data
    assert (named.name, named.path) == ("cifar10", None)
    assert parse([*at, "--data.name=x", "--data.path", "other"]).data.path == "other"


def test_a_length_in_steps_takes_the_place_of_epochs_and_the_folder_is_named_by_data_and_net(tmp_path, capsys):
    (tmp_path / "c.py").write_text(
        "from resnet_jax.config import Config, TrainConfig\nconfig = Config(train=TrainConfig(epochs=90.0))"
    )
    config = ["--config", str(tmp_path / "c.py")]
    assert parse([*config, "--train.steps", "7"]).train == dataclasses.replace(Config().train, steps=7)
    assert parse([*config, "--train.epochs", "7"]).train.epochs == 7
    for length in (["--train.steps", "7"], ["--train.epochs", "2"]):
        short = parse(["--config", "folder_resnet18", *length])
        assert short.optim.warmup_shrinks and short.optim.warmup_epochs == 2
        assert not parse(["--config", "folder_resnet18", *length, "--optim.warmup-epochs", "2"]).optim.warmup_shrinks
        assert not parse(length).optim.warmup_shrinks
        assert make_request("experiment", ["degradation", *length]).optim.warmup_shrinks
    with pytest.raises(SystemExit):
        parse(["--train.steps", "7", "--train.epochs", "2"])
    assert "two lengths of one run; set one of them" in capsys.readouterr().err
    assert parse(["--model.name", "resnet18", "--data.path", "a/pets"]).workdir == "runs/pets_resnet18"
    assert parse([]).workdir == "runs/digits_resnet20" and parse(["--workdir", "w", "--data.path", "a"]).workdir == "w"


def test_a_config_is_found_by_its_name_and_a_run_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shipped = parse(["--config", "folder_resnet18", "--train.epochs", "7"])
    assert shipped.model.name == "resnet18" and shipped.train.epochs == 7
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"config": to_dict(shipped), "versions": {}}))
    for name in ("run", "run/config.json", "~/run/config.json"):
        assert parse(["--config", name, "--workdir", "~/again"]) == dataclasses.replace(
            shipped, workdir=str(tmp_path / "again")
        )


def test_a_config_may_import_its_neighbours(tmp_path):
    for folder, epochs in (("a", 3.0), ("b", 5.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "base.py").write_text(
            f"from resnet_jax.config import *\nconfig = Config(train=TrainConfig(epochs={epochs}), workdir='~/w')\n"
        )
        (tmp_path / folder / "mine.py").write_text("from base import config\n")
        path = list(sys.path)
        config = parse(["--config", str(tmp_path / folder / "mine.py")])
        assert config.train.epochs == epochs and config.workdir == str(Path.home() / "w")
        assert sys.path == path and "base" not in sys.modules


def test_fine_tuning_takes_net_and_data_of_the_run_where_nothing_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = Config(
        model=ModelConfig(name="resnet18", stem="cifar"),
        data=DataConfig(
            path="pictures", image_size=64, channels=3, interpolation="bicubic", classes=("a", "b"), masks="m"
        ),
        optim=OptimConfig(peak_lr=0.3),
    )

    def keep(config, folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "config.json").write_text(json.dumps({"config": to_dict(config)}))

    keep(source, "other")
    tuned = parse(["--init.from", "other", "--workdir", "new"])
    assert (tuned.model, tuned.data, tuned.optim) == (source.model, source.data, Config().optim)
    message = capsys.readouterr().out
    assert message.startswith("taken from other: --model.name 'resnet18', --model.stem 'cifar', ")
    assert message.count("\n") == 1

    # Typed values count, also where they equal the default; settings of one dataset are not those of another.
    data = parse("--init.from other --data.path mine --data.interpolation bilinear".split()).data
    assert data == DataConfig(path="mine", image_size=64, channels=3)
    assert parse("--init.from other --model.name resnet34".split()).model == ModelConfig(name="resnet34")
    (tmp_path / "mine.py").write_text(
        "from resnet_jax.config import *\nconfig = Config(data=DataConfig(image_size=32))"
    )
    assert parse("--config mine.py --init.from other".split()).data.image_size == 32

    # The same command again resumes, whatever has become of the source; another source is another run.
    keep(tuned, "new")
    keep(dataclasses.replace(source, data=DataConfig()), "other")
    assert parse("--init.from other --workdir new".split()) == tuned
    (tmp_path / "other" / "config.json").unlink()
    capsys.readouterr()
    assert parse("--init.from other --workdir new".split()) == tuned
    assert parse("--init.from file.pth --workdir new".split()).data == DataConfig()
    assert capsys.readouterr().out == ""
    (tmp_path / "other" / "config.json").write_text("{")
    with pytest.raises(SystemExit):
        parse(["--init.from", "other"])
    assert "error: --init.from: other/config.json is not the config of a run" in capsys.readouterr().err


def test_a_shipped_config_names_the_option_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line, error in {
        "--config transfer_resnet18": "init.from: nothing at 'resnet18-f37072fd.pth'; expected a run or a file of "
        "weights (.safetensors, .pth, .npz or .h5); set --init.from",
        "--init.from runs/nope --data.path other": "init.from: nothing at 'runs/nope'; ",
        "--init.from resnet18": "init.from: no file 'resnet18'; did you mean timm/resnet18.a1_in1k?",
        "--config folder_resnet18": "no file or folder 'pictures'; expected --data.path PATH, ",
        "--data.train-split train[:50]": "got 128; try 32",
    }.items():
        with pytest.raises(SystemExit):
            main(["train", *line.split()])
        assert error in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert parse(["--config", "transfer_resnet18", "--init.from", "None"]).init.from_ is None


def test_the_package_of_a_dataset_is_named(capsys):
    if not Path("/usr/share/datasets/fashion-mnist").exists():
        with pytest.raises(SystemExit):
            main(["train", "--config", "fashion_mnist_resnet20"])
        assert capsys.readouterr().err.endswith("have it in the package dataset-fashion-mnist\n")


@pytest.mark.slow
def test_event_files_lie_in_the_run(trained):
    assert list((trained / "tensorboard").glob("events.out.tfevents.*"))


@pytest.mark.slow
def test_an_unreadable_image_stops_training_with_its_name_or_is_skipped(tmp_path, digits, capsys):
    write_classes(tmp_path / "set", digits, (0, 1), 0, 10)
    broken = tmp_path / "set" / "digit1" / "broken.png"
    broken.write_bytes(b"not an image")
    at = ["--data.path", tmp_path / "set", "--data.class-names", "round", "straight", *SHORT]
    error = mistake(capsys, "train", "--workdir", tmp_path / "a", *at)
    assert error.startswith(f"error: {broken}: ") and error.endswith("or skip such images: --data.unreadable skip\n")
    run = tmp_path / "b"
    arguments = ["train", "--workdir", run, *at, "--data.unreadable", "skip", "--data.test-split", "train"]
    assert "share 21 images of" in mistake(capsys, *arguments)
    arguments += ["--data.holdout", "position"]  # as version 0.1.0, which had no word for it
    out = output(capsys, *arguments)
    assert f"1 unreadable image skipped so far, see skipped.jsonl; the last: {broken}" in out and "(20 images, " in out
    assert "21 of the 21 test images are also trained on, as the same file or a copy" in out
    assert "all of the 21 images were trained on; name other images" in mistake(capsys, "eval", run)
    result = json.loads(output(capsys, "eval", run, "--json", "--split", "train"))
    assert (result["images"], result["skipped"]) == (20, 1)

    # Resuming with other images would mix what was trained on into what is tested on.
    write_classes(tmp_path / "set", digits, (2,), 0, 10)
    at[at.index("straight") + 1 : at.index("straight") + 1] = ["bent"]
    assert "--data.class-names was" in mistake(capsys, *arguments[:3], *at, *arguments[-6:])
    shutil.rmtree(tmp_path / "set" / "digit2")
    broken.unlink()
    assert "the data has changed since this run began: images" in mistake(capsys, *arguments)

    # New names of the run's folders are not those of other folders, which come in another order.
    for name, folder in (("straight", "digit1"), ("round", "digit0")):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "set" / folder).rename(tmp_path / "other" / name)
    lines = output(capsys, "predict", run, tmp_path / "other", "--json").splitlines()
    right = [guess["top"][0]["class"] in guess["image"] for guess in map(json.loads, lines)]
    result = json.loads(output(capsys, "eval", run, "--json", "--data.path", tmp_path / "other", "--split", "train"))
    assert result["top1"] == pytest.approx(np.mean(right)) and result["images"] == 20
    assert result["files"][0] == f"{run}/evaluation/classes.json"  # they are the run's own images, under other names


@pytest.mark.slow
def test_a_colour_among_grey_images_is_named(tmp_path, digits, capsys, monkeypatch):
    write_classes(tmp_path / "set", digits, (0, 1), 0, 10)
    file = next((tmp_path / "set" / "digit1").iterdir())
    Image.new("RGB", (16, 16), "red").save(file)
    monkeypatch.setattr(statistics, "infer_channels", lambda source: 1)  # as if the colour were beyond its sample
    error = mistake(capsys, "train", "--workdir", tmp_path / "a", "--data.path", tmp_path / "set", *SHORT)
    assert f"{file} has colours" in error and "--data.channels 1 makes it grey too" in error
    assert "needs --resume.allow-changes for the first, another --workdir for the second" in error
