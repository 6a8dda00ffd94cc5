import pickle
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
import recipe

from resnet_jax import Preprocess, TrainState, create_model, load_checkpoint, save_checkpoint
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.runs.starting.opening import open_run
from resnet_jax.tasks import Regression
from resnet_jax.weights.checkpoint import pretrained

PREPROCESS = Preprocess(image_size=8, resize=8, mean=(0.5,), std=(0.25,))
OVERRIDES = {"num_classes": 2, "in_channels": 1}
MODEL = create_model("cifar_resnet8", **OVERRIDES)
STATE = TrainState.from_variables(recipe.variables(MODEL), optax.sgd(0.1), jax.random.key(0))


def test_a_state_of_another_loop_loads_as_a_run_does(tmp_path):
    for step in (3, 7):
        path = save_checkpoint(
            tmp_path / "run",
            STATE.replace(step=step),
            "cifar_resnet8",
            overrides=OVERRIDES,
            preprocess=PREPROCESS,
            classes=("cat", "dog"),
        )
    assert path == tmp_path / "run" / "checkpoints" / "7" and (path / "checksums.json").is_file()
    for step in (3, 7):
        loaded = load_checkpoint(tmp_path / "run", step)
        assert (loaded.model, loaded.preprocess, loaded.classes) == (MODEL, PREPROCESS, ("cat", "dog"))
        assert loaded.preprocess.source == "the run that wrote the checkpoint"
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, STATE.variables)
    with pytest.raises(ValueError, match=r"expected a state of cifar_resnet8 with {}; other arrays: .*dense/bias"):
        save_checkpoint(tmp_path / "other", STATE, "cifar_resnet8", preprocess=PREPROCESS, classes=("cat", "dog"))


def test_a_regression_loads_with_the_units_of_its_targets(tmp_path):
    task = Regression(targets=("age", "weight"), mean=(40.0, 70.0), deviation=(10.0, 5.0), loss="l1")
    options = {"overrides": OVERRIDES, "preprocess": PREPROCESS, "classes": task.targets}
    save_checkpoint(tmp_path, STATE, "cifar_resnet8", **options, task=task)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.task, loaded.task_record) == ("regression", task.record())
    assert loaded._replace(name="other").task_record == pickle.loads(pickle.dumps(loaded)).task_record == task.record()
    assert open_run(tmp_path).task == task
    forward = jax.jit(lambda images: loaded.model.apply(loaded.variables, images, train=False))
    outputs = forward(np.zeros((1, 8, 8, 1), np.float32))
    logits = np.asarray(outputs.logits)
    in_units = logits * np.array(loaded.task_record["deviation"]) + np.array(loaded.task_record["mean"])
    np.testing.assert_allclose(in_units, task.predictions(outputs)["prediction"], rtol=1e-6)


def test_invalid_weights_and_missing_averages_are_refused_by_name(tmp_path):
    options = {"overrides": OVERRIDES, "preprocess": PREPROCESS, "classes": ("cat", "dog")}
    checkpoint = open_checkpoint(save_checkpoint(tmp_path, STATE.replace(step=5), "cifar_resnet8", **options))
    with pytest.raises(ValueError, match="has no averaged weights; --optim.ema-decay keeps them"):
        pretrained(checkpoint, ema=True)
    wrong = {"mean": np.float32([np.inf]), "var": np.float32([-1])}
    stats = {**checkpoint.arrays["batch_stats"], "stem": {"norm": wrong}}
    broken = replace(checkpoint, arrays={**checkpoint.arrays, "batch_stats": stats})
    message = r"checkpoints/5: expected finite weights, got batch_stats/stem/norm/mean \(not finite\), .* below 0"
    with pytest.raises(ValueError, match=message):
        pretrained(broken)
    assert pretrained(broken, allow_nonfinite=True).variables["batch_stats"] is stats
