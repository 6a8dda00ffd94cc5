"""Interrupted runs end with the numbers of an uninterrupted one, and errors save the completed steps."""

import json
import os
import signal
import time

import jax
import numpy as np
import pytest
from small_run import config, records, without_clock

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint, saved_steps
from resnet_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.distributed import processes
from resnet_jax.errors import DataError, Diverged, EvaluationStopped, OutOfMemory, Preempted, SaveFailed
from resnet_jax.runs import trainer
from resnet_jax.runs.loop import loop
from resnet_jax.runs.planning import metadata
from resnet_jax.runs.planning.numerics import NUMERICS, numerics_note
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.runs.trainer import train


@pytest.mark.slow
def test_a_run_stopped_in_its_test_resumes_to_the_same_numbers(finished, tmp_path, tfds_dir, monkeypatch, capsys):
    """SIGTERM in the first test; saves by the clock too. Resumes under shard_map."""
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
    assert saved_steps(tmp_path / "checkpoints") == [3, 4] and not records(tmp_path, "test")
    # As if it had been killed after the test and before the results were saved.
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
    """An image that cannot be read, memory that ends in a step and in a test; SIGUSR1 in between."""
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
    assert saved_steps(tmp_path / "checkpoints") == [2, 4] and open_checkpoint(tmp_path, "best").step == 2
    train(config(tmp_path, tfds_dir, **patient, train__patience=2))
    assert "this run is finished: test top-1 0.4000, loss 0.4700; " in capsys.readouterr().out
    train(config(tmp_path, tfds_dir, **patient, train__patience=3))
    assert [line["step"] for line in records(tmp_path, "test")] == list(range(1, 9))
    assert saved_steps(tmp_path / "checkpoints") == [7, 8]  # of the equal losses at 7 and 8 the first is the best


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, tfds_dir):
    wild = config(tmp_path, tfds_dir, optim__peak_lr=1e30, optim__warmup_epochs=1.0, checkpoint__every_steps=1)
    with pytest.raises(Diverged) as caught:
        train(wild)
    message = str(caught.value)
    # Step 1 has rate 0; step 2 makes the weights infinite, and step 3 detects it.
    assert "at step 3, learning rate 5e+29" in message
    assert f"the newest checkpoint: {tmp_path / 'checkpoints' / '2'}" in message
    (line,) = [json.loads(line) for line in (tmp_path / "nonfinite.jsonl").read_text().splitlines()]
    assert len(line["examples"]) == len(set(line["examples"])) == 88
    assert f"training examples {', '.join(line['names'][:3])}, ... (all in nonfinite.jsonl)" in message
    assert message.endswith("; try a lower --optim.peak-lr, or --optim.clip-norm 1")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(load_checkpoint(tmp_path).variables))


@pytest.mark.slow
def test_steps_that_are_not_finite_are_skipped_and_counted(tmp_path, tfds_dir):
    wild = config(tmp_path, tfds_dir, optim__peak_lr=1e30, optim__warmup_epochs=1.0, train__nonfinite="skip")
    with pytest.raises(Diverged, match="test loss is .* at step 4; there is no checkpoint yet"):
        train(wild)  # no later update repairs the weights after step 2
    counts = [line["skipped"] for line in records(tmp_path, "train")]
    lines = (tmp_path / "nonfinite.jsonl").read_text().splitlines()
    assert sum(counts) == len(lines) > 0


def test_a_run_directory_that_is_removed_ends_the_run(tmp_path, monkeypatch):
    class Removing(Trainer):
        def train_step(self, step, *arguments):
            if step == 2:
                (tmp_path / "run").rename(tmp_path / "elsewhere")
            return super().train_step(step, *arguments)

    monkeypatch.setattr(trainer, "Trainer", Removing)
    monkeypatch.setattr(processes, "devices", lambda: jax.devices()[:1])
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
