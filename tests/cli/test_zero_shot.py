"""resnet-jax zero-shot and eval --zero-shot."""

import json
import shlex

import numpy as np
import pytest
from command_line import mistake, output

from resnet_jax.runs.saved.zero_shot import ZeroShot

pytest.importorskip("ftfy")
LABELS = ("--labels", "owl, dog,a red  cat")


def test_a_line_for_each_image_has_the_probabilities(clip, photos, capsys):
    lines = output(capsys, "zero-shot", clip, photos, *LABELS).splitlines()
    assert len(lines) == 4 and all(name in lines[0] for name in ("owl", "dog", "a red cat"))
    records = [json.loads(line) for line in output(capsys, "zero-shot", clip, photos, *LABELS, "--json").splitlines()]
    for record in records:
        np.testing.assert_allclose(sum(one["probability"] for one in record["predictions"]), 1, rtol=1e-6)
    rows = output(capsys, "zero-shot", clip, photos, *LABELS, "--csv", "--top", 1).splitlines()
    assert rows[0] == "image,class1,probability1,error" and len(rows) == 5


def test_labels_and_templates_of_files(clip, photos, tmp_path, capsys):
    (tmp_path / "labels.txt").write_text("owl\ndog\na red cat\n")
    (tmp_path / "templates.txt").write_text("a photo of a {}.\n")
    of_files = ("--labels-file", tmp_path / "labels.txt", "--templates", tmp_path / "templates.txt")
    assert output(capsys, "zero-shot", clip, photos, *of_files) == output(capsys, "zero-shot", clip, photos, *LABELS)


def test_an_evaluation_classifies_by_the_names_of_folders(clip, photos, tmp_path, capsys):
    shared = ("eval", clip, "--zero-shot", "--data.path", photos)
    record = json.loads(output(capsys, *shared, "--json", "--out-dir", tmp_path / "e"))
    assert record["templates"] == 1 and record["images"] == 4 and (tmp_path / "e/classes.json").is_file()
    predictions = [
        json.loads(line)["predictions"][0]["class"]
        for line in output(capsys, "zero-shot", clip, photos, "--labels", "Dog,owl", "--json").splitlines()
    ]
    assert record["top1"] == np.mean([a == b for a, b in zip(predictions, ["Dog", "Dog", "owl", "owl"], strict=True)])
    text = output(capsys, *shared, "--templates", "imagenet", "--no-pictures")
    assert ", zero-shot with 80 templates, on " in text


def test_synsets_have_clips_names():
    assert ZeroShot().texts(["n01440764", "n02123045"]) == ("tench", "tabby cat")
    assert ZeroShot().texts(["Dog_breed", "owl"]) == ("Dog breed", "owl")
    with pytest.raises(ValueError, match="spaces for '_': expected different labels, got 'new york' twice"):
        ZeroShot().texts(["new_york", "new york"])
    with pytest.raises(
        ValueError, match="expected a label for each of the 2 classes of the data, in their order, got 3"
    ):
        ZeroShot(names=("a", "b", "c")).texts(["x", "y"])


def test_mistakes_are_one_line(clip, hub, photos, tmp_path, capsys):
    for arguments, message in (
        ((clip, photos), "expected --labels 'cat,dog' or --labels-file FILE, got none"),
        ((clip, photos, *LABELS, "--labels-file", "imagenet"), "or --labels-file FILE, got both"),
        ((clip, photos, "--labels", "cat,,dog"), "--labels: expected a text in each label, got an empty one"),
        ((clip, photos, "--labels", "cat,dog,cat"), "--labels: expected different labels, got 'cat' twice"),
        ((clip, photos, "--labels", "cat,\udce9"), "--labels: expected valid Unicode, got half of a surrogate pair"),
        ((clip, photos, *LABELS, "--templates", "imagenets"), "no file 'imagenets'; did you mean imagenet?"),
        ((clip, *LABELS), "expected image files, or folders of them, got none"),
        ((clip, photos, "--labels", ""), "--labels: expected at least two labels, with commas between them, got ''"),
        (("timm/resnet50.a1_in1k", photos, *LABELS), "such as open_clip/clip_resnet50.yfcc15m, got resnet50"),
        ((hub, photos, *LABELS), "expected a net of images and texts, such as clip_resnet50, got cifar_resnet8"),
    ):
        assert message in mistake(capsys, "zero-shot", *arguments)
    (tmp_path / "a run/checkpoints").mkdir(parents=True)
    run, photo = str(tmp_path / "a run"), str(photos / "owl")
    command = shlex.join(["resnet-jax", "zero-shot", run, photo, "--labels", LABELS[1]])
    expected = f"expected the run first; did you mean {command}?"
    assert expected in mistake(capsys, "zero-shot", photo, run, *LABELS)
    assert "expected the raw weights, without --ema" in mistake(capsys, "zero-shot", clip, photos, *LABELS, "--ema")
    assert "--templates is for --zero-shot" in mistake(
        capsys, "eval", clip, "--data.path", photos, "--templates", "imagenet"
    )
    assert "--zero-shot is for images in classes; expected --data.path" in mistake(capsys, "eval", clip, "--zero-shot")
    assert "resnet-jax zero-shot names classes by texts" in mistake(capsys, "predict", clip, photos)
