"""Defaults of tasks, and the checks that tasks share."""

from dataclasses import fields
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.config import OptimConfig
from resnet_jax.tasks import TASKS, BaseTask, TaskOptions
from resnet_jax.tasks.protocol import OPTION_OWNERS, check_label_shape, check_rows, refuse_options


class Boxes(BaseTask):
    name = "boxes"

    def describe(self, prediction, top):
        return {"top": [{"class": "cat", "score": 0.5}, {"class": "dog", "score": 0.25}], "box": [1.0, 2.0]}

    def label_name(self, label):
        return {"x": 1.0, "y": 2.0}


def test_predictions_are_the_logits_and_their_mean():
    task = BaseTask()
    assert task.predictions(SimpleNamespace(logits=1)) == {"output": 1}
    averaged = task.average([{"output": np.array([1.0, 3.0])}, {"output": np.array([3.0, 5.0])}])
    assert averaged["output"].tolist() == [2.0, 4.0]
    row = {"output": np.array([0.5, 1.0])}
    assert task.describe(row, 1) == {"output": [0.5, 1.0]} and task.format(row, 1) == "output 0.5000 1.0000"
    assert task.cells(np.int32(3), row, 1) == {"label": 3, "output1": 0.5, "output2": 1.0}
    assert task.restored(task.record()) is task.with_head({}, None) is task


def test_nested_predictions_have_a_column_each():
    columns = Boxes().cells(None, {}, 2)
    assert columns == {
        "label_x": 1.0, "label_y": 2.0, "class1": "cat", "score1": 0.5, "class2": "dog", "score2": 0.25,
        "box1": 1.0, "box2": 2.0,
    }  # fmt: skip


def test_labels_have_a_row_per_example_and_a_column_per_name():
    source = SimpleNamespace(labels=np.zeros((4, 2), np.float32), classes=("a", "b"), num_examples=4)
    check_rows(source, "boxes")
    source.labels = np.zeros(4, np.int32)
    with pytest.raises(ValueError, match=r"--task boxes: expected labels float \[4, 2\], got int32 \[4\]"):
        check_rows(source, "boxes")
    source.num_examples = 0  # stands for a checkpoint's data
    check_rows(source, "boxes")
    check_label_shape(jnp.zeros((4, 2)), jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"expected labels float \[4, 2\], got int32 \[4\]"):
        check_label_shape(jnp.zeros(4, int), jnp.zeros((4, 2)))


def test_options_of_another_task_are_refused():
    refuse_options(TaskOptions(), "boxes")
    refuse_options(TaskOptions(regression_loss="l1"), "regression")
    with pytest.raises(ValueError, match="optim.regression_loss is for --task regression, got --task boxes"):
        refuse_options(TaskOptions(regression_loss="l1"), "boxes")


def test_options_of_tasks_are_those_of_the_config_and_have_an_owner():
    defaults = {field.name: field.default for field in fields(TaskOptions)}
    assert defaults == {name: getattr(OptimConfig(), name) for name in OPTION_OWNERS}
    assert set(OPTION_OWNERS.values()) <= set(TASKS)
