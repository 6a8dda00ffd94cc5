"""The mean training loss of an epoch."""

import jax.numpy as jnp
import numpy as np

from resnet_jax.metrics.typed import Mean
from resnet_jax.training.epochs import EpochLoss, loss_dtype

PARAMS = {"kernel": jnp.ones(2, jnp.bfloat16)}


def test_the_mean_is_over_the_examples_of_the_epoch():
    epoch, means = EpochLoss.zero(PARAMS), []
    for step, (loss, count) in enumerate([(2.0, 3.0), (4.0, 1.0), (7.0, 2.0), (9.0, 2.0)], 1):
        epoch, mean = epoch.add(Mean(jnp.float32(loss * count), jnp.float32(count)), jnp.asarray(step % 2 == 0))
        means.append(float(mean))
    assert means == [2, 10 / 4, 7, 8] and float(epoch.total) == float(epoch.examples) == 0


def test_an_epoch_of_skipped_steps_has_an_infinite_mean():
    zero = Mean(jnp.float32(0), jnp.float32(0))
    assert float(EpochLoss.zero(PARAMS).add(zero, jnp.asarray(True))[1]) == np.inf


def test_sums_have_the_precision_of_losses(x64):
    assert loss_dtype(PARAMS) == jnp.float32
    assert EpochLoss.zero({"kernel": jnp.ones(2, jnp.float64)}).total.dtype == jnp.float64
