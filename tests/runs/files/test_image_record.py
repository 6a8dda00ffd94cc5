"""Which images a run is trained and tested on, and how they are recognised later."""

import dataclasses
import io
import json
import os
import shutil
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, from_dict, place, to_dict
from resnet_jax.data.sources.identity import MANY
from resnet_jax.runs.files import image_record as data_record
from resnet_jax.runs.files.config_file import adopt_holdout, check_unchanged, read_config, record_config
from resnet_jax.runs.files.image_record import (
    has_trained_images,
    make_record,
    read_record,
    trained_on,
    write_record,
)
from resnet_jax.runs.planning import plan as planning
from resnet_jax.runs.planning.data_changes import data_changes, record_of, shared_note, with_recorded_classes
from resnet_jax.runs.planning.metadata import data_metadata
from resnet_jax.runs.planning.plan import make_plan


def write_images(folder, classes=("cat", "dog"), first=0, last=12):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(first, last):
            pixels = np.random.default_rng((label, i)).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"im{i:03}.png")


def config(path, **options):
    return Config(
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(path=str(path), batch_size=4, **options),
        optim=OptimConfig(warmup_epochs=0.0),
    )


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "set")
    return tmp_path / "set"


def names(source):
    return {source.examples.name(i).rpartition("/set/")[2] for i in range(len(source.examples))}


def test_images_stay_held_out_when_others_come_and_go_or_are_renamed(images):
    before = make_plan(config(images))
    assert before.data_name.endswith("(train[training]; test: train[held-out])")
    assert names(before.train) | names(before.test) == {f"{c}/im{i:03}.png" for c in ("cat", "dog") for i in range(12)}
    write_images(images, first=12, last=20)
    grown = make_plan(config(images))
    assert names(before.train) < names(grown.train) and names(before.test) < names(grown.test)
    for file in list(images.glob("*/im*.png")):
        file.rename(file.with_name(f"a{crc32(file.name.encode()) % 1000}_{file.name}"))
    renamed = make_plan(config(images))
    assert {name.rpartition("_")[2] for name in names(renamed.test)} == {name[4:] for name in names(grown.test)}
    assert grown.identities[1].digests["set"] == renamed.identities[1].digests["set"]


def test_changes_of_the_data_are_reported(images, tmp_path):
    before = make_plan(config(images))
    meta, record = {"data": data_metadata(before)}, make_record(*before.identities)
    same = ([], [])
    assert data_changes(make_plan(config(f"{images}/")), meta, record) == same
    shutil.copytree(images, tmp_path / "moved" / "set")
    assert data_changes(make_plan(config(tmp_path / "moved" / "set")), meta, record) == same

    first, last = sorted(images.glob("cat/*.png"))[:: len(names(before.train)) // 2 - 1][:2]
    chosen = next(file for file in sorted(images.glob("cat/*")) if f"cat/{file.name}" in names(before.train))
    chosen.rename(chosen.with_name("zzz.png"))
    message = "the data has changed since this run began: train images in another order (1 renamed), "
    message += "which changes the batches"
    assert data_changes(make_plan(config(images)), meta, record) == ([message], [])
    chosen.with_name("zzz.png").rename(chosen)
    assert data_changes(make_plan(config(images)), meta, record) == same

    moved = images / "dog" / chosen.name.replace("im", "am")
    chosen.rename(moved)  # corrected
    (message,), _ = data_changes(make_plan(config(images)), meta, record)
    assert "train images: 1 renamed, 1 with another label" in message
    moved.rename(chosen)
    chosen.unlink()
    (message,), _ = data_changes(make_plan(config(images)), meta, record)
    assert "1 removed" in message and "trained on before" not in message
    (message,), _ = data_changes(make_plan(config(images, holdout="position")), meta, record)
    assert "test images were trained on before" in message
    write_images(images)
    old = {"data": {"images": meta["data"]["images"], "classes": ["cat", "dog"]}}  # of version 0.1.0
    assert data_changes(before, old) == same
    write_images(images, first=12, last=20)
    (message,), _ = data_changes(make_plan(config(images)), old)
    assert message.startswith("the data has changed since this run began: images {'train'")


def test_many_files_are_not_read(images, monkeypatch):
    """Of those with a split to test on: names and sizes say which they are."""
    assert MANY > 10_000
    monkeypatch.setattr(planning, "MANY", 10)
    monkeypatch.setattr("resnet_jax.data.sources.image_files.file_fingerprints", None)
    write_images(images.parent / "both" / "train")
    write_images(images.parent / "both" / "val", first=12, last=15)
    before = make_plan(config(images.parent / "both"))
    assert {identity.kind for identity in before.identities} == {"names"}
    meta = {"data": data_metadata(before)}
    (images.parent / "both" / "val" / "dog" / "im012.png").rename(images.parent / "both" / "val" / "dog" / "x.png")
    record = make_record(*before.identities)
    changes, (message,) = data_changes(make_plan(config(images.parent / "both")), meta, record)
    assert changes == [] and message.startswith("the test images have changed (1 added, 1 removed)")
    monkeypatch.setattr(planning, "MANY", 1000)  # as after images were removed
    assert make_plan(config(images.parent / "both"), record).identities[0].kind == "names"


def test_files_of_one_name_and_size_in_two_splits_are_two_images(tmp_path, monkeypatch):
    """Where files are many and not read: train/0/1.bmp is not test/0/1.bmp."""
    monkeypatch.setattr(planning, "MANY", 3)
    for split, value in (("train", 0), ("test", 9)):
        for label in "01":
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(4):
                Image.fromarray(np.full((8, 8, 3), value + i, np.uint8)).save(tmp_path / split / label / f"{i}.bmp")
    plan = make_plan(config(tmp_path))
    assert shared_note(plan) == [] and plan.identities[0].kind == "names"
    record = make_record(*plan.identities)
    mask, known = trained_on(plan.test.examples, [(record, True)])
    assert known and not mask.any() and trained_on(plan.train.examples, [(record, True)])[0].all()
    mask, known = trained_on(plan.train.examples, [(record, False)])
    assert not known and not mask.any()  # names say nothing of another dataset


@pytest.mark.parametrize("part", ["val", "train", "held-out"])
def test_a_repaired_image_is_no_other_image(images, part):
    """It keeps its side, too, where a part is held out by contents."""
    if part == "val":
        write_images(images.parent / "both" / "train")
        write_images(images.parent / "both" / "val", first=12, last=15)
        images = images.parent / "both"
    broken = make_plan(config(images))
    source = broken.train if part == "train" else broken.test
    files = [source.examples.name(i) for i in range(1)]
    whole = {file: open(file, "rb").read() for file in files}
    for file in files:
        open(file, "wb").write(whole[file][:-9])
    plan = broken if part != "held-out" else make_plan(config(images), make_record(*broken.identities))
    broken = make_plan(config(images), make_record(*plan.identities))
    meta, record = {"data": data_metadata(broken)}, make_record(*broken.identities)
    for file in files:
        open(file, "wb").write(whole[file])
    repaired = make_plan(config(images), record)
    assert names(repaired.test) == names(broken.test)
    split = "train" if part == "train" else "test"
    message = f"1 {split} image has other contents than before, under the same name and label"
    assert data_changes(repaired, meta, record) == ([], [message])
    changes, _ = data_changes(repaired, meta, record, exact=True)  # of `replay`
    assert len(changes) == (part == "train") and all("train images: 1 added, 1 removed" in line for line in changes)


def test_exchanged_classes_and_other_images_of_the_same_names_are_no_repair(images):
    plan = make_plan(config(images, train_split="train", test_split="train", holdout="position"))
    meta, record = {"data": data_metadata(plan)}, make_record(*plan.identities)
    (images / "cat").rename(images / "x")
    (images / "dog").rename(images / "cat")
    (images / "x").rename(images / "dog")
    (message,), _ = data_changes(make_plan(plan.config), meta, record)
    assert "train images: 24 renamed, 24 with another label" in message
    write_images(images)
    (images / "cat" / "im000.png").write_bytes((images / "dog" / "im000.png").read_bytes())  # one, but it is known
    (message,), _ = data_changes(make_plan(plan.config), meta, record)
    assert "train images: 1 added, 1 removed" in message
    write_images(images, classes=("bird", "cat", "dog"))
    shutil.rmtree(images / "bird")
    (message,), _ = data_changes(make_plan(plan.config), meta, record)
    assert "train images: " in message


def test_images_of_small_classes_stay_held_out_too(tmp_path):
    """Of few images one is held out although its contents do not say so: others that come later must not replace it."""
    classes = [f"c{i:02}" for i in range(30)]
    write_images(tmp_path / "set", classes, last=3)
    before = make_plan(config(tmp_path / "set"))
    record = make_record(*before.identities)
    write_images(tmp_path / "set", classes, first=3, last=6)
    assert not names(before.test) <= names(make_plan(config(tmp_path / "set")).test)
    grown = make_plan(config(tmp_path / "set"), record)
    assert names(before.test) < names(grown.test) and names(before.train) < names(grown.train)


def test_an_incomplete_record_is_reported(images, tmp_path):
    plan = make_plan(config(images))
    train, test = plan.identities
    for record, known in (
        (make_record(train, test), True),
        (make_record(train, test, complete=False), False),
        (make_record(train, test, make_record(dataclasses.replace(train, kind="names"), test)), False),
        (None, False),
    ):
        if record is not None:
            write_record(tmp_path, record)
            record = read_record(tmp_path)
        assert trained_on(plan.test.examples, [(record, True)])[1] == known
    assert not make_record(train, test, read_record(tmp_path)).complete
    assert train.digests is train.digests  # asked for at every save


def test_images_are_identified_once_for_several_runs(images, monkeypatch):
    plan, calls = make_plan(config(images)), []
    record = make_record(*plan.identities)
    monkeypatch.setattr(data_record, "identify", lambda *a: calls.append(a) or plan.identities[1])
    trained_on(plan.test.examples, [(record, True)] * 3)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"test_split": "train[75%:]"}, (18, 6)),
        ({"test_split": "train[:25%]"}, (18, 6)),
        ({"test_split": "train[25%:50%]"}, (18, 6)),
        ({"test_split": "train"}, "--data.train-split 'train' and --data.test-split 'train' share 24 images of"),
        ({"train_split": "train[:90%]", "test_split": "train[50%:]"}, "share 10 images of"),
        ({"train_split": "train[:50%]", "test_split": "train[50%:]"}, (12, 12)),
    ],
)
def test_no_image_is_in_both_splits(images, splits, expected):
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            make_plan(config(images, **splits))
        return
    plan = make_plan(config(images, **splits))
    assert (plan.train.num_examples, plan.test.num_examples) == expected and not names(plan.train) & names(plan.test)
    digits = dataclasses.replace(config(images, **splits), data=DataConfig(**splits))
    plan = make_plan(digits)
    assert plan.train.num_examples + plan.test.num_examples == 1437
    assert plan.test.num_examples == pytest.approx(1437 * expected[1] / sum(expected), abs=1)


def test_copies_in_both_folders_are_counted(images, tmp_path):
    for split, first, last in (("train", 0, 6), ("test", 4, 8)):
        write_images(tmp_path / "both" / split, first=first, last=last)
    plan = make_plan(config(tmp_path / "both"))
    (message,) = shared_note(plan)
    assert message.startswith("4 of the 8 test images are also trained on, as the same file or a copy")
    assert shared_note(make_plan(config(images))) == []


def test_validation_comes_before_test(tmp_path):
    for split, first, last in (("train", 0, 6), ("val", 6, 8), ("test", 8, 10)):
        write_images(tmp_path / split, first=first, last=last)
    splits = [make_plan(config(tmp_path, holdout=rule)).splits[1] for rule in ("digest", "position")]
    assert [split[:3] for split in splits] == ["val", "tes"]


def test_the_record_of_a_run(images, tmp_path):
    plan = make_plan(config(images))
    assert read_record(tmp_path) is None
    write_record(tmp_path, make_record(*plan.identities))
    record = read_record(tmp_path)
    assert record.train.digests == plan.identities[0].digests and len(record.earlier) == 0
    for source, expected in ((plan.train, True), (plan.test, False)):
        mask, known = trained_on(source.examples, [(record, True)])
        assert known and (mask == expected).all()
    assert has_trained_images(plan.train.examples, record) and not has_trained_images(plan.test.examples, record)
    shutil.rmtree(images)
    write_images(images, first=6, last=18)  # half of them are others
    changed = make_plan(config(images))
    both = make_record(*changed.identities, record)
    assert len(both.trained) == len(set(record.trained) | set(changed.identities[0].fingerprints))
    forgotten = dataclasses.replace(both, earlier=both.earlier[:0])
    assert trained_on(plan.train.examples, [(forgotten, True)])[0].sum() < len(both.trained)
    written = (tmp_path / "images.npz").read_bytes()
    with np.load(tmp_path / "images.npz") as stored:
        arrays = dict(stored)
    file, one_array, other = tmp_path / "images.npz", io.BytesIO(), io.BytesIO()
    np.save(one_array, arrays["earlier"])
    np.savez(other, **arrays | {"train_labels": arrays["train_labels"][1:]})
    zipped = bytearray(written)
    zipped[8] = 99  # a way to compress that nobody knows, of the first array
    zipped[written.index(b"PK\x01\x02") + 10] = 99
    for corrupted in (written[:200], bytes(zipped), one_array.getvalue(), other.getvalue(), None):
        file.unlink()
        if corrupted is None:
            os.mkfifo(file)
        else:
            file.write_bytes(corrupted)
        with pytest.raises(ValueError, match="images.npz is corrupted .*; move it away to continue without it"):
            read_record(tmp_path)


def test_a_run_of_version_0_1_0_keeps_its_splits_and_is_recognised(images, tmp_path):
    first = config(images, holdout="position")
    record = {"config": to_dict(first)}
    del record["config"]["data"]["holdout"]
    run = tmp_path / "run"
    (run / "checkpoints" / "3" / "meta").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(record))
    assert read_config(run).data.holdout == "position" and from_dict(to_dict(config(images))).data.holdout == "digest"
    same = adopt_holdout(run, config(images))
    assert same == first and check_unchanged(run, same) == []
    with pytest.raises(ValueError, match="data.batch_size was 4, now 5"):
        changed = dataclasses.replace(config(images), data=DataConfig(path=str(images), batch_size=5))
        check_unchanged(run, adopt_holdout(run, changed))
    plan = make_plan(first)
    assert plan.splits == ("train[:80%]", "train[80%:]")
    meta = {"data": {"images": {"train": 19, "test": 5}, "classes": ["cat", "dog"]}}
    rebuilt = record_of(run, meta)
    assert rebuilt.train.digests == plan.identities[0].digests
    write_images(images, first=12, last=13)
    assert record_of(run, meta) is None  # its held-out part is no longer known
    meta_file = {"format": 2, "model": {}, "classes": [], "preprocess": {}, "config": record["config"]}
    (run / "checkpoints" / "3" / "meta" / "metadata").write_text(json.dumps(meta_file))
    (run / "config.json").unlink()
    assert adopt_holdout(run, config(images)) == first


@pytest.mark.parametrize("inside", [("",), ("day", "night")])
def test_a_folder_is_read_as_version_0_1_0_did(tmp_path, inside):
    """With files that it passed over, class folders that look like splits, and a mean of values up to 255."""
    for folder in inside:
        write_images(tmp_path / "set" / "cat" / folder, classes=(".",), last=4)
        write_images(tmp_path / "set" / "dog" / folder, classes=(".",), last=4)
    (tmp_path / "set" / "dog" / "extra").write_bytes(next((tmp_path / "set").rglob("*.png")).read_bytes())
    (tmp_path / "set" / "lost+found").mkdir()
    shutil.copy(next((tmp_path / "set").rglob("*.png")), tmp_path / "set" / "lost+found")
    first = config(tmp_path / "set", holdout="position", mean=(123.0,) * 3, std=(58.0,) * 3)
    plan = make_plan(dataclasses.replace(first, data=dataclasses.replace(first.data, batch_size=2)))
    assert plan.train.classes == ("cat", "dog", "lost+found")
    assert names(plan.train) | names(plan.test) == {
        path.relative_to(tmp_path / "set").as_posix() for path in (tmp_path / "set").rglob("*.png")
    }
    with pytest.raises(ValueError, match=r"data.mean: expected means of values in \[0, 1\]"):
        make_plan(config(tmp_path / "set", mean=(123.0,) * 3, std=(58.0,) * 3))


def test_a_path_may_be_written_otherwise_and_starts_where_the_run_did(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    record_config(run, config("set"), 0)
    (run / "checkpoints" / "1").mkdir(parents=True)
    places = [place(config(path).data) for path in ("set", "set/", "./set", images)]
    assert len(set(places)) == 1
    for path in ("set/", "./set", str(images)):
        assert check_unchanged(run, config(path)) == []
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert place(read_config(run).data) == places[0]
    images.rename(tmp_path / "moved")
    assert read_config(run).data.path == "set"
    record_config(run, config("../moved"), 1)
    assert read_config(run).data.path == "../moved" and "before" not in json.loads((run / "config.json").read_text())


def test_a_relative_file_of_labels_starts_where_the_run_did(images, tmp_path, monkeypatch):
    rows = [f"set/{file.relative_to(images).as_posix()},{file.parent.name}" for file in images.rglob("*.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    monkeypatch.chdir(tmp_path)
    record_config(tmp_path, config("set", labels="labels.csv"), 0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert make_plan(read_config(tmp_path)).train.classes == ("cat", "dog")
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    record_config(tmp_path, config("../set", labels="../labels.csv"), 1)
    assert read_config(tmp_path).data.labels == "../labels.csv"


def test_class_weights(images):
    for file in sorted(images.glob("cat/*.png"))[3:]:
        file.unlink()

    def weighted(weights):
        whole = config(images, train_split="train", test_split="train", holdout="position")
        return make_plan(dataclasses.replace(whole, optim=OptimConfig(warmup_epochs=0.0, class_weights=weights)))

    assert weighted(None).task.class_weights is None
    assert weighted("balanced").task.class_weights == pytest.approx((15 / (2 * 3), 15 / (2 * 12)))  # n / (K * n_k)
    assert weighted((1.0, 0.0)).task.class_weights == (1.0, 0.0)
    assert weighted(("dog=2.5",)).task.class_weights == (1.0, 2.5)
    assert weighted(("dog=0", "cat=3")).task.class_weights == (3.0, 0.0)
    plan = with_recorded_classes(weighted("balanced"), {"classes": ["dog", "cat"]})
    assert plan.task.class_weights == pytest.approx((15 / (2 * 12), 15 / (2 * 3)))
    for weights, message in (
        (
            (1.0,),
            "expected optim.class_weights to have 2 numbers, one per class, got 1; .*: cat, dog; or CLASS=WEIGHT",
        ),
        (("dgo=1",), "optim.class_weights: no class 'dgo'; did you mean dog"),
        (("dog=0", "cat=0"), "optim.class_weights: expected one weight or more above 0, got 0 for each class"),
        ((1.0, "cat=2"), "optim.class_weights: .*; or CLASS=WEIGHT"),
        (("cat=-2",), "optim.class_weights: .*; or CLASS=WEIGHT"),
        (("cat=x",), "optim.class_weights: .*; or CLASS=WEIGHT"),
        ((0.0, 0.0), "optim.class_weights: expected balanced, or a number of at least 0 for each class"),
        ((), "optim.class_weights: expected balanced, or"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted(weights)


def test_balanced_batches_come_by_the_plan(images):
    for file in sorted(images.glob("cat/*.png"))[4:]:
        file.unlink()
    for options in ({}, {"image_size": 8}):
        plan = make_plan(config(images, balance=True, test_split="train[:25%]", **options))
        assert plan.train.num_examples == 12
        batch = next(plan.train.batches(0, 0, batch_size=12))
        assert np.bincount(batch["label"]).tolist() == [6, 6]
        assert (batch["label"] == plan.train.labels[plan.train.order(0, 12).batch(0)]).all()


def test_an_invalid_record_of_earlier_configs_is_one_line(images, tmp_path):
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    record_config(tmp_path, config(images), 0)
    record = json.loads((tmp_path / "config.json").read_text())
    for before in (5, [5], [{"until": 1}]):
        (tmp_path / "config.json").write_text(json.dumps(record | {"before": before}))
        with pytest.raises(ValueError, match="config.json is not the config of a run: .* in 'before'"):
            record_config(tmp_path, config(images, padding=2), 1)


def test_another_runs_record_is_refused(images, tmp_path):
    """Its splits and the images it was trained on would be taken for this run's."""
    write_images(tmp_path / "others", first=20, last=32)
    plans = [make_plan(config(folder)) for folder in (images, tmp_path / "others")]

    def save(step, plan):
        meta = {"format": 2, "model": {}, "classes": [], "preprocess": {}, "data": data_metadata(plan)}
        file = tmp_path / "run" / "checkpoints" / str(step) / "meta" / "metadata"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(meta))
        return meta

    meta, run = save(3, plans[0]), tmp_path / "run"
    record, other = (make_record(*plan.identities) for plan in plans)
    write_record(run, record)
    assert read_record(run).digest == record.digest
    write_record(run, other)
    with pytest.raises(ValueError, match="images.npz belongs to another run: the newest checkpoint was trained"):
        read_record(run)
    # The data was changed on purpose, and no checkpoint has been saved since.
    write_record(run, make_record(*plans[1].identities, record))
    assert read_record(run).history == (record.digest,)
    write_record(run, make_record(*plans[1].identities, complete=False, metadata=meta))  # the record was moved away
    changed = read_record(run)
    save(4, plans[1])
    assert read_record(run).history == changed.history == (record.digest,)
