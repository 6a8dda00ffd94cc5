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


@pytest.mark.slow
def test_averaged_weights_are_recalibrated_beside_the_others(tmp_path, tfds_dir):
    train(config(tmp_path / "run", tfds_dir, optim__ema_decay=0.5))
    result = recalibrate(tmp_path / "run", tmp_path / "out", ema=True, batches=1)
    (record,) = records(tmp_path / "out", "test")
    raw = records(tmp_path / "run", "test")[-1]
    assert all(record[name] == raw[name] for name in ("loss", "top1", "images"))
    assert record["ema_loss"] == result["after"]["loss"] != raw["ema_loss"] and "ema_images" not in record
    before, after = (open_checkpoint(tmp_path / name).arrays for name in ("run", "out"))
    jax.tree.map(np.testing.assert_array_equal, before["batch_stats"], after["batch_stats"])
    assert not np.array_equal(*(flatten_dict(x["ema"]["batch_stats"])["stem", "norm", "mean"] for x in (before, after)))
