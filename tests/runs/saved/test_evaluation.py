"""Several runs are evaluated together if they are of one task."""

import jax
import numpy as np
import optax
import pytest
import recipe

from resnet_jax import Preprocess, TrainState, create_model, save_checkpoint
from resnet_jax.config import Config, ModelConfig
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.saved.evaluation import open_evaluation
from resnet_jax.tasks import Regression

OVERRIDES = {"num_classes": 1, "in_channels": 1}
FIRST = Regression(targets=("value",), mean=(4.0,), deviation=(2.0,))
SECOND = Regression(targets=("value",), mean=(5.0,), deviation=(3.0,))
CONFIG = Config(task="regression", model=ModelConfig(name="cifar_resnet8"))


@pytest.fixture
def make_run(tmp_path):
    """Writes a run of a new net on the digits: (name, task) -> its directory."""
    model = create_model("cifar_resnet8", **OVERRIDES)
    state = TrainState.from_variables(recipe.variables(model), optax.identity(), jax.random.key(0))
    preprocess = Preprocess(image_size=8, resize=8, mean=(0.5,), std=(0.25,))

    def make(name, task):
        options = {"overrides": OVERRIDES, "preprocess": preprocess, "classes": ("value",)}
        save_checkpoint(tmp_path / name, state, "cifar_resnet8", **options, task=task)
        record_config(tmp_path / name, CONFIG, 0)
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
