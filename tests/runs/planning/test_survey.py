"""resnet-jax data: what is in a dataset, and whether all of it can be read."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from resnet_jax.cli.main import main
from resnet_jax.config import DataConfig
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.runs.planning import survey as survey_room
from resnet_jax.runs.planning.survey import survey, verify

COUNTS = {"train": (9, 2, 4), "val": (2, 1, 0)}


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for split, counts in COUNTS.items():
        for name, count in zip(("cat", "dog", "owl"), counts, strict=True):
            (tmp_path / "P" / split / name).mkdir(parents=True)
            for i in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (9, 8, 3), np.uint8))
                picture.save(tmp_path / "P" / split / name / f"{i}.png")
    return tmp_path / "P"


def test_images_are_counted_by_class_in_each_split(pictures, tmp_path):
    config = DataConfig(path=str(pictures), image_size=8, batch_size=4, channels=3)
    result = survey(config, sheet=str(tmp_path / "sheet.png"), batches=1)
    assert result.counts == {split: list(counts) for split, counts in COUNTS.items()}
    lines = result.lines(80)
    assert [line.split() for line in lines[3:7]] == [
        ["class", "train", "val"], ["cat", "9", "2"], ["dog", "2", "1"], ["owl", "4", "0"],
    ]  # fmt: skip
    assert "unbalanced: 2 to 9 images of a class in train" in lines
    record = json.loads(json.dumps(result.record()))
    assert record["classes"][2] == {"class": "owl", "images": {"train": 4, "val": 0}} and "broken" not in record
    assert record["images"] == {"train": 15, "val": 3} and record["image_shape"] == [8, 8, 3]


def test_a_missing_file_of_labels_is_not_taken_for_a_tfds_name(capsys):
    for name in ("nowhere.csv", "nowhere.tsv", "nowhere.jsonl"):
        with pytest.raises(SystemExit):
            main(["data", name])
        assert f"no file or folder '{name}'" in capsys.readouterr().err


def test_verify_lists_every_image_that_cannot_be_read(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["data", str(pictures), "--verify", "--data.image-size", "8", "--data.batch-size", "4", "--batches", "1"]
    main(command)
    assert capsys.readouterr().out.endswith("all 18 images can be read\n")
    whole = (pictures / "train/cat/0.png").read_bytes()
    (pictures / "train/owl/1.png").write_bytes(whole[:60])
    (pictures / "val/dog/0.png").write_bytes(b"")
    with open(os.fsencode(pictures / "train/cat") + b"/\xe9.png", "wb") as file:
        file.write(b"no image")
    with pytest.raises(SystemExit) as exit:
        main(command)
    out = capsys.readouterr().out.splitlines()
    assert exit.value.code == 1 and len(out) == 4  # only these lines: training would stop at the first image
    assert out[0].startswith(f"train: {pictures}/train/cat/") and "not an image" in out[0]
    assert out[1].startswith(f"train: {pictures}/train/owl/1.png: cannot be decoded")
    assert out[2] == f"val: {pictures}/val/dog/0.png: the file is empty"
    assert out[3].startswith("3 of 19 cannot be used: repair or remove them")
    with pytest.raises(SystemExit) as exit:
        main([*command, "--data.unreadable", "skip", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert exit.value.code == 1 and [one["split"] for one in record["broken"]] == ["train", "train", "val"]
    assert record["classes"][0]["images"]["train"] == 10


def test_images_of_several_sizes_are_verified_without_a_common_one(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (5, 4)).save(pictures / "train/cat/wide.png")
    main(["data", str(pictures), "--verify"])
    differ, last = capsys.readouterr().out.splitlines()
    assert (
        differ.startswith("not shown as training sees them: images differ in size")
        and "--data.image-size 128" in differ
    )
    assert last == "all 19 images can be read"
    main(["data", str(pictures), "--verify", "--json"])
    assert json.loads(capsys.readouterr().out) == {"broken": [], "notes": [differ]}
    with pytest.raises(SystemExit):
        main(["data", str(pictures)])
    assert "images differ in size" in capsys.readouterr().err


def test_a_split_that_cannot_be_opened_is_listed(monkeypatch):
    class Dataset:
        name, splits = "some", {"train": 3, "test": 2}

        def examples(self, split):
            if split == "test":
                raise ValueError("test has no labels")
            return ArraySource(np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 1]), ("a", "b"), "x.npz")

    monkeypatch.setattr(survey_room, "open_configured_dataset", lambda config, label_kind: Dataset())
    messages = []
    result = verify(DataConfig(), progress=lambda *counts: messages.append(counts))
    assert result.broken == [{"split": "test", "reason": "test has no labels"}]
    assert messages == [(1, 5), (2, 5), (3, 5), (5, 5)] and "2 of 5 cannot be used" in result.lines()[-1]
    assert result.labels["train"].tolist() == [0, 1, 1]


def test_an_image_in_two_classes_is_named(pictures, capsys):
    (pictures / "train" / "dog" / "copy.png").write_bytes((pictures / "val" / "cat" / "0.png").read_bytes())
    main(["data", str(pictures), "--verify", "--data.image-size", "8", "--sheet", str(pictures.parent / "s.png")])
    *_, line, end = capsys.readouterr().out.splitlines()
    first, second = pictures / "train/dog/copy.png", pictures / "val/cat/0.png"
    assert line == f"{first} (dog) and {second} (cat) are the same image in two classes"
    assert end == "all 19 images can be read"


def test_targets_have_ranges_and_several_classes_have_counts(tmp_path):
    config = DataConfig(batch_size=64)
    targets = survey(config, sheet=str(tmp_path / "a.png"), batches=1, label_kind="targets")
    assert "value: 0 to 9, mean 4.48991, standard deviation 2.8645 in train" in targets.lines(100)
    assert targets.record()["targets"][0]["greatest"] == 9
    classes = survey(config, sheet=str(tmp_path / "b.png"), batches=1, label_kind="multi-hot")
    assert [row["images"]["train"] for row in classes.record()["classes"]] == [713, 576, 570, 716]
