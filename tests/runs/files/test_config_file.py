"""config.json: changes that are allowed, refused and recorded."""

import dataclasses
import json
import re

import image_folders
import pytest
from corrupted_files import check_corrupted, check_other_contents
from small_run import config

from resnet_jax.config import CheckpointConfig, DataConfig, from_dict, place, to_dict
from resnet_jax.errors import SetupError
from resnet_jax.runs.files.config_file import (
    adopt_holdout,
    check_unchanged,
    config_of_steps,
    read_config,
    record_config,
)
from resnet_jax.runs.planning.data_changes import record_of
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.trainer import train


def test_a_run_without_a_checkpoint_takes_another_config(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir), 0)
    (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir(parents=True)  # a save that was interrupted
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "split": "train"}\n')
    changed = config(tmp_path, tfds_dir, optim__peak_lr=0.2)
    expected = "no checkpoint was saved yet, so the config may change: optim.peak_lr was 0.1, now 0.2"
    assert check_unchanged(tmp_path, changed) == [expected]
    record_config(tmp_path, changed, 0)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["config"]["optim"]["peak_lr"] == 0.2 and "before" not in saved
    (tmp_path / "config.json").write_text("{}")
    assert "it is invalid, and no checkpoint was saved" in check_unchanged(tmp_path, changed)[0]
    record_config(tmp_path, changed, 0)
    (tmp_path / "metrics.jsonl").write_text('{"step": 3, "split": "test"}\n')  # a result: its checkpoints were removed
    with pytest.raises(ValueError, match="holds a run of another config"):
        check_unchanged(tmp_path, config(tmp_path, tfds_dir))


def test_the_directory_of_another_run_is_refused_and_unchanged(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir), 0)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    before = (tmp_path / "config.json").read_bytes()
    message = (
        f"another config: optim.peak_lr was 0.1, now 0.2; --config {tmp_path} takes the run's config; "
        "or choose another --workdir, or --resume.allow-changes"
    )
    with pytest.raises(SetupError, match=message):
        train(config(tmp_path, tfds_dir, optim__peak_lr=0.2))
    assert (tmp_path / "config.json").read_bytes() == before


def test_checkpoint_settings_may_change_and_absent_fields_have_their_defaults(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir, optim__warmup_epochs=5.0), 0)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    # What error messages advise, and the warmup as versions without None wrote it.
    advised = {"data__unreadable": "skip", "data__eval_batch_size": 8, "train__patience": 3}
    changed = config(tmp_path, tfds_dir, optim__warmup_epochs=None, **advised)
    changed = dataclasses.replace(changed, checkpoint=CheckpointConfig(keep_latest=7, best="loss"))
    assert check_unchanged(tmp_path, changed) == []
    saved = json.loads((tmp_path / "config.json").read_text())
    del saved["config"]["optim"]["accumulate"]  # as a version would have written it that had no such field
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert check_unchanged(tmp_path, changed) == []
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="config.json is not the config of a run"):
        check_unchanged(tmp_path, changed)


def test_each_step_has_the_config_it_was_made_with(tmp_path, tfds_dir):
    for step, rate in ((0, 0.1), (8, 0.2), (8, 0.3), (20, 0.4)):
        record_config(tmp_path, config(tmp_path, f"elsewhere{step}", optim__peak_lr=rate), step)

    def rate(first, last):
        config_then = config_of_steps(tmp_path, first, last)
        assert config_then.data.data_dir == "elsewhere20"  # may change: the present value is used
        return config_then.optim.peak_lr

    assert [rate(1, 8), rate(9, 9), rate(9, 20), rate(21, 99)] == [0.1, 0.3, 0.3, 0.4]
    with pytest.raises(ValueError, match="was changed after step 8, whose checkpoint is deleted"):
        rate(5, 9)


def test_a_run_of_version_0_1_0_keeps_its_splits_and_is_recognised(images, tmp_path):
    first = image_folders.config(images, holdout="position")
    record = {"config": to_dict(first)}
    del record["config"]["data"]["holdout"]
    run = tmp_path / "run"
    (run / "checkpoints" / "3" / "meta").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(record))
    assert (
        read_config(run).data.holdout == "position"
        and from_dict(to_dict(image_folders.config(images))).data.holdout == "digest"
    )
    same = adopt_holdout(run, image_folders.config(images))
    assert same == first and check_unchanged(run, same) == []
    with pytest.raises(ValueError, match="data.batch_size was 4, now 5"):
        changed = dataclasses.replace(image_folders.config(images), data=DataConfig(path=str(images), batch_size=5))
        check_unchanged(run, adopt_holdout(run, changed))
    plan = make_plan(first)
    assert plan.splits == ("train[:80%]", "train[80%:]")
    meta = {"data": {"images": {"train": 19, "test": 5}, "classes": ["cat", "dog"]}}
    rebuilt = record_of(run, meta)
    assert rebuilt.train.digests == plan.identities[0].digests
    image_folders.write_images(images, first=12, last=13)
    assert record_of(run, meta) is None  # its held-out part is no longer known
    meta_file = {"format": 2, "model": {}, "classes": [], "preprocess": {}, "config": record["config"]}
    (run / "checkpoints" / "3" / "meta" / "metadata").write_text(json.dumps(meta_file))
    (run / "config.json").unlink()
    assert adopt_holdout(run, image_folders.config(images)) == first


def test_a_path_may_be_written_otherwise_and_starts_where_the_run_did(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    record_config(run, image_folders.config("set"), 0)
    (run / "checkpoints" / "1").mkdir(parents=True)
    places = [place(image_folders.config(path).data) for path in ("set", "set/", "./set", images)]
    assert len(set(places)) == 1
    for path in ("set/", "./set", str(images)):
        assert check_unchanged(run, image_folders.config(path)) == []
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert place(read_config(run).data) == places[0]
    images.rename(tmp_path / "moved")
    assert read_config(run).data.path == "set"
    record_config(run, image_folders.config("../moved"), 1)
    assert read_config(run).data.path == "../moved" and "before" not in json.loads((run / "config.json").read_text())


def test_a_relative_file_of_labels_starts_where_the_run_did(images, tmp_path, monkeypatch):
    rows = [f"set/{file.relative_to(images).as_posix()},{file.parent.name}" for file in images.rglob("*.png")]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    monkeypatch.chdir(tmp_path)
    record_config(tmp_path, image_folders.config("set", labels="labels.csv"), 0)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert make_plan(read_config(tmp_path)).train.classes == ("cat", "dog")
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    record_config(tmp_path, image_folders.config("../set", labels="../labels.csv"), 1)
    assert read_config(tmp_path).data.labels == "../labels.csv"


def test_relative_files_of_annotations_start_where_the_run_did(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train.json", "val.json", "elsewhere/here.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for annotations in ("train.json", ("train.json", "val.json")):
        run = tmp_path / f"run{len(annotations)}"
        run.mkdir()
        monkeypatch.chdir(tmp_path)
        record_config(run, image_folders.config("set", annotations=annotations), 0)
        monkeypatch.chdir(tmp_path / "elsewhere")
        expected = [str(tmp_path / name) for name in ([annotations] if isinstance(annotations, str) else annotations)]
        resolved = read_config(run).data.annotations
        assert resolved == (expected[0] if isinstance(annotations, str) else tuple(expected))
        (run / "checkpoints" / "1").mkdir(parents=True)
        moved = image_folders.config("../set", annotations="here.json")
        assert check_unchanged(run, moved) == []
        record_config(run, moved, 1)
        assert read_config(run).data.annotations == "here.json"


def test_an_invalid_record_of_earlier_configs_is_one_line(images, tmp_path):
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    record_config(tmp_path, image_folders.config(images), 0)
    record = json.loads((tmp_path / "config.json").read_text())
    for before in (5, [5], [{"until": 1}]):
        (tmp_path / "config.json").write_text(json.dumps(record | {"before": before}))
        with pytest.raises(ValueError, match="config.json is not the config of a run: .* in 'before'"):
            record_config(tmp_path, image_folders.config(images, padding=2), 1)


@pytest.mark.filterwarnings("ignore")
def test_a_corrupted_config_is_read_correctly_or_named(tmp_path_factory, tmp_path):
    check_corrupted(tmp_path_factory.mktemp("run"), "config.json")
    check_other_contents(tmp_path, "config.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100000, "maximum recursion depth"),
        ("[]", "expected an entry 'config'"),
        ("{}", "expected an entry 'config'"),
        ('{"config": 3}', "expected names and values of the fields of Config, got 3"),
        ('{"config": {"optim": []}}', "expected names and values of the fields of OptimConfig, got .."),
        ('{"config": {"optim": {"peak_lr": NaN}}}', "optim.peak_lr: expected a finite number, got nan"),
        ('{"config": {"train": {"seed": "0"}}}', "train.seed: expected a whole number, got '0'"),
        ('{"config": {"data": {"channels": true}}}', "data.channels: expected 1 or 3 or None, got True"),
        ('{"config": {"train": {"seed": 1%s}}}' % ("0" * 5000), "Exceeds the limit"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(
        ValueError, match=f"^{re.escape(str(tmp_path))}/config.json is not the config of a run: .*{message}"
    ):
        read_config(tmp_path)
