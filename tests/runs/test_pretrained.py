import pickle

import jax
import numpy as np
import optax
import pytest

from resnet_jax import Preprocess, TrainState, create_model, load_checkpoint, save_checkpoint
from resnet_jax.runs.starting.opening import open_run
from resnet_jax.tasks import Regression

PREPROCESS = Preprocess(image_size=8, resize=8, mean=(0.5,), std=(0.25,))
OVERRIDES = {"num_classes": 2, "in_channels": 1}


def test_a_state_of_another_loop_loads_as_a_run_does(tmp_path):
    model = create_model("cifar_resnet8", **OVERRIDES)
    state = TrainState.create(model, optax.sgd(0.1), jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    for step in (3, 7):
        path = save_checkpoint(
            tmp_path / "run",
            state.replace(step=step),
            "cifar_resnet8",
            overrides=OVERRIDES,
            preprocess=PREPROCESS,
            classes=("cat", "dog"),
        )
    assert path == tmp_path / "run" / "checkpoints" / "7" and (path / "checksums.json").is_file()
    for step in (3, 7):
        loaded = load_checkpoint(tmp_path / "run", step)
        assert (loaded.model, loaded.preprocess, loaded.classes) == (model, PREPROCESS, ("cat", "dog"))
        assert loaded.preprocess.source == "the run that wrote the checkpoint"
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, state.variables)
    with pytest.raises(ValueError, match=r"expected a state of cifar_resnet8 with {}; other arrays: .*dense/bias"):
        save_checkpoint(tmp_path / "other", state, "cifar_resnet8", preprocess=PREPROCESS, classes=("cat", "dog"))


def test_a_regression_loads_with_the_units_of_its_targets(tmp_path):
    model = create_model("cifar_resnet8", **OVERRIDES)
    state = TrainState.create(model, optax.sgd(0.1), jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    task = Regression(targets=("age", "weight"), mean=(40.0, 70.0), deviation=(10.0, 5.0), loss="l1")
    options = {"overrides": OVERRIDES, "preprocess": PREPROCESS, "classes": task.targets}
    save_checkpoint(tmp_path, state, "cifar_resnet8", **options, task=task)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.task, loaded.task_record) == ("regression", task.record())
    assert loaded._replace(name="other").task_record == pickle.loads(pickle.dumps(loaded)).task_record == task.record()
    assert open_run(tmp_path).task == task
    outputs = loaded.model.apply(loaded.variables, np.zeros((1, 8, 8, 1), np.float32), train=False)
    logits = np.asarray(outputs.logits)
    in_units = logits * np.array(loaded.task_record["deviation"]) + np.array(loaded.task_record["mean"])
    np.testing.assert_allclose(in_units, task.predictions(outputs)["prediction"], rtol=1e-6)
