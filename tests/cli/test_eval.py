"""resnet-jax eval on a folder of PNG files."""

import json
import re
import shutil
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from command_line import SHORT, mistake, output, write_classes
from hub_folder import write_hub_folder

from resnet_jax.analysis import confusion
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.eval import make_request
from resnet_jax.cli.main import main
from resnet_jax.config import Config, DataConfig
from resnet_jax.config.io import to_dict
from resnet_jax.runs.starting import opening


@pytest.mark.slow
def test_eval_gives_the_numbers_of_the_run(trained, pictures, capsys):
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    result = json.loads(output(capsys, "eval", trained, "--json"))
    assert result["step"] == last["step"] and result["split"] == "val" and result["images"] == 18
    assert result["top1"] == last["top1"] and result["loss"] == pytest.approx(last["loss"], rel=1e-5)
    before = (trained / "evaluation/classes.json").read_text()
    line = output(capsys, "eval", trained, "--step", "best", "--split", "train", "--no-pictures")
    assert "(train), 90 images: loss " in line
    for at, name in (
        ([], "val"),
        (["--split", "val[:9]"], "val[:9]"),
        (["--data.path", pictures / "val"], "val-train"),
        (["--protocol", "flip"], "flip"),
    ):
        # Only what the run's last test was goes to "evaluation".
        result = json.loads(output(capsys, "eval", trained, "--json", *at))
        folder = trained / (f"evaluation-{name}" if at else "evaluation")
        assert result["files"][0] == f"{folder}/classes.json"
        assert at == [] or (trained / "evaluation/classes.json").read_text() == before
        before = (trained / "evaluation/classes.json").read_text()


@pytest.mark.slow
def test_a_run_ends_with_its_numbers_by_class_and_eval_draws_them(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    lines = output(capsys, "eval", trained, "--step", last["step"]).splitlines()
    assert lines[1].split()[:5] == ["class", "images", "recall", "precision", "F1"] and len(lines) == 7
    names = ["classes.json", "confusion.png", "confusion.svg", "mistakes.png"]
    assert lines[-1] == f"{trained / 'evaluation'}: {', '.join(names if last['top1'] < 1 else names[:3])}"
    written = json.loads((trained / "evaluation/classes.json").read_text())
    assert written["split"] == "val" and len(written["mistakes"]) == 18 - np.trace(written["confusion"])
    result = json.loads(output(capsys, "eval", trained, "--json", "--out-dir", "mine"))
    assert result["classes"] == written["classes"] and result["files"][0] == "mine/classes.json"
    assert np.mean([one["recall"] for one in result["classes"]]) == pytest.approx(result["macro"]["recall"])
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
    monkeypatch.setattr(confusion, "draw_confusion", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space")))
    main(["eval", str(trained)])
    assert f"note: only classes.json is written to {trained}/evaluation: No space; --out-dir" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    main(["eval", str(trained), str(trained / "../mine"), "--out-dir", str(tmp_path / "both")])
    assert "no pictures, as matplotlib is not installed: pip install 'flax-resnets[plots]'" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "both").iterdir()] == ["classes.json"]
    (tmp_path / "file").write_text("")
    error = mistake(capsys, "eval", trained, "--out-dir", "file")
    assert "'file/classes.json' cannot be written: " in error


@pytest.mark.slow
def test_a_diverged_run_is_evaluated_and_predicts_nothing(trained, pictures, tmp_path, capsys, monkeypatch):
    def diverged(path, step):
        saved = open_checkpoint(path, step)
        return replace(
            saved, arrays=saved.arrays | {"params": jax.tree.map(lambda x: x * np.nan, saved.arrays["params"])}
        )

    monkeypatch.setattr(opening, "open_checkpoint", diverged)
    result = json.loads(output(capsys, "eval", trained, "--json", "--out-dir", tmp_path / "out"))
    assert result["loss"] is None and result["top1"] == 0  # NaN is null
    assert "NaN" not in (tmp_path / "out/classes.json").read_text()
    start = ["train", *SHORT, "--workdir", tmp_path / "new", "--data.path", pictures, "--init.from", trained]
    for arguments, option in ((["predict", trained, pictures], "--step"), (start, "--init.step")):
        error = mistake(capsys, *arguments)
        assert "expected finite weights, got " in error and f"; {option} takes another checkpoint" in error
        assert "allow_nonfinite" not in error


@pytest.mark.slow
def test_options_may_come_before_the_run(trained, capsys):
    assert output(capsys, "eval", "--json", trained) == output(capsys, "eval", trained, "--json")


@pytest.mark.slow
def test_eval_takes_other_data_by_the_names_of_its_classes(trained, tmp_path, digits, capsys):
    """The labels are the net's: 1 is digit1, not the second folder."""
    write_classes(tmp_path / "some", digits, (1, 7), 30, 36)
    result = json.loads(output(capsys, "eval", trained, "--json", "--data.path", tmp_path / "some"))
    assert result["images"] == 12 and result["split"] == "train"
    lines = output(capsys, "predict", trained, tmp_path / "some", "--json").splitlines()
    right = [guess["top"][0]["class"] in guess["image"] for guess in map(json.loads, lines)]
    assert result["top1"] == pytest.approx(np.mean(right)) and any(right)
    part = json.loads(
        output(capsys, "eval", trained, "--json", "--data.path", tmp_path / "some", "--data.test-split", "train[:50%]")
    )
    assert part["images"] == 6
    write_classes(tmp_path / "other", digits, (4,), 0, 3)
    error = mistake(capsys, "eval", trained, "--data.path", tmp_path / "other", "--split", "train")
    assert "unknown classes digit4; expected those of the net: digit0, digit1, digit7" in error


def test_annotations_of_a_run_are_not_those_of_other_data(tmp_path):
    data = DataConfig(path="pictures", annotations=("a.json",), image_size=64)
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(Config(task="detection", data=data))}))
    runs = {"runs": (str(tmp_path),)}
    assert make_request(runs).data == data
    assert make_request({**runs, "data.path": "others"}).data == DataConfig(path="others", image_size=64)


@pytest.mark.slow
def test_eval_over_views_and_several_runs(trained, tmp_path, capsys):
    ten = json.loads(output(capsys, "eval", trained, "--json", "--protocol", "ten-crop"))
    both = json.loads(
        output(capsys, "eval", trained, trained, "--json", "--protocol", "ten-crop", "--out", tmp_path / "found.csv")
    )
    assert ten["protocol"] == "ten-crop" and both["runs"] == [str(trained)] * 2 and both["steps"] == [ten["step"]] * 2
    assert both["loss"] == pytest.approx(ten["loss"], rel=1e-12) and both["ece"] == pytest.approx(ten["ece"])
    assert ten["loss"] != json.loads(output(capsys, "eval", trained, "--json"))["loss"]
    lines = (tmp_path / "found.csv").read_text().splitlines()
    assert len(lines) == 19 and lines[0].startswith("image,label,class1,probability1,class2")
    line = output(capsys, "eval", trained, "--protocol", "multi-scale", "--scales", "16", "24")
    assert ", multi-scale (16 24 pixels), on " in line and " calibration error (ECE) " in line
    blocked = trained / "config.json" / "found.csv"
    assert f"'{blocked}' cannot be written: " in mistake(capsys, "eval", trained, "--out", blocked)


@pytest.mark.slow
def test_no_command_takes_trained_images_for_held_out_ones(tmp_path, digits, capsys):
    """A fifth held out by place, as version 0.1.0 did, moves when the folder grows."""
    write_classes(tmp_path / "set", digits, (0, 1), 0, 20)
    run, new = tmp_path / "run", tmp_path / "new"
    at = ["--data.path", tmp_path / "set", *SHORT, "--train.epochs", "2"]
    train = ["train", "--workdir", run, *at, "--data.holdout", "position", "--checkpoint.every-steps", "1"]
    output(capsys, *train)
    assert json.loads(output(capsys, "eval", run, "--json", "--no-pictures"))["images"] == 8
    assert output(capsys, "replay", run, "4").startswith(f"{run}, step 4, from checkpoint")
    write_classes(tmp_path / "more", digits, (0, 1), 20, 30)
    for file in (tmp_path / "more").glob("*/*"):
        file.rename(tmp_path / "set" / file.parent.name / f"0_{file.name}")

    capsys.readouterr()
    main(["eval", str(run), "--json", "--no-pictures"])
    out, note = capsys.readouterr()
    result = json.loads(out)
    assert result["dropped"] > 0 == result["trained_on"] and result["dropped"] + result["images"] == 12
    assert note.startswith(f"note: {result['dropped']} of 12 images were trained on, and are not tested on")
    result = json.loads(output(capsys, "eval", run, "--json", "--no-pictures", "--split", "train"))
    assert (result["dropped"], result["trained_on"], result["images"]) == (0, 32, 60)
    changed = (
        "the data has changed since this run began: images {'train': 32, 'test': 8}, now {'train': 48, 'test': 12}"
    )
    for arguments in (train, ["replay", run, "4"], ["recalibrate", run]):
        assert f"{changed}; train images: " in mistake(capsys, *arguments)
    out = output(capsys, "train", "--workdir", new, *at, "--init.from", run)
    assert re.search(rf"^{run} was trained on [1-9]\d* of the [1-9]\d* test images", out, re.M)

    (tmp_path / "set").rename(tmp_path / "moved")
    error = mistake(capsys, "eval", run)
    assert f"this is the path of the images that {run} was trained with; name where they are now: --data.path" in error
    result = json.loads(output(capsys, "eval", run, "--json", "--no-pictures", "--data.path", tmp_path / "moved"))
    assert result["dropped"] + result["images"] == 12 and result["trained_on"] == 0
    (run / "images.npz").unlink()  # as version 0.1.0 left it
    (tmp_path / "moved").rename(tmp_path / "set")
    assert "has no record of its images: its held-out images are not known" in mistake(capsys, "eval", run)
    main(["eval", str(run), "--json", "--no-pictures", "--split", "train"])
    out, note = capsys.readouterr()
    assert json.loads(out)["trained_on"] is None
    assert note.startswith(f"note: whether images were trained on is not known: {run} has no record of its images")
    output(capsys, *train, "--resume.allow-changes")  # from now on it has one, and it is known not to be complete
    assert json.loads(output(capsys, "eval", run, "--json", "--no-pictures"))["trained_on"] is None


def test_weights_are_evaluated_on_class_folders(hub, photos, tmp_path, capsys, monkeypatch):
    """The folders are matched to the classes by name, whatever their order and case."""
    monkeypatch.chdir(tmp_path)
    lines = output(capsys, "predict", hub, photos, "--json").splitlines()
    best = [one["predictions"][0]["class"] for one in map(json.loads, lines)]
    result = json.loads(output(capsys, "eval", hub, "--data.path", photos, "--json"))
    assert result["weights"] == str(hub) and result["model"] == "cifar_resnet8" and "step" not in result
    assert result["images"] == 4 and result["trained_on"] is None and result["split"] == "train"
    assert result["top1"] == np.mean(np.array(best) == ["dog", "dog", "owl", "owl"])
    assert result["files"][0] == f"evaluation-animals-{photos.name}-train/classes.json"
    assert [(one["class"], one["images"]) for one in result["classes"]] == [("cat", 0), ("dog", 2), ("owl", 2)]
    line = output(capsys, "eval", hub, "--data.path", photos, "--protocol", "flip", "--no-pictures").splitlines()[0]
    assert line.startswith(f"{hub} (cifar_resnet8), flip, on {photos} (train), 4 images: loss ")
    output(capsys, "eval", hub, "--data.path", photos, "--data.classes", "owl", "--no-pictures", "--out", "one.json")
    records = json.loads((tmp_path / "one.json").read_text())
    assert [one["label"] for one in records] == ["owl", "owl"]


def test_arrays_are_evaluated_by_the_names_of_their_classes(hub, tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3), np.uint8)
    np.savez(tmp_path / "a.npz", x_test=images, y_test=[0, 1, 1], x_train=images, y_train=[0, 1, 1])
    line = ("eval", hub, "--data.path", tmp_path / "a.npz", "--json", "--no-pictures")
    result = json.loads(output(capsys, *line, "--data.class-names", "owl", "cat"))
    assert [(one["class"], one["images"]) for one in result["classes"]] == [("cat", 2), ("dog", 0), ("owl", 1)]
    assert "are not those of " in mistake(capsys, *line)


def test_other_classes_than_the_weights_and_missing_data_are_one_line(hub, photos, tmp_path, capsys):
    shutil.copytree(photos / "owl", tmp_path / "set/owls")
    shutil.copytree(photos / "owl", tmp_path / "set/dog")
    error = mistake(capsys, "eval", hub, "--data.path", tmp_path / "set")
    assert f"the classes of {tmp_path}/set are not those of {hub}: " in error
    assert "no class 'owls'; did you mean owl?" in error
    assert f"{hub} has no data of its own; expected --data.path FOLDER" in mistake(capsys, "eval", hub)


def test_imagenets_folders_are_matched_by_synset_id_or_name(tmp_path, photos, capsys):
    write_hub_folder(tmp_path / "large", [str(k) for k in range(1000)], "resnet18", "timm", label_names=[])
    for name in ("n02012849", "Great_White_Shark"):
        shutil.copytree(photos / "owl", tmp_path / "set" / name)
    line = ("eval", tmp_path / "large", "--data.path", tmp_path / "set", "--no-pictures", "--json")
    result = json.loads(output(capsys, *line))
    assert {k: one["images"] for k, one in enumerate(result["classes"]) if one["images"]} == {2: 2, 134: 2}
