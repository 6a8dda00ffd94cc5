"""How errors end a command, and what works without extras."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

import jax
import pytest
from command_line import SHORT, mistake
from dense_sets import write_coco, write_pictures

from resnet_jax.cli import process
from resnet_jax.cli.commands import command
from resnet_jax.config import Config, check_config
from resnet_jax.errors import OutOfMemory, UnreadableAudio, UnreadableImage


@pytest.mark.slow
def test_names_that_are_not_utf8_are_printed_and_recorded(trained, pictures, tmp_path):
    """As zips packed on Windows leave them; in a process of its own, whose output is strict UTF-8."""
    folder = os.fsencode(tmp_path / "set") + b"\xe9"
    shutil.copytree(os.fsencode(pictures / "train"), folder)
    Path(os.fsdecode(folder + b"/digit1/\xe9bad.png")).write_bytes(b"no image at all")  # is trained on
    path = os.fsdecode(folder)
    skip = ["--data.unreadable", "skip"]
    short = [word for word in SHORT if word != "--log.no-tensorboard"]
    for arguments, status, error in (
        (
            ["train", "--workdir", str(tmp_path / "run"), "--data.path", path, *skip, *short, "--train.epochs", "1"],
            0,
            "",
        ),
        (["predict", str(trained), path], 2, "error: 1 of 91 images could not be read\n"),
        (["data", path, *skip, "--data.image-size", "8", "--sheet", str(tmp_path / "s.png"), "--batches", "1"], 0, ""),
    ):
        line = [sys.executable, "-m", "resnet_jax", *arguments]
        done = subprocess.run(
            line, capture_output=True, text=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
        )
        assert (done.returncode, done.stderr) == (status, error)
        assert "\\udce9bad.png" in done.stdout
    assert list((tmp_path / "run" / "tensorboard").glob("events*"))
    with pytest.raises(ValueError, match="expected a name in UTF-8"):
        check_config(Config(workdir=path))


@pytest.mark.slow
def test_without_extras_a_run_is_restored_and_predicts_and_the_rest_is_one_line(trained, pictures, tmp_path):
    code = """
        import contextlib, io, sys
        from importlib.machinery import PathFinder
        from resnet_jax.extras import EXTRAS

        find = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *where: None if name.partition(".")[0] in EXTRAS else find(name, *where)
        import resnet_jax
        from resnet_jax.cli.main import main

        run, pictures = sys.argv[1:]
        assert resnet_jax.load_checkpoint(run).model.num_classes == 3

        def printed(line):
            out, error = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
                try:
                    main(line.split())
                except SystemExit as exit:
                    assert exit.code == 2, error.getvalue()
            return error.getvalue() or out.getvalue()

        assert printed(f"predict {run} {pictures}/val").count("\\n") == 18
        train = f"train --data.path {pictures} --workdir new --data.image-size 8 --data.batch-size 8"
        for line, extra in (
            (train, "train"),
            (f"{train} --log.no-tensorboard", "train"),
            (f"{train} --log.no-tensorboard --log.wandb offline", "wandb"),
            (f"data {pictures} --data.image-size 8", "train"),
            ("data cifar10", "train"),
            ("data a.parquet", "parquet"),
            (f"plot {run}", "plots"),
            ("experiment degradation", "plots"),
        ):
            error = printed(line)
            assert error.startswith("error: ") and error.count("\\n") == 1, (line, error)
            assert error.endswith(f" is not installed: pip install 'flax-resnets[{extra}]'\\n"), (line, error)
    """
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    line = [sys.executable, "-c", textwrap.dedent(code), trained, pictures]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_annotated_images_without_a_task_or_a_size(tmp_path, capsys):
    write_pictures(tmp_path / "set", "ab")
    write_coco(tmp_path / "set/instances.json", "ab", [{}])
    expected = "error: .*; its annotations of objects are read with --task detection or --task segmentation"
    assert re.match(expected, mistake(capsys, "data", tmp_path / "set"))
    expected = "another side of the canvas; --config folder_retinanet and --config folder_deeplabv3 set it too"
    assert expected in mistake(capsys, "data", tmp_path / "set", "--task", "detection")


@pytest.mark.slow
def test_mistakes_are_one_line_each(trained, pictures, tmp_path, capsys):
    for arguments, message in (
        (["evla", trained], "no command 'evla'; did you mean eval"),
        (["eval", trained.parent / "mien"], "does not exist; did you mean mine"),
        (["eval", trained, "--step", "7"], "no step 7"),
        (["eval", trained, "--step", "newest"], "expected step latest, best or a number, got 'newest'"),
        (["eval", trained, "--split", "tset"], "no split 'tset'"),
        (["eval", trained, "--out", "found.txt"], "expected a .csv or .json file"),
        (["eval"], "no run given; expected the folder of a run"),
        (["eval", trained, "--protocol", "tencrop"], "ten-crop"),
        (["predict", trained, tmp_path / "nothing.png"], "no image or folder"),
        (["predict", trained, pictures / "val", "--top", "0"], "expected top from 1 to"),
        (["predict", trained], "expected image files, or folders of them, got none"),
        (["predict", trained / "config.json", trained], "expected the run first; did you mean resnet-jax predict /"),
        (["eval", trained.parent], "with the runs mine"),
        (["models", "resnet5o"], "no model matches 'resnet5o'; did you mean resnet50"),
        (["summary", "resnet5o"], "no model named 'resnet5o'; did you mean resnet50"),
        (["summary", "resnet18", "--image-size", "0"], "--image-size: expected at least 1"),
        (["data", "cifra10"], "no TFDS dataset, file or folder 'cifra10'; did you mean cifar10"),
        (["plot", tmp_path / "none"], "metrics.jsonl"),
        (
            ["data", pictures, "--data.batch-size", "0"],
            "--data.batch-size: expected at least 1, at most 1,000",
        ),
        (["data", pictures, "--batches", "0"], "--batches: expected at least 1"),
        (["data", "./pictuers"], "no file or folder 'pictuers'"),
        (["data", "digits", "--data.color-jitter", *"1110"], "--data.color-jitter needs three channels"),
        (
            ["train", "--data.path", pictures, "--workdir", tmp_path / "w"],
            "crops them to one; --config folder_resnet18 does so too",
        ),
    ):
        assert message in mistake(capsys, *arguments)
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_missing_backend_is_no_fault_of_the_checkpoint(tmp_path, capsys, monkeypatch):
    def none():
        raise AssertionError

    monkeypatch.setattr(jax, "devices", none)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    message = "error: JAX found no device (JAX_PLATFORMS is cuda): its backend does not start; JAX_PLATFORMS=cpu"
    for arguments in (["predict", "run", "x.png"], ["data", "digits"], ["replay", "run", "1"], ["recalibrate", "run"],
                      ["experiment", "degradation"]):  # fmt: skip
        assert mistake(capsys, *arguments).startswith(message)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replay", "recalibrate", "eval"])
def test_advice_names_options_that_the_command_has(name, monkeypatch):
    def fails(error):
        def stop(_):
            raise error

        monkeypatch.setattr(command(name), "run", stop)
        return pytest.raises(
            OutOfMemory if isinstance(error, MemoryError) else type(error), match="repair it|out of memory"
        )

    has_data = any(field.name == "data" for field in fields(command(name).Request))
    for error in (MemoryError(), UnreadableImage("a.png: no image"), UnreadableAudio("a.wav: no sound")):
        with fails(error) as caught:
            process.run(name, None)
        assert ("--data." in str(caught.value)) == has_data
