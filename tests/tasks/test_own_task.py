"""A task defined here, outside the package, trains in the same loop: with resume, on two devices."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import CheckpointConfig, Config, DataConfig, LogConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.distributed import processes
from resnet_jax.metrics.typed import Mean
from resnet_jax.runs.trainer import train
from resnet_jax.tasks import BaseTask, Term


class Autoencoder(BaseTask):
    """Reconstructs the stem's mean feature map from the pooled features; reads no labels."""

    name = "autoencoder"
    measures: Mapping[str, int] = {"error": -1}
    titles: Mapping[str, str] = {"error": "reconstruction error"}
    num_outputs = 16  # channels of the stem

    def objective(self, outputs, batch, axis_name):
        errors = jnp.square(outputs.logits - self.predictions(outputs)["target"]).mean(-1)
        error = Mean.of(errors, batch["mask"])
        return {"loss": Term(error.total)}, {"error": error}

    def predictions(self, outputs):
        target = jax.lax.stop_gradient(outputs.features["stem"].mean((1, 2)))
        return {"output": outputs.logits, "target": target}

    def evaluator(self):
        return ReconstructionError()


class ReconstructionError:
    """Streaming mean squared error."""

    def __init__(self):
        self.total = self.count = 0.0

    def update(self, outputs, batch):
        errors = np.square(outputs["output"] - outputs["target"]).mean(-1)
        self.total += float(errors[batch["mask"] != 0].sum())
        self.count += float(batch["mask"].sum())

    def result(self):
        return {"loss": self.total / self.count, "error": self.total / self.count}


def arrays(run):
    return jax.tree.leaves(open_checkpoint(run).arrays)


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setattr(processes, "devices", lambda: jax.devices()[:2])


def test_an_own_task_trains_and_resumes_on_two_devices(tmp_path, two_devices, capsys):
    config = Config(
        workdir=str(tmp_path / "whole"),
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(batch_size=256),
        optim=OptimConfig(peak_lr=0.01, warmup_epochs=0.0),
        train=TrainConfig(steps=6, eval_every_epochs=0.6, log_every_steps=3),
        checkpoint=CheckpointConfig(best="error", keep_latest=3),
        log=LogConfig(tensorboard=False),
    )
    means = train(config, task=Autoencoder())
    assert "2 cpu devices" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    first, last = (line["error"] for line in lines if line["split"] == "train")
    assert last < first and lines[-1]["error"] == means["error"] and means["images"] == 360
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "6")
    train(replace(config, workdir=str(tmp_path / "resumed")), task=Autoencoder())
    assert "from step 3" in capsys.readouterr().out
    for one, other in zip(arrays(tmp_path / "whole"), arrays(tmp_path / "resumed"), strict=True):
        np.testing.assert_array_equal(one, other)
