"""Runs of the tasks with other labels: they train, resume bit for bit, evaluate and predict."""

import json
import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

from resnet_jax.checkpoints.best import Measure
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.main import main
from resnet_jax.config import Config, DataConfig, LogConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.distributed import processes
from resnet_jax.runs.trainer import train
from resnet_jax.tasks import get_task, task_of_checkpoint


@pytest.fixture(autouse=True)
def one_device(monkeypatch):
    monkeypatch.setattr(processes, "devices", lambda: jax.devices()[:1])


def arrays(run):
    return jax.tree.leaves(open_checkpoint(run).arrays)


@pytest.mark.parametrize("task, best", [("multilabel", "map"), ("regression", "mae")])
def test_a_run_resumes_evaluates_and_predicts(tmp_path, capsys, monkeypatch, task, best):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    config = Config(
        workdir=str(whole),
        task=task,
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(batch_size=256),
        optim=OptimConfig(peak_lr=0.01, warmup_epochs=0.0),
        train=TrainConfig(steps=4, eval_every_epochs=0.4, log_every_steps=2),
        log=LogConfig(tensorboard=False),
    )
    results = train(config)
    assert results[best] == pytest.approx(results[best]) and results["images"] == 360
    counted = {"multilabel": "4 classes", "regression": "1 target"}[task]
    assert f"1,437 training images, 360 test images, {counted}\n" in capsys.readouterr().out
    shutil.copytree(whole, resumed)
    shutil.rmtree(resumed / "checkpoints" / "4")
    train(replace(config, workdir=str(resumed)))
    assert "from step 2" in capsys.readouterr().out
    for one, other in zip(arrays(whole), arrays(resumed), strict=True):
        np.testing.assert_array_equal(one, other)

    main(["eval", str(whole), "--json", "--no-pictures"])
    assert json.loads(capsys.readouterr().out)[best] == pytest.approx(results[best], rel=1e-5)

    measures = []
    monkeypatch.setattr(
        "resnet_jax.runs.saved.recalibrate.Checkpoints",
        lambda path, *, best: measures.append(best) or Checkpoints(path, best=best),
    )
    main(["recalibrate", str(whole), "--batches", "1", "--json"])
    assert json.loads(capsys.readouterr().out)["after"][best] > 0
    assert measures == [Measure(best, get_task(task).measures[best])]

    Image.new("L", (8, 8), 120).save(tmp_path / "a.png")
    main(["predict", str(whole), str(tmp_path / "a.png"), "--json"])
    prediction = json.loads(capsys.readouterr().out)
    restored = task_of_checkpoint(open_checkpoint(whole).metadata)
    if task == "regression":
        assert restored.mean == pytest.approx((4.48991,)) and restored.deviation == pytest.approx((2.8645,), rel=1e-4)
        assert set(prediction["prediction"]) == {"value"}
    else:
        assert {row["class"] for row in prediction["classes"]} == {"even", "prime", "loop", "large"}
        rows = json.loads((whole / "evaluation" / "classes.json").read_text())["classes"]
        assert all(0 < row["threshold"] < 1 and row["best_f1"] >= row["f1"] for row in rows)
