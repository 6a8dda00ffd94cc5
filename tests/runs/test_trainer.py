import dataclasses
import json
import os
import shutil
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints.best import BestTest, Measure
from resnet_jax.checkpoints.checksums import named_leaves
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import kept_steps, open_checkpoint
from resnet_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import DataError, Diverged, EvaluationStopped, OutOfMemory, Preempted, SaveFailed, SetupError
from resnet_jax.runs import trainer
from resnet_jax.runs.files.config_file import check_unchanged, config_of_steps, record_config
from resnet_jax.runs.files.directory import remove_reports
from resnet_jax.runs.files.image_record import read_record
from resnet_jax.runs.loop import compilation, loop
from resnet_jax.runs.planning import messages, metadata
from resnet_jax.runs.planning.numerics import NUMERICS, numerics_note
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.saved.replay import replay
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train


def config(workdir, tfds_dir, **changes):
    """Eight steps of 88 digits on eight devices, four steps an epoch: a minute's run in seconds."""
    base = Config(
        workdir=str(workdir),
        model=ModelConfig(name="cifar_resnet8", bn_axis="data"),
        data=DataConfig(data_dir=tfds_dir, train_split="train[:25%]", test_split="test[:50]", batch_size=88),
        optim=OptimConfig(warmup_epochs=0.5),
        train=TrainConfig(epochs=2.0, log_every_steps=3, eval_every_epochs=1.0),
    )
    for name, value in changes.items():
        group, field = name.split("__")
        base = dataclasses.replace(base, **{group: dataclasses.replace(getattr(base, group), **{field: value})})
    return base


def records(folder, split=None):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if split in (None, line["split"])]


def without_clock(lines):
    return [{k: v for k, v in line.items() if k not in ("images_per_second", "data_wait")} for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tfds_dir):
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(config(folder, tfds_dir))


@pytest.mark.slow
def test_the_folder_of_a_run(finished):
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


@pytest.mark.slow
def test_a_run_stopped_in_its_test_resumes_to_the_same_numbers(finished, tmp_path, tfds_dir, monkeypatch, capsys):
    """SIGTERM in the first test; saves by the clock too. Goes on under shard_map."""
    seen = []

    class Counting(loop.RunReporter):
        def advance(self, step):
            seen.append(step)
            super().advance(step)

    class Terminated(Trainer):
        def test(self, state, stop):
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop():
                time.sleep(0.001)
            return super().test(state, stop)

    monkeypatch.setattr(loop, "RunReporter", Counting)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "Trainer", Terminated)
        patch.setattr(metadata, "NUMERICS", 1)  # as version 0.1.0, whose last digits differ
        with pytest.raises(Preempted, match="stopped by SIGTERM at step 4, which is saved") as caught:
            train(config(tmp_path, tfds_dir, checkpoint__every_minutes=1e-6))
    assert caught.value.status == 143
    assert kept_steps(tmp_path / "checkpoints") == [3, 4] and not records(tmp_path, "test")
    # As if the test had been made when it went on, and it had died before the save.
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 4, "split": "test", "loss": 0.0}) + "\n")
    means = train(config(tmp_path, tfds_dir, train__parallel="shard_map"))
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    printed = " ".join(capsys.readouterr().out.split())
    assert "resuming from step 4" in printed and printed.count(numerics_note({})[0]) == 1
    assert open_checkpoint(tmp_path).metadata["numerics"] == NUMERICS
    folder, straight = finished
    assert means == straight
    assert without_clock(records(tmp_path)) == without_clock(records(folder))
    a, b = open_checkpoint(folder), open_checkpoint(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, a.arrays, b.arrays)


EXHAUSTED = "RESOURCE_EXHAUSTED: Out of memory allocating 133089445696 bytes."


@pytest.mark.slow
def test_errors_of_the_data_and_the_device_save_the_completed_steps(finished, tmp_path, tfds_dir, monkeypatch, capsys):
    """An image that cannot be read, memory that ends in a step and in a test; SIGUSR1 on the way."""
    run, saves = config(tmp_path, tfds_dir), []
    save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, step, *a, **k: saves.append(step) or save(self, step, *a, **k)
    )

    class Failing(Trainer):
        fails, error = ("batch", 6), None

        def batches(self, done):
            for step, batch in enumerate(super().batches(done), done + 1):
                if self.fails == ("batch", step):
                    raise DataError("im019.jpg: cannot be decoded")
                yield batch

        def train_step(self, step, state, batch):
            if step == 2:
                os.kill(os.getpid(), signal.SIGUSR1)
                time.sleep(0.5)
            if self.fails == ("step", step):
                raise self.error
            return super().train_step(step, state, batch)

        def test(self, state, stop=None):
            if self.fails == ("test", int(jax.device_get(state.step))):
                raise jax.errors.JaxRuntimeError(EXHAUSTED)
            return super().test(state, stop) if stop else super().test(state)

    def full(self):
        if saves:
            raise SaveFailed("skipped.jsonl cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "Trainer", Failing)
        with pytest.raises(DataError, match="^im019.jpg: cannot be decoded$"), monkeypatch.context() as disk:
            disk.setattr(loop.SkippedImages, "update", full)
            train(run)
        assert saves == [2, 3]  # batches are read ahead
        out = capsys.readouterr().out
        assert "step 3 is saved; the same command resumes from there" in out and "skipped.jsonl cannot be" in out
        Failing.fails, Failing.error = ("step", 6), RuntimeError("the charts' server is lost")
        with pytest.raises(RuntimeError, match="^the charts' server is lost$"):
            train(run)
        assert saves[-1] == 5
        Failing.error = jax.errors.JaxRuntimeError(EXHAUSTED)
        Failing.fails = ("step", 7)
        message = (
            r"out of memory in step 7 \(asked for 124 GiB\): a lower --data.batch-size \(now 88\), --optim.accumulate 2"
        )
        with pytest.raises(OutOfMemory, match=message):
            train(run)
        assert saves[-1] == 6
        Failing.fails = ("test", 8)
        with pytest.raises(
            OutOfMemory, match=r"in the test \(asked for 124 GiB\): a lower --data.eval-batch-size \(now 88"
        ):
            train(run)
        assert saves[-1] == 8
    folder, straight = finished
    assert train(run) == straight and saves[-1] == 8  # tested without another save
    assert without_clock(records(tmp_path)) == without_clock(records(folder))
    jax.tree.map(np.testing.assert_array_equal, open_checkpoint(folder).arrays, open_checkpoint(tmp_path).arrays)
    assert open_checkpoint(tmp_path).test_results == pytest.approx(straight)
    with pytest.raises(OutOfMemory, match=r"in the test .* a lower --data.eval-batch-size"):
        monkeypatch.setattr(trainer, "Trainer", Failing)
        train(run)


def test_next_commands_install_what_they_need(monkeypatch):
    monkeypatch.setattr(messages, "is_installed", lambda package: False)
    assert messages.next_commands("my run", "latest") == (
        "resnet-jax predict 'my run' IMAGE, resnet-jax eval 'my run', "
        "resnet-jax plot 'my run' (after pip install 'flax-resnets[plots]')"
    )
    monkeypatch.setattr(messages, "is_installed", lambda package: True)
    assert messages.next_commands("a", "best").endswith("resnet-jax eval a --step best, resnet-jax plot a")


@pytest.mark.slow
def test_patience_ends_a_run_at_the_same_step_however_often_it_is_stopped(tmp_path, tfds_dir, monkeypatch, capsys):
    class Scripted(Trainer):
        stopped = 3

        def test(self, state, stop=None):
            step = int(jax.device_get(state.step))
            if step == self.stopped:
                os.kill(os.getpid(), signal.SIGTERM)
                while not stop():
                    time.sleep(0.001)
                raise EvaluationStopped
            losses = [0.5, 0.4, 0.45, 0.47, 0.3, 0.2, 0.1, 0.1]
            return super().test(state) | {"loss": losses[step - 1], "top1": step / 10}

    monkeypatch.setattr(trainer, "Trainer", Scripted)
    patient = {"train__eval_every_epochs": 0.25, "checkpoint__best": "loss", "checkpoint__keep_latest": 1}
    with pytest.raises(Preempted):
        train(config(tmp_path, tfds_dir, **patient, train__patience=2))
    Scripted.stopped = None
    assert train(config(tmp_path, tfds_dir, **patient, train__patience=2))["loss"] == 0.47
    *_, why, last = capsys.readouterr().out.splitlines()
    message = "stopped early at step 4, after 2 tests without a better result (--train.patience)"
    assert why == f"{message}; the best: loss 0.4000 at step 2"
    assert last.startswith("done in 0:") and last.endswith(f"next: resnet-jax predict {tmp_path} IMAGE --step best, "
        f"resnet-jax eval {tmp_path} --step best, resnet-jax plot {tmp_path}")  # fmt: skip
    assert kept_steps(tmp_path / "checkpoints") == [2, 4] and open_checkpoint(tmp_path, "best").step == 2
    train(config(tmp_path, tfds_dir, **patient, train__patience=2))
    assert "this run is finished: test top-1 0.4000, loss 0.4700; " in capsys.readouterr().out
    train(config(tmp_path, tfds_dir, **patient, train__patience=3))
    assert [line["step"] for line in records(tmp_path, "test")] == list(range(1, 9))
    assert kept_steps(tmp_path / "checkpoints") == [7, 8]  # of the equal losses at 7 and 8 the first is the best


def test_processes_agree_before_each_part_of_the_start_ends(monkeypatch):
    agreed = []
    monkeypatch.setattr(trainer.processes, "fail_together", agreed.append)
    for error in (None, DataError("a.png"), SetupError("b"), OSError("c")):
        with trainer._all_or_none():
            if error is not None:
                raise error
    assert agreed[0] is None and [type(one) for one in agreed[1:]] == [DataError, SetupError, SetupError]


def test_the_best_test_is_restored_from_the_kept_checkpoints():
    best = BestTest(Measure.of("loss"))
    best.restore_scores({4: None}, every=2)
    assert (best.value, best.tests_since) == (None, 0)
    best.restore_scores({4: -0.5, 6: -0.3, 8: -0.3, 11: None, 12: -0.4}, every=2)
    assert (best.value, best.step, best.tests_since) == (0.3, 6, 3)  # an equal later test is no better
    assert not best.add(14, {"loss": 0.35}) and best.tests_since == 4


def test_a_start_from_scratch_removes_earlier_reports_and_keeps_other_files(tmp_path):
    names = ["skipped.jsonl", "skipped.1.jsonl", "evaluation/classes.json", "evaluation/confusion.png", "a.txt"]
    names += ["evaluation-other-train/mistakes.png"]
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation-other-train").mkdir()
    for name in [*names, "evaluation/mine.txt"]:
        (tmp_path / name).write_text("")
    remove_reports(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["a.txt", "mine.txt"]


def test_skipped_images_follow_a_line_that_was_cut_off(tmp_path):
    source = SimpleNamespace(skipped={"a.png": "a.png: no image"})
    reporter = SimpleNamespace(print=lambda _: None)
    file, whole = tmp_path / "skipped.jsonl", '{"split": "test"}\n'
    file.write_text(whole + '{"split": "tr')
    loop.SkippedImages({"train": source}, reporter, tmp_path)
    line = json.dumps({"split": "train", "image": "a.png", "reason": "a.png: no image"})
    assert file.read_text() == f"{whole}{line}\n"


def test_class_weights_and_gates_are_refused_together_and_leave_no_folder(tmp_path, tfds_dir, monkeypatch):
    both = {"model__name": "cifar_skipnet38", "optim__gate_penalty": 0.5, "optim__class_weights": "balanced"}
    message = "optim.gate_penalty=0.5 cannot be combined with optim.class_weights; set --optim.gate-penalty 0 or remove"
    with pytest.raises(SetupError, match=message):
        train(config(tmp_path / "run", tfds_dir, **both))

    def refuses(*_):
        raise ValueError("no such step")

    monkeypatch.setattr(trainer, "Trainer", refuses)  # whatever else a step refuses
    with pytest.raises(SetupError, match="^no such step$"):
        train(config(tmp_path / "run", tfds_dir))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, tfds_dir):
    wild = config(tmp_path, tfds_dir, optim__peak_lr=1e30, optim__warmup_epochs=1.0, checkpoint__every_steps=1)
    with pytest.raises(Diverged) as caught:
        train(wild)
    message = str(caught.value)
    # Step 1 has rate 0; step 2 throws the weights away, and step 3 sees it.
    assert "at step 3, learning rate 5e+29" in message
    assert f"the newest checkpoint: {tmp_path / 'checkpoints' / '2'}" in message
    (line,) = [json.loads(line) for line in (tmp_path / "nonfinite.jsonl").read_text().splitlines()]
    assert len(line["examples"]) == len(set(line["examples"])) == 88
    assert f"training examples {', '.join(line['names'][:3])}, ... (all in nonfinite.jsonl)" in message
    assert message.endswith("; try a lower --optim.peak-lr, or --optim.clip-norm 1")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(load_checkpoint(tmp_path).variables))


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
    assert open_checkpoint(folder).metadata["best"]["value"] == min(losses)  # of tests before the change, too
    saved = json.loads((folder / "config.json").read_text())
    assert saved["config"]["train"]["epochs"] == 4.0 and saved["before"][0]["config"]["train"]["epochs"] == 2.0
    # A mapped function is called so: that of the eight steps, and that of the tests.
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


@pytest.mark.slow
def test_a_replayed_step_has_the_runs_own_numbers(finished):
    folder = finished[0]
    recorded = next(line for line in records(folder, "train") if line["step"] == 8)  # the mean of steps 7 and 8
    seven, eight = replay(folder, 7), replay(folder, 8)
    for name, rounding in (("loss", 1e-15), ("top1", 1e-15), ("grad_norm", 1e-7)):  # the last is summed in float32
        assert recorded[name] == pytest.approx((seven[name] + eight[name]) / 2, rel=rounding)
    assert eight["learning_rate"] == recorded["learning_rate"] and eight["checkpoint"] == 4
    assert len(set(eight["examples"])) == 88 and not set(eight["examples"]) & set(seven["examples"])
    for step, reason in (
        (0, "; expected a step from 1 to 8"),
        (4, ": its checkpoints are those of steps 4, 8; expected a step from 5 to 8"),
        (9, "; expected a step from 1 to 8"),
    ):
        with pytest.raises(ValueError, match=f"^step {step} of .* cannot be replayed{reason}"):
            replay(folder, step)


@pytest.mark.slow
def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path, tfds_dir):
    wild = config(tmp_path, tfds_dir, optim__peak_lr=1e30, optim__warmup_epochs=1.0, train__nonfinite="skip")
    with pytest.raises(Diverged, match="test loss is .* at step 4; there is no checkpoint yet"):
        train(wild)  # no update can mend weights that step 2 has thrown away
    counts = [line["skipped"] for line in records(tmp_path, "train")]
    lines = (tmp_path / "nonfinite.jsonl").read_text().splitlines()
    assert sum(counts) == len(lines) > 0


@pytest.mark.slow
def test_eight_devices_four_two_and_one_do_one_run(tmp_path, tfds_dir):
    """A step on each, saved and restored in between, pmap and shard_map in turn, against as many steps on eight."""
    plan = make_plan(
        config(
            tmp_path,
            tfds_dir,
            model__drop_path=0.1,
            model__drop_rate=0.1,
            data__mixup=0.2,
            data__batch_size=80,
            optim__ema_decay=0.9,
        )
    )

    def trainer(devices, mode):
        return Trainer(plan, Parallel(mode, devices=jax.devices()[:devices]))

    eight = trainer(8, "pmap")
    state = like = jax.device_get(eight.fresh())
    straight = eight.parallel.replicate(state)
    for step, batch in zip(range(1, 6), eight.parallel.prefetch(eight.batches(0)), strict=False):
        straight, _ = eight.train_step(step, straight, batch)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        others = [trainer(4, "shard_map"), trainer(2, "pmap"), trainer(1, "shard_map"), trainer(8, "shard_map")]
        for step, on in enumerate([eight, *others], 1):
            batch = on.parallel.shard(next(on.batches(step - 1)))
            moved, _ = on.train_step(step, on.parallel.replicate(state), batch)
            checkpoints.save(step, moved, {"model": {}, "classes": [], "preprocess": {}})
            checkpoints.wait()
            state = open_checkpoint(tmp_path, step).state(like)
    assert int(state.step) == int(straight.step) == 5
    for (name, a), (_, b) in zip(named_leaves(state), named_leaves(straight), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_metrics_are_read_an_interval_late(tmp_path, tfds_dir, monkeypatch):
    """The host asks for the numbers of an interval only when the next one has been configured to the device."""
    events = []
    read, add = loop.MetricsRecorder._read, loop.MetricsRecorder.add

    def noted_add(self, step, sums):
        events.append(("add", step))
        add(self, step, sums)

    def noted_read(self, rate):
        events.append(("read", [step for step, _ in self._ended.unread] if self._ended else []))
        read(self, rate)

    monkeypatch.setattr(loop.MetricsRecorder, "add", noted_add)
    monkeypatch.setattr(loop.MetricsRecorder, "_read", noted_read)
    train(config(tmp_path, tfds_dir, train__eval_every_epochs=2.0))
    assert events.index(("read", [1, 2, 3])) > events.index(("add", 6))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__name": "resnet5o"}, "no model named 'resnet5o'; did you mean resnet50"),
        ({"data__name": "digts"}, "TFDS has no dataset 'digts'; did you mean digits"),
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


def test_a_workdir_that_cannot_be_is_named(tmp_path, tfds_dir):
    (tmp_path / "file").write_text("")
    for workdir, message in (
        (" ", "workdir: expected a folder for the run"),
        (tmp_path / "file" / "run", "cannot make the run directory"),
    ):
        with pytest.raises(SetupError, match=message):
            train(config(workdir, tfds_dir))


def test_a_folder_without_a_checkpoint_takes_another_config(tmp_path, tfds_dir):
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


def test_a_folder_of_another_run_is_refused_and_unharmed(tmp_path, tfds_dir):
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


@pytest.mark.slow
def test_a_change_that_cannot_be_leaves_the_run_its_config(finished, tmp_path, tfds_dir):
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


def test_checkpoint_settings_may_change_and_absent_fields_have_their_defaults(tmp_path, tfds_dir):
    record_config(tmp_path, config(tmp_path, tfds_dir, optim__warmup_epochs=5.0), 0)
    (tmp_path / "checkpoints" / "4").mkdir(parents=True)
    # What errors advise, and the warmup as it was written when it had no None.
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
        assert config_then.data.data_dir == "elsewhere20"  # may change, and is where it is now
        return config_then.optim.peak_lr

    assert [rate(1, 8), rate(9, 9), rate(9, 20), rate(21, 99)] == [0.1, 0.3, 0.3, 0.4]
    with pytest.raises(ValueError, match="was changed after step 8, whose checkpoint is deleted"):
        rate(5, 9)


def test_the_default_warmup_shrinks_in_a_short_run_and_one_that_is_given_does_not(tmp_path, tfds_dir):
    def plan(**changes):
        return make_plan(config(tmp_path, tfds_dir, **{"optim__warmup_epochs": None} | changes))

    short = plan()
    assert float(short.schedule(1)) == pytest.approx(0.1)  # after one of eight steps, a fifth of them
    message = (
        "the default warmup of 5 epochs (20 steps) is not shorter than this run: it takes a fifth of it, 1 of 8 steps"
    )
    assert short.notes[0].startswith(message)
    long, configured = plan(train__epochs=6.0), plan(train__epochs=6.0, optim__warmup_epochs=5.0)
    assert not long.notes
    assert [float(long.schedule(step)) for step in range(24)] == [
        float(configured.schedule(step)) for step in range(24)
    ]
    shrunk = plan(optim__warmup_epochs=2.0, optim__warmup_shrinks=True)
    assert [float(shrunk.schedule(step)) for step in range(8)] == [float(short.schedule(step)) for step in range(8)]
    assert shrunk.notes[0].startswith(
        "the config's warmup of 2 epochs (8 steps) is not shorter than this run: it takes"
    )
    assert plan(train__epochs=40.0, train__steps=7).steps == 7
    assert plan(train__epochs=40.0, train__steps=2).steps == 2
    with pytest.raises(ValueError, match="train.steps=7 and train.epochs=2.0 are two lengths of one run; set one"):
        plan(train__steps=7)
    with pytest.raises(ValueError, match="--optim.warmup-epochs 5.0 is 20 steps of a run of 8; .*lower it or omit it"):
        plan(optim__warmup_epochs=5.0)


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
    (images / "train-images-idx3-ubyte").touch()  # nor does a run disturb files of arrays
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


def test_without_a_home_nothing_is_cached_with_a_warning(tmp_path, monkeypatch):
    place = "jax_compilation_cache_dir"
    before = jax.config.values[place]
    jax.config.update(place, None)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "expanduser", nobody)
        with pytest.warns(UserWarning, match="not cached for the next start: there is no home directory; JAX_COMP"):
            compilation.cache_compilations()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not cached for the next start: .*Not a directory"):
        compilation.cache_compilations()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compilation.cache_compilations()
    assert jax.config.values[place] == str(tmp_path / "cache" / "resnet_jax" / "jax")
    jax.config.update(place, before)


def test_a_configured_mean_or_deviation_is_used(tmp_path, tfds_dir):
    measured = make_plan(config(tmp_path, tfds_dir)).preprocess
    configured = make_plan(config(tmp_path, tfds_dir, data__mean=(0.9,))).preprocess
    assert configured.mean == (0.9,) and configured.std == measured.std and measured.mean != configured.mean


@pytest.mark.slow
def test_gates_are_soft_for_so_many_epochs_and_then_hard(tmp_path, tfds_dir):
    """The shares of blocks that are run are probabilities, then counts."""
    plan = make_plan(
        config(
            tmp_path,
            tfds_dir,
            model__name="cifar_skipnet38_rnn",
            train__soft_gate_epochs=0.5,
            optim__gate_penalty=0.1,
            train__log_every_steps=2,
        )
    )
    assert [phase.first_step for phase in plan.phases] == [1, 3]
    small = plan.model.clone(stages=tuple(dataclasses.replace(stage, depth=1) for stage in plan.model.stages))
    trainer = Trainer(dataclasses.replace(plan, model=small), Parallel("pmap", devices=jax.devices()[:1]))
    state = trainer.parallel.replicate(trainer.fresh())
    executed = []
    for step, batch in zip(range(1, 4), trainer.parallel.prefetch(trainer.batches(0)), strict=False):
        state, sums = trainer.train_step(step, state, batch)
        executed.append({name: float(value) for name, value in sums.items() if name.startswith("executed/")})
    assert all(len(blocks) == 3 for blocks in executed)
    whole = [all(value == round(value) for value in blocks.values()) for blocks in executed]
    assert whole == [False, False, True]
    assert all(0 < value < 88 for value in executed[0].values())


@pytest.mark.parametrize(("change", "value"), [("optim__gate_penalty", 0.1), ("train__soft_gate_epochs", 1.0)])
def test_options_of_skipnets_are_refused_for_other_nets(tmp_path, tfds_dir, change, value):
    option = change.replace("__", ".").replace("_", "-")
    message = rf"^--{option} {value} needs gates, and cifar_resnet8 has none; expected cifar_skipnet38,"
    with pytest.raises(ValueError, match=message):
        make_plan(config(tmp_path, tfds_dir, **{change: value}))


def test_a_run_does_not_end_with_soft_gates(tmp_path, tfds_dir):
    with pytest.raises(ValueError, match=r"soft-gate-epochs 2.0 is 8 of 8 steps; expected fewer"):
        make_plan(config(tmp_path, tfds_dir, model__name="cifar_skipnet38", train__soft_gate_epochs=2.0))


def test_a_run_directory_that_is_removed_ends_the_run(tmp_path, monkeypatch):
    class Removing(Trainer):
        def train_step(self, step, *arguments):
            if step == 2:
                (tmp_path / "run").rename(tmp_path / "elsewhere")
            return super().train_step(step, *arguments)

    monkeypatch.setattr(trainer, "Trainer", Removing)
    removed = Config(
        workdir=str(tmp_path / "run"),
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(batch_size=16, per_class=4),
        optim=OptimConfig(warmup_epochs=0.0),
        train=TrainConfig(steps=3),
        checkpoint=CheckpointConfig(every_steps=2),  # no save is under way when it is removed
        log=LogConfig(tensorboard=False),
    )
    with pytest.raises(SaveFailed, match="run was removed or moved during training"):
        train(removed)
