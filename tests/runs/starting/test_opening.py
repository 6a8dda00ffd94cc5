"""Opening saved runs: arrays of another net name the fields of the config that differ."""

from dataclasses import replace
from types import SimpleNamespace

import dense_sets
import numpy as np
import pytest

from resnet_jax.checkpoints.reader import Checkpoint
from resnet_jax.config import Config, DataConfig, ModelConfig, ResumeConfig
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.files.image_record import NO_RECORD
from resnet_jax.runs.planning.numerics import NUMERICS
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.starting.opening import continue_plan, restore_state, resume_notes
from resnet_jax.training.lowest import LowestState
from resnet_jax.training.state import TrainState

ARRAYS = {
    "step": np.int32(4),
    "params": {"kernel": np.zeros(3, np.float32)},
    "batch_stats": {},
    "opt_state": {},
    "ema": {},
    "key": np.zeros(2, np.uint32),
}
WIDER = TrainState(**ARRAYS | {"params": {"kernel": np.zeros(5, np.float32)}})


def test_arrays_of_another_net_name_the_fields_that_differ_and_the_config_of_the_run(tmp_path):
    config = Config(model=ModelConfig(name="resnet18"), data=DataConfig(path="pictures"))
    record_config(tmp_path, config, 0)
    checkpoint = Checkpoint(tmp_path / "checkpoints" / "4", {}, ARRAYS)
    forgotten = Config(workdir=str(tmp_path), resume=ResumeConfig(allow_changes=True))
    expected = (
        f"{tmp_path} holds a run of another config: model.name was 'resnet18', now 'cifar_resnet20', "
        f"data.path was 'pictures', now None; --config {tmp_path} takes the run's config; "
        f"{tmp_path}/checkpoints/4 has other arrays than this config: params/kernel: expected float32[5], got "
    )
    with pytest.raises(ValueError) as caught:
        restore_state(checkpoint, WIDER, forgotten)
    assert str(caught.value).startswith(expected)
    with pytest.raises(ValueError, match="^[^ ]*/checkpoints/4 has other arrays than this config: params/kernel"):
        restore_state(checkpoint, WIDER, config)


def test_averages_start_at_the_checkpoint_if_changes_are_allowed(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoints" / "4", {}, ARRAYS)
    averaged = TrainState(**ARRAYS | {"ema": {"params": ARRAYS["params"], "batch_stats": {}}})
    allowed = Config(resume=ResumeConfig(allow_changes=True))
    assert restore_state(checkpoint, averaged, allowed).ema["params"]["kernel"] is ARRAYS["params"]["kernel"]
    with pytest.raises(ValueError, match="has other arrays than this config: ema/params/kernel: expected "):
        restore_state(checkpoint, averaged, replace(allowed, resume=ResumeConfig()))


def test_the_weights_of_the_lowest_loss_start_at_the_checkpoint_if_changes_are_allowed(tmp_path):
    plain = TrainState(**ARRAYS)
    lowest = {"params": {"kernel": np.ones(3, np.float32)}, "batch_stats": {}, "loss": np.float32(np.inf)}
    with_lowest = LowestState(**ARRAYS, lowest=lowest)
    allowed = Config(resume=ResumeConfig(allow_changes=True))
    without = Checkpoint(tmp_path / "checkpoints" / "4", {}, ARRAYS)
    started = restore_state(without, with_lowest, allowed).lowest
    assert started["params"]["kernel"] is ARRAYS["params"]["kernel"] and started["loss"] == np.inf
    checkpoint = Checkpoint(tmp_path / "checkpoints" / "4", {}, ARRAYS | {"lowest": lowest})
    assert restore_state(checkpoint, with_lowest, allowed).lowest["params"]["kernel"] is lowest["params"]["kernel"]
    assert type(restore_state(checkpoint, plain, allowed)) is TrainState
    for saved, like in ((without, with_lowest), (checkpoint, plain)):
        with pytest.raises(ValueError, match="has other arrays than this config: lowest/"):
            restore_state(saved, like, Config())


def test_resume_notes_name_what_differs_from_when_the_checkpoint_was_saved():
    metadata = {"data": {"digests": {}}, "numerics": NUMERICS, "devices": 1}
    assert resume_notes(metadata, 1, is_local=True) == []
    local, shared = (resume_notes(metadata, 4, is_local=is_local) for is_local in (True, False))
    assert local == ["the run had 1 device and resumes with 4: batch statistics are per device, so numbers change"]
    assert shared == ["the run had 1 device and resumes with 4: numbers stay the same"]
    assert NO_RECORD in resume_notes(metadata | {"data": {}}, 1, is_local=True)


def test_another_number_of_classes_is_a_change_of_the_data(tmp_path):
    """The record of a detection has the ids of other classes."""
    dense_sets.write_pictures(tmp_path, names := ["a", "b", "c", "d"])
    dense_sets.write_coco(tmp_path / "instances.json", names, [{"image_id": 5 + i} for i in range(4)])
    options = ("backbone=cifar_resnet8", "levels=stage2,stage3", "fpn_features=8")
    model = ModelConfig(name="retinanet", stem="imagenet", options=options)
    data = DataConfig(path=str(tmp_path), image_size=32, batch_size=1)
    plan = make_plan(Config(task="detection", model=model, data=data))
    metadata = {"task": "detection", "classes": ["cat"], "task_record": {"category_ids": [7]}}
    metadata |= {"data": {"classes": ["cat"]}}
    resumed, changes, _ = continue_plan(plan, SimpleNamespace(metadata=metadata, preprocess=plan.preprocess))
    assert resumed.task.category_ids == (7, 90) and "classes ['cat'], now ['cat', 'dog']" in changes[0]
