"""A task defined here, outside the package, trains in the same loop: with resume, on two devices."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.main import main
from resnet_jax.config import (
    CheckpointConfig,
    Config,
    DataConfig,
    InitConfig,
    LogConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from resnet_jax.distributed import processes
from resnet_jax.errors import SetupError
from resnet_jax.metrics.typed import Last, Mean, Sum
from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.runs.saved.recalibrate import recalibrate
from resnet_jax.runs.saved.replay import replay
from resnet_jax.runs.trainer import train
from resnet_jax.tasks import TASKS, BaseTask, Term


class Autoencoder(BaseTask):
    """Reconstructs the stem's mean feature map from the pooled features; reads no labels."""

    name = "autoencoder"
    measures: Mapping[str, int] = {"error": -1}
    titles: Mapping[str, str] = {"error": "reconstruction error"}
    num_outputs = 16  # channels of the stem

    def objective(self, outputs, batch, axis_name):
        errors = jnp.square(outputs.logits - self.predictions(outputs)["target"]).mean(-1)
        error = Mean.of(errors, batch["mask"])
        weighted = Mean.of(errors, batch["mask"] * (1 + batch["index"]))
        metrics = {"error": error, "weighted_error": weighted, "seen": Sum(batch["mask"].sum()), "size": Last(16.0)}
        return {"loss": Term(error.total)}, metrics

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


@pytest.fixture(scope="module", autouse=True)
def two_devices():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "devices", lambda: jax.devices()[:2])
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 6 steps: its config and its last results."""
    config = Config(
        workdir=str(tmp_path_factory.mktemp("own") / "whole"),
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(batch_size=256),
        optim=OptimConfig(peak_lr=0.01, warmup_epochs=0.0),
        train=TrainConfig(steps=6, eval_every_epochs=0.6, log_every_steps=2),
        checkpoint=CheckpointConfig(best="error", keep_latest=3, every_steps=5),
        log=LogConfig(tensorboard=False),
    )
    return config, train(config, task=Autoencoder())


@pytest.fixture
def interrupted(run, tmp_path):
    """The config of a copy of the run without its last checkpoint; the one before it is within a logging interval."""
    workdir = shutil.copytree(run[0].workdir, tmp_path / "resumed")
    shutil.rmtree(workdir / "checkpoints" / "6")
    return replace(run[0], workdir=str(workdir))


def test_an_own_task_trains_and_resumes_on_two_devices(run, interrupted, capsys):
    config, means = run
    lines = [json.loads(line) for line in (Path(config.workdir) / "metrics.jsonl").read_text().splitlines()]
    first, *_, last = (line["error"] for line in lines if line["split"] == "train")
    assert last < first and lines[-1]["error"] == means["error"] and means["images"] == 360
    train(interrupted, task=Autoencoder())
    out = capsys.readouterr().out
    assert "2 cpu devices" in out and "from step 5" in out
    timings = {"images_per_second": None, "data_wait": None}
    resumed = [json.loads(line) for line in (Path(interrupted.workdir) / "metrics.jsonl").read_text().splitlines()]
    assert [line | timings for line in resumed] == [line | timings for line in lines]
    record = next(line for line in lines if line["split"] == "train" and line["step"] == 6)  # of steps 5 and 6
    assert (record["seen"], record["size"]) == (512.0, 16.0) and record["weighted_error"] != record["error"]
    saved = open_checkpoint(config.workdir, 5).metadata["log"]
    weights = 256 * 257 / 2
    assert (saved["seen"], saved["size"]) == ({"sum": 256.0}, {"last": 16.0}) and isinstance(saved["error"], float)
    assert saved["weighted_error"]["mean"][1] == weights
    for one, other in zip(arrays(config.workdir), arrays(interrupted.workdir), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_of_an_own_task_is_evaluated_and_replayed_with_the_task(run):
    config, means = run
    evaluated = open_evaluation([config.workdir], config.data, task=Autoencoder()).evaluate().metrics
    assert evaluated["error"] == pytest.approx(means["error"], rel=1e-5)
    lines = [json.loads(line) for line in (Path(config.workdir) / "metrics.jsonl").read_text().splitlines()]
    recorded = next(line["error"] for line in lines if line["split"] == "train" and line["step"] == 4)
    assert replay(config.workdir, 4, task=Autoencoder())["error"] == recorded


def test_a_run_continues_with_no_other_task(run, interrupted, tmp_path, capsys):
    hint = "in Python, pass that task as the argument task"
    classification = replace(interrupted, checkpoint=CheckpointConfig())  # has no "error" to choose the best by
    message = f"expected the task of the run, 'autoencoder', got 'classification'; {hint}"
    with pytest.raises(SetupError, match=message):
        train(classification)
    assert len(list((Path(interrupted.workdir) / "checkpoints").glob("[0-9]*"))) == 2
    for use in (lambda: replay(interrupted.workdir, 4), lambda: recalibrate(interrupted.workdir, tmp_path / "out")):
        with pytest.raises(ValueError, match=message):
            use()
    names = ", ".join(TASKS)
    message = f"expected a run of {names}, got one of 'autoencoder'; {hint}"
    with pytest.raises(ValueError, match=message):
        open_evaluation([interrupted.workdir], interrupted.data)
    with pytest.raises(SystemExit):
        main(["predict", interrupted.workdir, "a.png"])
    assert message in capsys.readouterr().err
    warm = replace(
        classification, workdir=str(tmp_path / "warm"), init=InitConfig(from_=interrupted.workdir, head="keep")
    )
    with pytest.raises(SetupError, match="expected a head of the task 'classification', got one of 'autoencoder'"):
        train(warm)


class BareArray(Autoencoder):
    def objective(self, outputs, batch, axis_name):
        return {"loss": outputs.logits.mean()}, {}


class NoMeasures(Autoencoder):
    measures = {}


class OtherLabels(Autoencoder):
    label_kind = "multihot"


class ArrayInRecord(Autoencoder):
    def record(self):
        return {"mean": np.zeros(2)}


class WithResults(Autoencoder):
    def __init__(self, **results):
        self.results = results

    def evaluator(self):
        evaluator = ReconstructionError()
        evaluator.result = lambda: self.results
        return evaluator


@pytest.mark.parametrize(
    "task, message",
    [
        ("multilabel", r"expected a task with a name, got str 'multilabel'; get_task\(name\) returns one of"),
        (BareArray(), r"expected a Term\(total, weight\) for the term 'loss', got "),
        (NoMeasures(), "expected measures {name: 1 or -1}, one or more, got {}"),
        (OtherLabels(), "expected a label_kind, got 'multihot'; did you mean multi-hot"),
        (ArrayInRecord(), r"expected a record\(\) that JSON can hold"),
        (WithResults(errors=0.5), "expected the measure 'error' among its evaluator's results; did you mean errors"),
        (WithResults(error=0.5, epoch=1), "expected another name for the evaluator's result 'epoch': it is reserved"),
        (WithResults(error=np.zeros(2)), "expected a number for the evaluator's result 'error'"),
    ],
)
def test_a_mistake_in_a_task_is_found_before_any_work(task, message, tmp_path):
    config = Config(workdir=str(tmp_path / "run"), model=ModelConfig(name="cifar_resnet8"))
    with pytest.raises(SetupError, match=message):
        train(config, task=task)
    assert not (tmp_path / "run").exists()
