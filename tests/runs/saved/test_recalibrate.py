"""Averaged statistics, compared with statistics of all images at once."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from small_run import config, records

from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.distributed.devices import Parallel
from resnet_jax.runs.saved.recalibrate import recalibrate, recalibrated
from resnet_jax.runs.trainer import train
from resnet_jax.training import optim
from resnet_jax.training.state import TrainState

MODEL = recipe.small("cifar_resnet20", 1, 2, num_classes=10, dtype="float64", param_dtype="float64")


def state(parallel):
    fresh = TrainState.from_variables(recipe.variables(MODEL, np.float64), optim.sgd(0.1), jax.random.key(0))
    return parallel.replicate(fresh)


def batches(n, size):
    images = np.random.default_rng(0).standard_normal((n * size, 8, 8, 3)) * np.array([1.0, 2.0, 0.1]) + 3
    for i in range(n):
        yield {"image": images[i * size : (i + 1) * size], "label": np.zeros(size, np.int32)}


def close(a, b):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), a, b)


def test_the_first_norm_has_the_statistics_of_all_images(x64):
    parallel = Parallel(devices=jax.devices()[:1])
    statistics = recalibrated(MODEL, state(parallel), batches(3, 4), parallel)
    images = jnp.asarray(np.concatenate([batch["image"] for batch in batches(3, 4)]))
    convolved = partial(MODEL.apply, train=False, capture_intermediates=lambda at, _: at.path == ("stem", "conv"))
    _, seen = jax.jit(lambda v: convolved(v, images, mutable=["intermediates"]))(recipe.variables(MODEL, np.float64))
    (maps,) = seen["intermediates"]["stem"]["conv"]["__call__"]
    close(statistics["stem"]["norm"], {"mean": maps.mean((0, 1, 2)), "var": maps.var((0, 1, 2))})


def test_of_one_batch_they_are_the_batchs_own_and_devices_are_batches(x64):
    one, four = Parallel(devices=jax.devices()[:1]), Parallel("shard_map", jax.devices()[:4])
    statistics = recalibrated(MODEL, state(one), batches(1, 4), one)
    images = jnp.asarray(next(batches(1, 4))["image"])
    apply = jax.jit(partial(MODEL.apply, train=True, mutable=["batch_stats"]))
    variables = recipe.variables(MODEL, np.float64)
    moved = apply(variables, images)[1]["batch_stats"]  # by a tenth
    close(statistics, jax.tree.map(lambda old, new: (new - 0.9 * old) / 0.1, variables["batch_stats"], moved))
    apart = recalibrated(MODEL, state(one), batches(4, 4), one)
    close(recalibrated(MODEL, state(four), batches(1, 16), four), apart)
    again = dataclasses.replace(state(one), batch_stats=one.replicate(statistics))  # the first batch's own
    close(recalibrated(MODEL, again, batches(4, 4), one), apart)
    close(recalibrated(MODEL, state(one), batches(2, 8), one, accumulate=2), apart)


@pytest.mark.parametrize("how", ["by the net", "by its parameters"])
def test_frozen_norms_keep_their_statistics(x64, how):
    parallel = Parallel(devices=jax.devices()[:1])
    before = state(parallel)
    model, frozen = (
        (MODEL.clone(frozen_norms=("stem",)), None) if how == "by the net" else (MODEL, optim.match_path("^stem"))
    )
    after = recalibrated(model, before, batches(2, 4), parallel, frozen_norms=frozen)
    old, new = (flatten_dict(jax.device_get(tree), sep="/") for tree in (before.batch_stats, after))
    assert {path for path in old if old[path].tobytes() == new[path].tobytes()} == {"stem/norm/mean", "stem/norm/var"}


def test_mistakes_are_errors(x64):
    parallel = Parallel(devices=jax.devices()[:1])
    with pytest.raises(ValueError, match="no batch to average over"):
        recalibrated(MODEL, state(parallel), [], parallel)
    with pytest.raises(ValueError, match="has no running statistics"):
        recalibrated(MODEL, dataclasses.replace(state(parallel), batch_stats={}), [], parallel)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tfds_dir):
    """A run with averaged weights and those of the lowest loss, which rises."""
    directory = tmp_path_factory.mktemp("recalibrate") / "run"
    options = {"optim__keep_lowest": True, "optim__peak_lr": 100.0, "optim__warmup_epochs": 0.0}
    train(config(directory, tfds_dir, optim__ema_decay=0.5, **options))
    return directory


def recalibrated_run(run, out, **options):
    """What `recalibrate` returns, the test record of its run, that of `run`, and the arrays of both by path."""
    result = recalibrate(run, out, batches=1, **options)
    (record,) = records(out, "test")
    leaves = (jax.tree_util.tree_leaves_with_path(open_checkpoint(directory).arrays) for directory in (run, out))
    old, new = ({jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in tree} for tree in leaves)
    return result, record, records(run, "test")[-1], old, new


def equal_but_for(old, new, prefix):
    """Checks that all arrays but those below `prefix` are equal, and that one of them is not."""
    assert old.keys() == new.keys()
    for path in old:
        if not path.startswith(prefix):
            np.testing.assert_array_equal(new[path], old[path], err_msg=path)
    assert not np.array_equal(new[f"{prefix}/stem/norm/mean"], old[f"{prefix}/stem/norm/mean"])


@pytest.mark.slow
def test_averaged_weights_are_recalibrated_beside_the_others(run, tmp_path):
    result, record, raw, old, new = recalibrated_run(run, tmp_path / "out", ema=True)
    assert all(record[name] == raw[name] for name in ("loss", "top1", "images"))
    assert record["ema_loss"] == result["after"]["loss"] != raw["ema_loss"] and "ema_images" not in record
    equal_but_for(old, new, "ema/batch_stats")


@pytest.mark.slow
def test_the_weights_of_the_lowest_loss_are_recalibrated(run, tmp_path):
    result, record, raw, old, new = recalibrated_run(run, tmp_path / "out")
    assert result["step"] == 8 and old["lowest/step"] == 4
    assert result["before"]["loss"] == raw["loss"]
    assert record["loss"] == result["after"]["loss"] != result["before"]["loss"]
    equal_but_for(old, new, "lowest/batch_stats")
