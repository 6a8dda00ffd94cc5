"""resnet-jax as a user calls it, on a folder of PNG files."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import fields, replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from resnet_jax.checkpoints import manager
from resnet_jax.checkpoints.manager import open_checkpoint
from resnet_jax.cli import process
from resnet_jax.cli.commands import command
from resnet_jax.cli.main import main
from resnet_jax.config import Config, check_config
from resnet_jax.data.loading import streaming as photographs
from resnet_jax.errors import OutOfMemory, UnreadableImage
from resnet_jax.runs import evaluation
from resnet_jax.runs import warm_start as init
from resnet_jax.tasks import classification

pytestmark = pytest.mark.slow
SHORT = (
    "--data.image-size 8 --data.batch-size 16 --train.epochs 4 --optim.warmup-epochs 0 --log.no-tensorboard "
    "--data.eval-batch-size 8 --model.name cifar_resnet8"
).split()


def write_classes(folder, digits, classes, first, last):
    """Digits as PNG files, each enlarged to a size of its own."""
    for label in classes:
        (folder / f"digit{label}").mkdir(parents=True)
        for i in np.flatnonzero(digits.labels == label)[first:last]:
            side = 16 + int(i) % 5
            Image.fromarray(digits.images[i, ..., 0]).resize((side, side + 2)).save(
                folder / f"digit{label}" / f"{i}.png"
            )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("pictures")
    write_classes(folder / "train", digits, (0, 1, 7), 0, 30)
    write_classes(folder / "val", digits, (0, 1, 7), 30, 36)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    main(
        f"train --workdir {folder} --data.path {pictures} --data.image-size 16 --data.batch-size 64 --data.padding 0 "
        "--data.crop-area 0.8 1.0 --data.mixup 0.2 --optim.warmup-epochs 1 --train.epochs 12 "
        "--train.eval-every-epochs 6 --train.log-every-steps 2 --model.bn-axis data --model.name cifar_resnet8".split()
    )
    return folder


def said(capsys, *arguments):
    capsys.readouterr()
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def mistake(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1, error
    return error


def test_eval_gives_the_numbers_of_the_run(trained, pictures, capsys):
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    found = json.loads(said(capsys, "eval", trained, "--json"))
    assert found["step"] == last["step"] and found["split"] == "val" and found["images"] == 18
    assert found["top1"] == last["top1"] and found["loss"] == pytest.approx(last["loss"], rel=1e-5)
    kept = (trained / "evaluation/classes.json").read_text()
    line = said(capsys, "eval", trained, "--step", "best", "--split", "train", "--no-pictures")
    assert "(train), 90 images: loss " in line
    for at, name in (
        ([], "val"),
        (["--split", "val[:9]"], "val[:9]"),
        (["--data.path", pictures / "val"], "val-train"),
        (["--protocol", "flip"], "flip"),
    ):
        # Only what the run's last test was goes to "evaluation".
        found = json.loads(said(capsys, "eval", trained, "--json", *at))
        folder = trained / (f"evaluation-{name}" if at else "evaluation")
        assert found["files"][0] == f"{folder}/classes.json"
        assert at == [] or (trained / "evaluation/classes.json").read_text() == kept
        kept = (trained / "evaluation/classes.json").read_text()


def test_a_run_ends_with_its_numbers_by_class_and_eval_draws_them(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    lines = said(capsys, "eval", trained, "--step", last["step"]).splitlines()
    assert lines[1].split()[:5] == ["class", "images", "recall", "precision", "F1"] and len(lines) == 7
    names = ["classes.json", "confusion.png", "confusion.svg", "mistakes.png"]
    assert lines[-1] == f"{trained / 'evaluation'}: {', '.join(names if last['top1'] < 1 else names[:3])}"
    written = json.loads((trained / "evaluation/classes.json").read_text())
    assert written["split"] == "val" and len(written["mistakes"]) == 18 - np.trace(written["confusion"])
    found = json.loads(said(capsys, "eval", trained, "--json", "--out-dir", "mine"))
    assert found["classes"] == written["classes"] and found["files"][0] == "mine/classes.json"
    assert np.mean([one["recall"] for one in found["classes"]]) == pytest.approx(found["macro"]["recall"])
    shutil.rmtree(trained / "evaluation")
    main(f"train --workdir {trained} --config {trained}".split())  # it is finished, and is tested again
    line = capsys.readouterr().out
    assert "test by class: lowest recall 'digit" in line and f"all in {trained}/evaluation/classes.json" in line
    again = json.loads((trained / "evaluation/classes.json").read_text())
    assert again["confusion"] == written["confusion"] and again["top1"] == last["top1"]
    shutil.rmtree(trained / "evaluation")
    (trained / "evaluation").write_text("")  # a run that cannot be written to is evaluated all the same
    main(["eval", str(trained)])
    out, err = capsys.readouterr()
    assert (
        " top-1 " in out
        and "calibration error (ECE)" in out
        and f"nothing is written to {trained}/evaluation: File exists; --out-dir names" in err
    )
    (trained / "evaluation").unlink()
    monkeypatch.setattr(
        classification, "draw_confusion", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space"))
    )
    main(["eval", str(trained)])
    assert f"note: only classes.json is written to {trained}/evaluation: No space; --out-dir" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    main(["eval", str(trained), str(trained / "../mine"), "--out-dir", str(tmp_path / "both")])
    assert "no pictures, as matplotlib is not installed: pip install 'flax-resnets[plots]'" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "both").iterdir()] == ["classes.json"]
    (tmp_path / "file").write_text("")
    error = mistake(capsys, "eval", trained, "--out-dir", "file")
    assert "'file/classes.json' cannot be written: " in error


def test_a_diverged_run_is_evaluated_and_predicts_nothing(trained, pictures, tmp_path, capsys, monkeypatch):
    def diverged(path, step):
        saved = open_checkpoint(path, step)
        return replace(
            saved, arrays=saved.arrays | {"params": jax.tree.map(lambda x: x * np.nan, saved.arrays["params"])}
        )

    for module in (evaluation, init, manager):
        monkeypatch.setattr(module, "open_checkpoint", diverged)
    found = json.loads(said(capsys, "eval", trained, "--json", "--out-dir", tmp_path / "out"))
    assert np.isnan(found["loss"]) and found["top1"] == 0
    assert "NaN" not in (tmp_path / "out/classes.json").read_text()
    start = ["train", *SHORT, "--workdir", tmp_path / "new", "--data.path", pictures, "--init.from", trained]
    for arguments, option in ((["predict", trained, pictures], "--step"), (start, "--init.step")):
        error = mistake(capsys, *arguments)
        assert "expected finite weights, got " in error and f"; {option} takes another checkpoint" in error
        assert "allow_nonfinite" not in error


def test_options_may_come_before_the_run(trained, capsys):
    assert said(capsys, "eval", "--json", trained) == said(capsys, "eval", trained, "--json")


def test_eval_takes_other_data_by_the_names_of_its_classes(trained, tmp_path, digits, capsys):
    """The labels are the net's: 1 is digit1, not the second folder."""
    write_classes(tmp_path / "some", digits, (1, 7), 30, 36)
    found = json.loads(said(capsys, "eval", trained, "--json", "--data.path", tmp_path / "some"))
    assert found["images"] == 12 and found["split"] == "train"
    lines = said(capsys, "predict", trained, tmp_path / "some", "--json").splitlines()
    right = [guess["top"][0]["class"] in guess["image"] for guess in map(json.loads, lines)]
    assert found["top1"] == pytest.approx(np.mean(right)) and any(right)
    part = json.loads(
        said(capsys, "eval", trained, "--json", "--data.path", tmp_path / "some", "--data.test-split", "train[:50%]")
    )
    assert part["images"] == 6
    write_classes(tmp_path / "other", digits, (4,), 0, 3)
    error = mistake(capsys, "eval", trained, "--data.path", tmp_path / "other", "--split", "train")
    assert "unknown classes digit4; expected those of the net: digit0, digit1, digit7" in error


def test_eval_over_views_and_several_runs(trained, tmp_path, capsys):
    ten = json.loads(said(capsys, "eval", trained, "--json", "--protocol", "ten-crop"))
    both = json.loads(
        said(capsys, "eval", trained, trained, "--json", "--protocol", "ten-crop", "--out", tmp_path / "found.csv")
    )
    assert ten["protocol"] == "ten-crop" and both["runs"] == [str(trained)] * 2 and both["steps"] == [ten["step"]] * 2
    assert both["loss"] == pytest.approx(ten["loss"], rel=1e-12) and both["ece"] == pytest.approx(ten["ece"])
    assert ten["loss"] != json.loads(said(capsys, "eval", trained, "--json"))["loss"]
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert len(lines) == 19 and lines[0].startswith("image,label,class1,probability1,class2")
    line = said(capsys, "eval", trained, "--protocol", "multi-scale", "--scales", "16", "24")
    assert ", multi-scale (16 24 pixels), on " in line and " calibration error (ECE) " in line
    blocked = trained / "config.json" / "found.csv"
    assert f"'{blocked}' cannot be written: " in mistake(capsys, "eval", trained, "--out", blocked)


def test_recalibrate_writes_a_run_of_its_own(trained, capsys):
    before = json.loads(said(capsys, "eval", trained, "--json"))
    found = json.loads(said(capsys, "recalibrate", trained, "--json"))
    assert found["before"]["loss"] == pytest.approx(before["loss"], rel=1e-5) and found["images"] == 64
    after = json.loads(said(capsys, "eval", found["out"], "--json"))
    assert after["loss"] == pytest.approx(found["after"]["loss"], rel=1e-5) != before["loss"]
    assert said(capsys, "eval", trained, "--json") == json.dumps(before) + "\n"
    assert "is not empty; wanted: a new folder" in mistake(capsys, "recalibrate", trained)
    new = Path(found["out"])
    assert [path.name for path in new.parent.glob(f"{new.name}*")] == [new.name]  # what it was made in is gone
    assert json.loads((new / "metrics.jsonl").read_text())["loss"] == found["after"]["loss"]
    assert "batches=0; wanted: at least 1" in mistake(capsys, "recalibrate", trained, "--batches", "0")


def test_predict_names_the_classes(trained, pictures, tmp_path, capsys):
    lines = said(capsys, "predict", trained, pictures / "val", "--json", "--batch-size", "5").splitlines()
    found = [json.loads(line) for line in lines]
    assert len(found) == 18 and [one["image"] for one in found] == sorted(one["image"] for one in found)
    for one in found:
        shares = [guess["probability"] for guess in one["top"]]
        assert len(shares) == 3 and shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-5)
    right = np.mean([one["top"][0]["class"] in one["image"] for one in found])
    assert right == json.loads(said(capsys, "eval", trained, "--json"))["top1"]
    line = said(capsys, "predict", trained, found[0]["image"], "--top", "1")
    assert re.fullmatch(rf"{re.escape(found[0]['image'])}: digit\d [01]\.\d{{4}}\n", line)


def test_predict_tells_of_what_it_cannot_read_and_goes_on(trained, pictures, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    good = next((pictures / "val" / "digit1").iterdir())
    with pytest.raises(SystemExit) as exit:
        main(["predict", str(trained), str(tmp_path / "broken.png"), str(good)])
    out, error = capsys.readouterr()
    assert exit.value.code == 2 and error == "error: 1 of 2 images could not be read\n"
    assert [line.split(":")[0] for line in out.splitlines()] == ["unreadable", str(good)]


def test_predict_takes_patterns_and_standard_input(trained, pictures, tmp_path, capsys, monkeypatch):
    images = sorted((pictures / "val" / "digit1").iterdir())
    lines = said(capsys, "predict", trained, pictures / "val" / "digit1" / "*.png").splitlines()
    assert [line.partition(": ")[0] for line in lines] == list(map(str, images))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(images[0].read_bytes())))
    assert said(capsys, "predict", trained, "-").splitlines() == [lines[0].replace(str(images[0]), "-")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert "expected an image on standard input, got nothing" in mistake(capsys, "predict", trained, "-")
    error = mistake(capsys, "predict", trained, "https://example.org/cat.jpg")
    assert "got the address https://example.org/cat.jpg; nothing is downloaded" in error
    assert "no image or folder" in mistake(capsys, "predict", trained, tmp_path / "*.png")


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

        def said(line):
            out, error = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
                try:
                    main(line.split())
                except SystemExit as exit:
                    assert exit.code == 2, error.getvalue()
            return error.getvalue() or out.getvalue()

        assert said(f"predict {run} {pictures}/val").count("\\n") == 18
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
            error = said(line)
            assert error.startswith("error: ") and error.count("\\n") == 1, (line, error)
            assert error.endswith(f" is not installed: pip install 'flax-resnets[{extra}]'\\n"), (line, error)
    """
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    line = [sys.executable, "-c", textwrap.dedent(code), trained, pictures]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_data_shows_what_training_sees(pictures, tmp_path, capsys):
    sheet = tmp_path / "sheets" / "sheet.png"
    out = said(
        capsys, "data", pictures, "--sheet", sheet, "--data.image-size", "16", "--data.batch-size", "32", "--batches", 2
    )
    assert "train 90, val 18 images" in out and "3 classes: digit0, digit1, digit7" in out
    assert re.search(r"[\d,]+ images/s read and cropped, in batches of 32", out)
    assert Image.open(sheet).size == (8 * 84 - 4, 4 * (84 + 16) - 4)  # five times as large, and a name below each


def test_data_starts_from_a_config_and_shows_a_part(pictures, tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("from resnet_jax.config import *\nconfig = Config(data=DataConfig(image_size=8, batch_size=30))\n")
    out = said(capsys, "data", pictures, "--config", file, "--sheet", tmp_path / "s.png", "--data.channels", "3")
    assert "served as 8 x 8 x 3" in out and "in batches of 30" in out


def test_plot_draws_runs(trained, tmp_path, capsys, monkeypatch):
    assert said(capsys, "plot", trained, "--out", tmp_path / "a" / "b").splitlines() == [
        str(tmp_path / "a" / "b.png"),
        str(tmp_path / "a" / "b.svg"),
    ]
    assert Image.open(tmp_path / "a" / "b.png").width == 1280
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "plot", trained, "--x", "steps").splitlines()[0] == str(trained / "curves.png")
    shutil.copytree(trained, tmp_path / "runs/other")
    assert said(capsys, "plot", "runs/other", trained).splitlines() == [
        "curves-mine-other.png",
        "curves-mine-other.svg",
    ]
    (tmp_path / "file").write_text("")
    assert "--out names another place" in mistake(capsys, "plot", trained, "--out", "file/b")


def test_models_and_summary_print_tables(capsys):
    table = said(capsys, "models", "resnet18").splitlines()
    assert table[0].split() == ["parameters", "multiply-adds", "input"]
    assert table[1].split() == ["resnet18", "11,689,512", "1,814,073,344", "224", "x", "224"]
    assert len(table) == 2
    assert said(capsys, "summary", "resnet18").splitlines()[-1].split()[:2] == ["total", "11,689,512"]
    marked = said(capsys, "models", "cifar_*20").splitlines()
    assert [line.split()[0] for line in marked if line.endswith("*")] == ["cifar_condconv20"]
    assert marked[-1] == "* and multiply-adds that published counts do not include: resnet-jax summary NAME"


def test_event_files_lie_in_the_run(trained):
    assert list((trained / "tensorboard").glob("events.out.tfevents.*"))


def test_mistakes_are_one_line_each(trained, pictures, tmp_path, capsys):
    for arguments, wanted in (
        (["evla", trained], "no command 'evla'; did you mean eval"),
        (["eval", trained.parent / "mien"], "is not there; wanted: the folder of a run; did you mean mine"),
        (["eval", trained, "--step", "7"], "no step 7"),
        (["eval", trained, "--step", "newest"], "step 'newest'; valid: latest, best or a number"),
        (["eval", trained, "--split", "tset"], "no split 'tset'"),
        (["eval", trained, "--out", "found.txt"], "wanted: a .csv or .json file"),
        (["eval"], "no run given; expected the folder of a run"),
        (["eval", trained, "--protocol", "tencrop"], "ten-crop"),
        (["predict", trained, tmp_path / "nothing.png"], "no image or folder"),
        (["predict", trained, pictures / "val", "--top", "0"], "top=0; wanted: at least 1"),
        (["predict", trained], "expected image files, or folders of them, got none"),
        (["predict", trained / "config.json", trained], "expected the run first; did you mean resnet-jax predict /"),
        (["eval", trained.parent], "is no run; runs in it: mine"),
        (["models", "resnet5o"], "no model matches 'resnet5o'; did you mean resnet50"),
        (["summary", "resnet5o"], "no model named 'resnet5o'; did you mean resnet50"),
        (["summary", "resnet18", "--image-size", "0"], "--image-size: expected at least 1"),
        (["data", "cifra10"], "TFDS has no dataset 'cifra10'; did you mean cifar10"),
        (["plot", tmp_path / "none"], "metrics.jsonl"),
        (
            ["data", pictures, "--data.batch-size", "0"],
            "--data.batch-size: expected at least 1, at most 1,000",
        ),
        (["data", pictures, "--batches", "0"], "--batches: expected at least 1"),
        (["data", "./pictuers"], "no file or folder 'pictuers'"),
        (["data", "digits", "--data.color-jitter", *"1110"], "--data.color-jitter is for three channels"),
        (["train", "--data.path", pictures, "--workdir", tmp_path / "w"], "images differ in size"),
    ):
        assert wanted in mistake(capsys, *arguments)
    assert not (tmp_path / "w").exists()


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
    out = said(capsys, *arguments)
    assert (
        f"1 image skipped so far, which cannot be read, see skipped.jsonl; the last: {broken}" in out
        and "(20 images, " in out
    )
    assert "21 of the 21 test images are also trained on, as the same file or a copy" in out
    assert "all of the 21 images were trained on; name other images" in mistake(capsys, "eval", run)
    found = json.loads(said(capsys, "eval", run, "--json", "--split", "train"))
    assert (found["images"], found["skipped"]) == (20, 1)

    # Going on with other images would mix what was trained on into what is tested on.
    write_classes(tmp_path / "set", digits, (2,), 0, 10)
    at[at.index("straight") + 1 : at.index("straight") + 1] = ["bent"]
    assert "--data.class-names was" in mistake(capsys, *arguments[:3], *at, *arguments[-6:])
    shutil.rmtree(tmp_path / "set" / "digit2")
    broken.unlink()
    assert "the data has changed since this run began: images" in mistake(capsys, *arguments)

    # Names given to the run's own folders are not those of other folders, which here come in another order.
    for name, own in (("straight", "digit1"), ("round", "digit0")):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "set" / own).rename(tmp_path / "other" / name)
    lines = said(capsys, "predict", run, tmp_path / "other", "--json").splitlines()
    right = [guess["top"][0]["class"] in guess["image"] for guess in map(json.loads, lines)]
    found = json.loads(said(capsys, "eval", run, "--json", "--data.path", tmp_path / "other", "--split", "train"))
    assert found["top1"] == pytest.approx(np.mean(right)) and found["images"] == 20
    assert found["files"][0] == f"{run}/evaluation/classes.json"  # they are the run's own images, under other names


def test_a_missing_backend_is_no_fault_of_the_checkpoint(tmp_path, capsys, monkeypatch):
    def none():
        raise AssertionError

    monkeypatch.setattr(jax, "devices", none)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    wanted = "error: JAX has no device to use (JAX_PLATFORMS is cuda): its backend does not start; JAX_PLATFORMS=cpu"
    for arguments in (["predict", "run", "x.png"], ["data", "digits"], ["replay", "run", "1"], ["recalibrate", "run"],
                      ["experiment", "degradation"]):  # fmt: skip
        assert mistake(capsys, *arguments).startswith(wanted)


@pytest.mark.parametrize("name", ["replay", "recalibrate", "eval"])
def test_advice_names_options_that_the_command_has(name, monkeypatch):
    def fails(error):
        def stop(_):
            raise error

        monkeypatch.setattr(command(name), "run", stop)
        return pytest.raises((OutOfMemory, UnreadableImage), match="repair it|out of memory")

    has_data = any(field.name == "data" for field in fields(command(name).Request))
    for error in (MemoryError(), UnreadableImage("a.png: no image")):
        with fails(error) as caught:
            process.run(name, None)
        assert ("--data." in str(caught.value)) == has_data


def test_a_full_disk_ends_what_is_printed_with_a_line():
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "resnet_jax", "--help"]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "stopped: [Errno 28] No space left on device\n")


def test_a_colour_among_grey_images_is_named(tmp_path, digits, capsys, monkeypatch):
    write_classes(tmp_path / "set", digits, (0, 1), 0, 10)
    file = next((tmp_path / "set" / "digit1").iterdir())
    Image.new("RGB", (16, 16), "red").save(file)
    monkeypatch.setattr(photographs, "infer_channels", lambda examples: 1)  # as if it had not been looked at
    error = mistake(capsys, "train", "--workdir", tmp_path / "a", "--data.path", tmp_path / "set", *SHORT)
    assert f"{file} has colours" in error


@pytest.mark.slow
def test_no_command_takes_trained_images_for_held_out_ones(tmp_path, digits, capsys):
    """A fifth held out by place, as version 0.1.0 did, moves when the folder grows."""
    write_classes(tmp_path / "set", digits, (0, 1), 0, 20)
    run, new = tmp_path / "run", tmp_path / "new"
    at = ["--data.path", tmp_path / "set", *SHORT, "--train.epochs", "2"]
    train = ["train", "--workdir", run, *at, "--data.holdout", "position", "--checkpoint.every-steps", "1"]
    said(capsys, *train)
    assert json.loads(said(capsys, "eval", run, "--json", "--no-pictures"))["images"] == 8
    assert said(capsys, "replay", run, "4").startswith(f"{run}, step 4, from checkpoint")
    write_classes(tmp_path / "more", digits, (0, 1), 20, 30)
    for file in (tmp_path / "more").glob("*/*"):
        file.rename(tmp_path / "set" / file.parent.name / f"0_{file.name}")

    capsys.readouterr()
    main(["eval", str(run), "--json", "--no-pictures"])
    out, note = capsys.readouterr()
    found = json.loads(out)
    assert found["dropped"] > 0 == found["trained_on"] and found["dropped"] + found["images"] == 12
    assert note.startswith(f"note: {found['dropped']} of 12 images were trained on, and are not tested on")
    found = json.loads(said(capsys, "eval", run, "--json", "--no-pictures", "--split", "train"))
    assert (found["dropped"], found["trained_on"], found["images"]) == (0, 32, 60)
    changed = (
        "the data has changed since this run began: images {'train': 32, 'test': 8}, now {'train': 48, 'test': 12}"
    )
    for arguments in (train, ["replay", run, "4"], ["recalibrate", run]):
        assert f"{changed}; train images: " in mistake(capsys, *arguments)
    out = said(capsys, "train", "--workdir", new, *at, "--init.from", run)
    assert re.search(rf"^{run} was trained on [1-9]\d* of the [1-9]\d* test images", out, re.M)

    (tmp_path / "set").rename(tmp_path / "moved")
    error = mistake(capsys, "eval", run)
    assert f"this is the path of the images that {run} was trained with; name where they are now: --data.path" in error
    found = json.loads(said(capsys, "eval", run, "--json", "--no-pictures", "--data.path", tmp_path / "moved"))
    assert found["dropped"] + found["images"] == 12 and found["trained_on"] == 0
    (run / "images.npz").unlink()  # as version 0.1.0 left it
    (tmp_path / "moved").rename(tmp_path / "set")
    assert "has no record of its images: its held-out images are not known" in mistake(capsys, "eval", run)
    main(["eval", str(run), "--json", "--no-pictures", "--split", "train"])
    out, note = capsys.readouterr()
    assert json.loads(out)["trained_on"] is None
    assert note.startswith(f"note: whether images were trained on is not known: {run} has no record of its images")
    said(capsys, *train, "--resume.allow-changes")  # from now on it has one, and it is known not to be complete
    assert json.loads(said(capsys, "eval", run, "--json", "--no-pictures"))["trained_on"] is None
