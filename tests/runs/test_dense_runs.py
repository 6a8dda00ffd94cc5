"""Runs of segmentation and detection: they resume to the bit, and evaluate as their last test did."""

import shutil

import jax
import numpy as np
import pytest

from resnet_jax.analysis.dense_sheet import dense_sheet
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.config import CheckpointConfig, Config, DataConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.runs.loop import pictures
from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.runs.trainer import train

# Four steps make no detector: boxes of any score find some digits by chance, and the numbers are above 0.
DETECTOR = (
    "backbone=cifar_resnet8", "levels=stage3", "fpn_features=8", "head_depth=1", "trainable_layers=2",
    "score_thresh=0", "detections_per_img=400",
)  # fmt: skip
OPTIONS = {
    "segmentation": ("fcn", ("backbone=cifar_resnet8", "has_auxiliary=False")),
    "detection": ("retinanet", DETECTOR),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", OPTIONS)
def test_a_run_resumes_to_the_bit(tmp_path, task, monkeypatch):
    sheets = []
    monkeypatch.setattr(pictures, "dense_sheet", lambda *args: sheets.append(dense_sheet(*args)) or sheets[-1])
    net, options = OPTIONS[task]
    config = Config(
        workdir=str(tmp_path / "run"),
        task=task,
        model=ModelConfig(name=net, options=options),
        data=DataConfig(
            name="scenes",
            classes=("1", "3"),
            image_size=64,
            batch_size=8,
            train_split="train[:24]",
            test_split="test[:16]",
        ),
        optim=OptimConfig(peak_lr=0.01, warmup_epochs=0.0, ema_decay=0.9),
        train=TrainConfig(steps=4, eval_every_epochs=100.0, parallel="shard_map"),
        checkpoint=CheckpointConfig(every_steps=2, keep_latest=5),
    )
    results = train(config)
    assert len(sheets) == 1 and sheets[0].shape[1] > 4 * 480  # drawn and enlarged
    whole = open_checkpoint(tmp_path / "run")
    assert whole.step == 4
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    assert train(config) == pytest.approx(results, nan_ok=True, rel=0)
    jax.tree.map(np.testing.assert_array_equal, whole.arrays, open_checkpoint(tmp_path / "run").arrays)
    evaluated = open_evaluation([config.workdir], config.data).evaluate()
    assert len(evaluated.predictions.labels) == 16
    assert evaluated.metrics == pytest.approx({name: results[name] for name in evaluated.metrics}, nan_ok=True)
    assert all(evaluated.metrics[name] > 0 for name in ("miou", "ap", "ar100") if name in evaluated.metrics)
    with pytest.raises(ValueError, match=f"expected single for the task {task}"):
        open_evaluation([config.workdir], config.data, protocol="flip")
    with pytest.raises(ValueError, match="evaluate each on its own"):
        open_evaluation([config.workdir] * 2, config.data)
