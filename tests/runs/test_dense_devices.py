"""Runs of segmentation and detection on one, two and four devices, in both modes, stopped and resumed."""

import json
import math
import os
import signal
import time

import jax
import numpy as np
import pytest
from small_run import without_clock

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from resnet_jax.distributed import processes
from resnet_jax.errors import Preempted
from resnet_jax.runs import trainer
from resnet_jax.runs.starting.build import Trainer

NETS = {
    "segmentation": ("fcn", ("backbone=cifar_resnet8", "has_auxiliary=False", "dropout_rate=0.1"), "miou"),
    "detection": (
        "retinanet",
        (
            "backbone=cifar_resnet8",
            "levels=stage2,stage3",
            "fpn_features=8",
            "head_depth=1",
            "detections_per_img=5",
            "topk_candidates=20",
        ),
        "ap",
    ),
}
LAYOUTS = ((1, "pmap"), (2, "shard_map"), (4, "pmap"))  # devices and mode


def config(folder, task, mode):
    """Three steps of eight scenes of 32 pixels, in two microbatches."""
    net, options, best = NETS[task]
    return Config(
        workdir=str(folder),
        task=task,
        model=ModelConfig(name=net, options=options, frozen_norms=("all",)),
        data=DataConfig(
            name="scenes",
            image_size=32,
            batch_size=8,
            eval_batch_size=4,
            train_split="train[:24]",
            test_split="test[:4]",
            horizontal_flip=True,
        ),
        optim=OptimConfig(peak_lr=0.01, warmup_epochs=0.0, accumulate=2, ema_decay=0.9),
        train=TrainConfig(steps=3, log_every_steps=1, eval_every_epochs=1 / 3, parallel=mode, nonfinite="skip"),
        checkpoint=CheckpointConfig(every_steps=1, keep_latest=1, best=best),
        log=LogConfig(tensorboard=False),
    )


def records(folder, split):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in without_clock(lines) if line.pop("split") == split]
    return [{name: math.nan if value is None else value for name, value in line.items()} for line in lines]


class Stepping(Trainer):
    """The second step has no finite loss; SIGTERM arrives in it."""

    terminates = False

    def train_step(self, step, state, batch):
        if step == 2 and self.terminates:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)  # a thread listens
        if step == 2:
            batch = {**batch, "mask": batch["mask"] * np.float32(np.nan)}
        return super().train_step(step, state, batch)


@pytest.mark.slow
@pytest.mark.parametrize("task", NETS)
def test_any_number_of_devices_trains_the_same_run(tmp_path, task, monkeypatch):
    """With accumulation, averages and a step that is skipped; to the bit when a run is stopped and resumed."""
    every, best = jax.devices(), NETS[task][2]
    monkeypatch.setattr(trainer, "Trainer", Stepping)
    runs = {}
    for count, mode in LAYOUTS:
        monkeypatch.setattr(processes, "devices", lambda count=count: every[:count])
        results = trainer.train(config(folder := tmp_path / f"{count}", task, mode))
        runs[count] = (records(folder, "train"), results)
    reference, expected = runs[1]
    assert [math.isnan(line["loss"]) for line in reference] == [False, True, False] and reference[1]["skipped"] == 1
    for count, (lines, results) in runs.items():
        for line, other in zip(lines, reference, strict=True):
            assert line == pytest.approx(other, rel=2e-5, nan_ok=True), count
        assert results == pytest.approx(expected, rel=1e-3, abs=1e-3, nan_ok=True), count
    scores = [line[best] for line in records(folder, "test")]
    assert len(scores) == 3 and open_checkpoint(folder, "best").step == 1 + scores.index(max(scores))

    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch, pytest.raises(Preempted, match="SIGTERM at step 2, which is saved"):
        patch.setattr(Stepping, "terminates", True)
        trainer.train(config(stopped, task, mode))
    assert trainer.train(config(stopped, task, mode)) == pytest.approx(results, rel=0, nan_ok=True)
    for split in ("train", "test"):
        assert records(stopped, split) == records(folder, split)
    jax.tree.map(np.testing.assert_array_equal, open_checkpoint(stopped).arrays, open_checkpoint(folder).arrays)
