import json
import logging

import jax
import numpy as np
import pytest
import recipe

from resnet_jax import create_model, load_checkpoint
from resnet_jax.training import optim
from resnet_jax.training.checkpoint import Checkpoints
from resnet_jax.training.parallel import Parallel
from resnet_jax.training.state import TrainState

OVERRIDES = {"num_classes": 3, "in_channels": 1, "dtype": "float32"}
MODEL = create_model("cifar_resnet20", **OVERRIDES)
META = {
    "model": {"name": "cifar_resnet20", "overrides": OVERRIDES},
    "preprocess": {"image_size": 8, "resize": 8, "mean": [0.5], "std": [0.25], "interpolation": "bilinear"},
    "classes": ["a", "b", "c"],
}
TX = optim.sgd(optim.warmup_cosine(peak_lr=0.1, steps=10, warmup_steps=2), weight_decay=1e-4)


def state(step=0, **_):
    variables = jax.tree.map(lambda x: x + step, recipe.variables(MODEL))
    fresh = TrainState.from_variables(variables, TX, jax.random.key(step))
    return fresh.replace(step=np.int32(step))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Five saved steps, of which the second is the best."""
    folder = tmp_path_factory.mktemp("run")
    with Checkpoints(folder / "checkpoints", keep_latest=2) as checkpoints:
        for step, top1 in enumerate([0.1, 0.9, 0.3, 0.2, 0.4], 1):
            checkpoints.save(step, Parallel().replicate(state(step)), META, top1=top1)
        checkpoints.wait()
        assert checkpoints.latest_step == 5
        with pytest.raises(RuntimeError, match="step 4 was not saved: .* already has step 5"):
            checkpoints.save(4, state(4), META, top1=0.0)
    return folder


def test_the_latest_and_the_best_are_kept(run):
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["2", "4", "5"]


def test_the_tree_is_as_documented(run):
    metadata = json.loads((run / "checkpoints" / "5" / "state" / "_METADATA").read_text())
    saved = {item["key_metadata"][0]["key"] for item in metadata["tree_metadata"].values()}
    assert saved == {"step", "params", "batch_stats", "opt_state", "ema", "key"}
    assert json.loads((run / "checkpoints" / "5" / "meta" / "metadata").read_text()) == {"format": 1, **META}


@pytest.mark.parametrize("devices", [1, 8])
def test_restoring_gives_the_same_state_on_any_number_of_devices(run, devices):
    like = Parallel(devices=jax.devices()[:devices]).replicate(state())
    with Checkpoints(run / "checkpoints") as checkpoints:
        restored = checkpoints.restore(5, like)
    jax.tree.map(np.testing.assert_array_equal, restored, state(5))
    assert jax.tree.structure(restored) == jax.tree.structure(state())
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(restored)} == {devices}


@pytest.mark.parametrize(
    ("inner", "step", "wanted"),
    [(".", "latest", 5), (".", "best", 2), ("checkpoints", 4, 4), ("checkpoints/2", "latest", 2)],
)
def test_a_net_comes_back_from_a_run_or_a_step(run, inner, step, wanted):
    loaded = load_checkpoint(run / inner, step)
    assert loaded.model == MODEL and loaded.name == "cifar_resnet20"
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, recipe_variables(wanted))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(loaded.variables))
    assert loaded.preprocess.mean == (0.5,)


def recipe_variables(step):
    return jax.tree.map(lambda x: np.asarray(x) + step, recipe.variables(MODEL))


def test_loading_leaves_the_users_logging_alone(run):
    before = logging.getLogger("absl").level
    load_checkpoint(run)
    assert logging.getLogger("absl").level == before


def test_orbax_alone_reads_it(run):
    import orbax.checkpoint as ocp

    tree = ocp.StandardCheckpointer().restore(run / "checkpoints" / "5" / "state")
    jax.tree.map(
        np.testing.assert_array_equal,
        {"params": tree["params"], "batch_stats": tree["batch_stats"]},
        recipe_variables(5),
    )


@pytest.mark.parametrize(
    ("path", "step", "said"),
    [
        ("nowhere", "latest", "no run or checkpoint folder"),
        ("empty", "latest", "no checkpoints in"),
        ("run", 3, "no step 3 in .*; valid: 2, 4, 5"),
        ("run", "newest", "step 'newest'; valid: latest, best or a number"),
    ],
)
def test_what_is_not_there_is_told(run, tmp_path, path, step, said):
    (tmp_path / "empty").mkdir()
    where = run if path == "run" else tmp_path / path
    with pytest.raises((FileNotFoundError, ValueError), match=said):
        load_checkpoint(where, step)


def test_an_unknown_format_is_refused(run, tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, {"params": np.zeros(1), "batch_stats": np.zeros(1)}, META | {"format": 99}, top1=0.0)
    with pytest.raises(ValueError, match="has format 99; this version reads 1"):
        load_checkpoint(tmp_path)
