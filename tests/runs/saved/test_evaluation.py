"""Several runs are evaluated together if they are of one task."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
import recipe

from resnet_jax import Preprocess, TrainState, create_model, save_checkpoint
from resnet_jax.config import Config, ModelConfig
from resnet_jax.data.digits import ATTRIBUTES
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.tasks import MultiLabel, Regression

FIRST = Regression(targets=("value",), mean=(4.0,), deviation=(2.0,))
SECOND = Regression(targets=("value",), mean=(5.0,), deviation=(3.0,))
CONFIG = Config(task="regression", model=ModelConfig(name="cifar_resnet8"))


@pytest.fixture
def make_run(tmp_path):
    """Writes a run of a new net on the digits: (name, task) -> its directory."""
    preprocess = Preprocess(image_size=8, resize=8, mean=(0.5,), std=(0.25,))

    def make(name, task):
        classes = task.classes if isinstance(task, MultiLabel) else ("value",)
        overrides = {"num_classes": len(classes), "in_channels": 1}
        variables = recipe.variables(create_model("cifar_resnet8", **overrides))
        state = TrainState.from_variables(variables, optax.identity(), jax.random.key(0))
        options = {"overrides": overrides, "preprocess": preprocess, "classes": classes}
        save_checkpoint(tmp_path / name, state, "cifar_resnet8", **options, task=task)
        record_config(tmp_path / name, replace(CONFIG, task="regression" if task is None else task.name), 0)
        return str(tmp_path / name)

    return make


def test_regressions_are_averaged_in_the_units_of_the_targets(make_run):
    one, other = make_run("one", FIRST), make_run("other", SECOND)
    data = CONFIG.data
    first, second, together = (open_evaluation(runs, data).evaluate() for runs in ([one], [other], [one, other]))
    each = [result.predictions.outputs["prediction"] for result in (first, second)]
    np.testing.assert_allclose(together.predictions.outputs["prediction"], np.mean(each, axis=0), rtol=1e-6)
    np.testing.assert_allclose((each[0] - 4) / 2, (each[1] - 5) / 3, atol=1e-5)
    assert set(first.metrics) - set(together.metrics) == {"loss"}  # the runs do not share its unit


def test_runs_of_different_tasks_are_an_error(make_run):
    runs = [make_run("one", FIRST), make_run("other", None)]
    with pytest.raises(ValueError, match="expected runs of one task, got runs of regression, classification"):
        open_evaluation(runs, CONFIG.data)


def test_nets_of_other_thresholds_are_an_error_unless_a_task_sets_those_of_all(make_run):
    task = MultiLabel(classes=tuple(ATTRIBUTES))
    lower = replace(task, thresholds=(0.25,) * len(ATTRIBUTES))
    runs = [make_run("one", task), make_run("other", lower)]
    data = CONFIG.data
    with pytest.raises(ValueError, match=r"^expected nets with the same thresholds, got one half and \(0.25,.* task="):
        open_evaluation(runs, data)
    alone = open_evaluation(runs[1:], data).evaluate()
    together = open_evaluation(runs, data, task=MultiLabel(thresholds=lower.thresholds)).evaluate()
    assert together.metrics == pytest.approx(alone.metrics, rel=1e-6)  # two equal nets; the loss is there, too


def test_thresholds_of_one_half_are_the_default_and_the_loss_stays(make_run):
    task = MultiLabel(classes=tuple(ATTRIBUTES))
    halves = replace(task, thresholds=(0.5,) * len(ATTRIBUTES))
    metrics = open_evaluation([make_run("one", task), make_run("other", halves)], CONFIG.data).evaluate().metrics
    assert metrics["loss"] > 0
