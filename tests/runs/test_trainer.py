"""Training starts, resumes and refuses: what `train` does before and after its loop."""

import dataclasses
import json
import shutil
from contextlib import ExitStack
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from small_run import config, records

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import Config, DataConfig
from resnet_jax.errors import DataError, SetupError
from resnet_jax.runs import trainer
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.files.image_record import read_record
from resnet_jax.runs.planning.numerics import NUMERICS
from resnet_jax.runs.trainer import train


@pytest.mark.slow
def test_a_run_directory_has_records_config_and_metadata(finished):
    folder, means = finished
    assert [line["step"] for line in records(folder, "train")] == [3, 4, 6, 8]
    assert [line["step"] for line in records(folder, "test")] == [4, 8]
    assert records(folder)[-1] == {"step": 8, "split": "test", "epoch": 2.0, **means}
    assert all(line["images_per_second"] > 0 for line in records(folder, "train"))
    first = records(folder, "train")[0]
    assert set(first) >= {"epoch", "loss", "top1", "top5", "learning_rate", "images_per_second"}
    assert first["epoch"] == 0.75 and first["learning_rate"] == pytest.approx(0.1)
    saved = json.loads((folder / "config.json").read_text())
    assert saved["config"]["model"]["name"] == "cifar_resnet8" and saved["versions"]["jax"] == jax.__version__
    meta = json.loads((folder / "checkpoints" / "8" / "meta" / "metadata").read_text())
    digests = meta["data"].pop("digests")
    assert set(digests) == {"train", "test"} and set(digests["train"]) == {"kind", "set", "order"}
    record = read_record(folder)
    assert record.train.digests == digests["train"] and record.test.digests == digests["test"]
    assert meta["classes"] == list("0123456789") and meta["data"] == {
        "next_step": 8,
        "images": {"train": 359, "test": 50},
        "classes": list("0123456789"),
    }
    assert meta["config"] == saved["config"] and meta["numerics"] == NUMERICS


@pytest.mark.slow
def test_the_checkpoint_is_the_net_that_was_evaluated(finished, digits):
    folder, means = finished
    loaded = load_checkpoint(folder)
    images = loaded.preprocess(digits.images[:50])
    logits = loaded.model.apply(loaded.variables, images, train=False).logits
    assert (np.argmax(logits, -1) == digits.labels[:50]).mean() == pytest.approx(means["top1"])


@pytest.mark.slow
def test_a_finished_run_is_reported_and_writes_nothing(finished, tfds_dir, capsys):
    folder, means = finished
    before = [(folder / name).read_bytes() for name in ("metrics.jsonl", "config.json")]
    assert train(config(folder, tfds_dir)) == pytest.approx(means)
    assert "this run is finished: test top-1" in capsys.readouterr().out
    assert [(folder / name).read_bytes() for name in ("metrics.jsonl", "config.json")] == before


def test_processes_agree_before_each_part_of_the_start_ends(monkeypatch):
    agreed = []
    monkeypatch.setattr(trainer.processes, "fail_together", agreed.append)
    for error in (None, DataError("a.png"), SetupError("b"), OSError("c")):
        with trainer._all_or_none():
            if error is not None:
                raise error
    assert agreed[0] is None and [type(one) for one in agreed[1:]] == [DataError, SetupError, SetupError]


def test_gradient_flow_with_terms_of_two_weights_is_refused_and_leaves_no_folder(tmp_path, tfds_dir, monkeypatch):
    both = {"model__name": "cifar_skipnet38", "optim__gate_penalty": 0.5, "optim__class_weights": "balanced"}
    message = "train.gradient_flow: expected terms of one weight, got optim.gate_penalty and optim.class_weights; set"
    with pytest.raises(SetupError, match=message):
        train(config(tmp_path / "run", tfds_dir, **both, train__gradient_flow=True))

    def refuses(*_):
        raise ValueError("no such step")

    monkeypatch.setattr(trainer, "Trainer", refuses)  # any other mistake that building the step reports
    with pytest.raises(SetupError, match="^no such step$"):
        train(config(tmp_path / "run", tfds_dir))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_allowed_changes_are_reported_and_recorded_and_nothing_is_compiled_twice(
    finished, tmp_path, tfds_dir, monkeypatch, capsys
):
    """The finished run resumes for two more epochs, with another seed and averages."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **about: compiled.append(about.get("fun_name", "")) if "backend_compile" in event else None
    )
    changed = {"train__epochs": 4.0, "train__seed": 1, "optim__ema_decay": 0.5, "checkpoint__best": "loss"}
    longer = config(folder, tfds_dir, **changed, resume__allow_changes=True)
    means = train(longer)
    out = capsys.readouterr().out
    message = "optim.ema_decay was None, now 0.5, train.epochs was 2.0, now 4.0, train.seed was 0, now 1"
    assert f"resuming with another config: {message}" in out and "averaged weights" in out
    assert "resuming from step 8" in out and records(folder)[-1] == {"step": 16, "split": "test", "epoch": 4.0, **means}
    losses = [line["loss"] for line in records(folder, "test")[:-1]]
    assert open_checkpoint(folder).metadata["best"]["value"] == min(losses)  # tests before the change count too
    saved = json.loads((folder / "config.json").read_text())
    assert saved["config"]["train"]["epochs"] == 4.0 and saved["before"][0]["config"]["train"]["epochs"] == 2.0
    # The name of mapped functions: the training step and the evaluation step.
    assert sum("_fun" in name for name in compiled) == 2, compiled


@pytest.mark.slow
def test_other_data_is_refused_unless_changes_are_allowed(finished, tmp_path, tfds_dir):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    meta = folder / "checkpoints" / "8" / "meta" / "metadata"
    meta.write_text(meta.read_text().replace('"train": 359', '"train": 358'))
    (folder / "checkpoints" / "8" / "checksums.json").unlink()
    meta.write_text(meta.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(SetupError, match="the data has changed since this run began: images .*358.*, now .*359"):
        train(config(folder, tfds_dir))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__name": "resnet5o"}, "no model named 'resnet5o'; did you mean resnet50"),
        ({"data__name": "digts"}, "no TFDS dataset, file or folder 'digts'; did you mean digits"),
        (
            {"data__batch_size": 100},
            "--data.batch-size to be a multiple of 8 (devices x --optim.accumulate), got 100",
        ),
        ({"optim__accumulate": 3}, "got 88; did you mean 72 or 96?"),
        ({"data__eval_batch_size": 12}, "--data.eval-batch-size to be a multiple of 8 devices, got 12"),
        ({"data__batch_size": 4000}, "expected --data.batch-size of at most 359, the images of digits"),
        ({"optim__warmup_epochs": 2.0}, "--optim.warmup-epochs 2.0 is 8 steps of a run of 8"),
        ({"train__patience": 0}, "train.patience: expected at least 1"),
        ({"checkpoint__best": "ema_top1"}, "set --optim.ema-decay, or --checkpoint.best top1"),
        ({"optim__schedule": "step"}, "--optim.schedule step needs --optim.decay-epochs"),
        ({"train__epochs": 1e9}, "--train.epochs 1000000000.0 is 4,000,000,000 steps, an epoch has 4"),
        ({"train__epochs": 0.01, "optim__warmup_epochs": 0.0}, "--train.epochs 0.01 gives no step: an epoch has 4"),
        ({"optim__schedule": "step", "optim__decay_epochs": (1.0, 3.0)}, "are steps [4, 12]; expected"),
        ({"train__epochs": 0.0}, "train.epochs: expected more than 0"),
        ({"train__epochs": float("inf")}, "train.epochs: expected a finite number"),
        ({"train__seed": 10**20}, "train.seed: expected at least 0 and less than 2**63"),
        ({"train__seed": 1.5}, "train.seed: expected a whole number"),
        ({"optim__clip_norm": -1.0}, "optim.clip_norm: expected more than 0"),
        ({"optim__lr_reference_batch": 0}, "optim.lr_reference_batch: expected at least 1"),
        ({"optim__optimizer": "sdg"}, "optim.optimizer: expected 'sgd' or 'adamw'"),
        ({"optim__peak_lr": "0.2"}, "optim.peak_lr: expected a finite number"),
        ({"data__mean": [0.5]}, "data.mean: expected a tuple of a finite number or None"),
        ({"data__std": (0.0,)}, "data.std: expected standard deviations of values in [0, 1]"),
        ({"data__mean": (123.7,)}, "data.mean: expected means of values in [0, 1], as 0.485 0.456 0.406"),
        ({"data__std": (58.4,)}, "data.std: expected standard deviations of values in [0, 1]"),
        ({"model__drop_path": 0.1, "model__name": "cifar_plain20"}, "drop_path needs shortcuts"),
        ({"data__batch_size": 0}, "data.batch_size: expected at least 1"),
        ({"optim__label_smoothing": 1.5}, "optim.label_smoothing: expected a number in [0, 1)"),
        ({"data__mean": (0.1, 0.2), "data__std": (1.0, 1.0)}, "expected 1 numbers, one per channel"),
        ({"model__bn_group_size": 3}, "expected --model.bn-group-size to divide 8 devices, got 3"),
        ({"model__frozen_norms": ("stage7",)}, "frozen_norms: expected all, stem, stage1"),
    ],
)
def test_mistakes_are_refused_before_any_work(tmp_path, tfds_dir, changes, message):
    workdir = tmp_path / "run"
    with pytest.raises(SetupError) as caught:
        train(config(workdir, tfds_dir, **changes))
    assert message in str(caught.value)
    assert not workdir.exists()


def test_an_impossible_workdir_is_named(tmp_path, tfds_dir):
    (tmp_path / "file").write_text("")
    for workdir, message in (
        (" ", "workdir: expected a folder for the run"),
        (tmp_path / "file" / "run", "cannot make the run directory"),
    ):
        with pytest.raises(SetupError, match=message):
            train(config(workdir, tfds_dir))


@pytest.mark.slow
def test_an_impossible_change_leaves_the_config_of_the_run(finished, tmp_path, tfds_dir):
    shutil.copytree(finished[0], tmp_path / "run")
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(SetupError, match="--train.epochs 1.0 is 4 steps, and the run in .* has completed 8"):
        train(config(tmp_path / "run", tfds_dir, train__epochs=1.0, resume__allow_changes=True))
    with pytest.raises(SetupError, match="8 has other arrays than this config: opt_state"):
        train(config(tmp_path / "run", tfds_dir, optim__optimizer="adamw", resume__allow_changes=True))
    records_before = (tmp_path / "run" / "metrics.jsonl").read_text()
    (tmp_path / "run" / "metrics.jsonl").write_text(records_before + "junk\n")
    with pytest.raises(SetupError, match="metrics.jsonl has an invalid line"):
        train(config(tmp_path / "run", tfds_dir, train__epochs=3.0, resume__allow_changes=True))
    (tmp_path / "run" / "metrics.jsonl").write_text(records_before)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    (tmp_path / "run" / "config.json").unlink()  # the checkpoint has it too
    with pytest.raises(SetupError, match="another config: optim.peak_lr was 0.1, now 0.2"):
        train(config(tmp_path / "run", tfds_dir, optim__peak_lr=0.2))


@pytest.mark.parametrize("inside", [".", "run1", "cat/run1"])
def test_a_workdir_in_the_images_is_refused_before_it_is_made(tmp_path, inside):
    images = tmp_path / "images"
    (images / "cat").mkdir(parents=True)
    run = dataclasses.replace(Config(), workdir=str(images / inside), data=DataConfig(path=str(images)))
    with pytest.raises(
        SetupError, match=f"workdir .* is inside --data.path {images}; expected a directory outside, as "
    ):
        train(run)
    assert [path.name for path in images.rglob("*")] == ["cat"]
    (images / inside / "checkpoints" / "1").mkdir(parents=True)  # a run that started there may resume
    trainer._check_outside_images(images / inside, str(images))
    (images / "train-images-idx3-ubyte").touch()  # a run beside files of arrays is allowed
    trainer._check_outside_images(images / "new", str(images))


def test_a_run_of_version_0_1_0_keeps_its_splits_with_a_note(tmp_path, tfds_dir):
    first = config(tmp_path / "run", tfds_dir)
    (tmp_path / "run").mkdir()
    record_config(
        tmp_path / "run", dataclasses.replace(first, data=dataclasses.replace(first.data, holdout="position")), 0
    )
    with ExitStack() as held:
        plan, _, _, notes, _ = trainer._open(first, None, SimpleNamespace(), held)
    assert plan.config.data.holdout == "position"
    assert "--data.holdout position: images are read and held out as when this run began" in notes
