"""Losses and metrics that modules sow are means over the examples of mask 1."""

import jax.numpy as jnp
import numpy as np

from resnet_jax.metrics.typed import results
from resnet_jax.training.sown import sown_loss, sown_metrics

MASK = jnp.array([1.0, 1.0, 0.0, 1.0])
VALUES = jnp.array([1.0, 2.0, jnp.nan, 6.0])


def test_sown_losses_are_summed_over_modules_and_examples_of_mask_1():
    losses = {"head": {"one": (VALUES,)}, "norm": {"decay": (jnp.float32(0.5),)}}  # a number counts for each example
    assert sown_loss({"losses": losses}, MASK) == 9 + 3 * 0.5


def test_a_net_that_sows_nothing_has_no_loss_and_no_metrics():
    assert sown_loss({"batch_stats": {}}, MASK) is None and sown_metrics({}, MASK) == {}


def test_sown_metrics_have_their_path_as_name_and_all_values_of_a_module_count():
    metrics = {"stage1_block0": {"size": (VALUES, jnp.zeros(4))}, "rate": (jnp.full(4, 0.25, jnp.bfloat16),)}
    means = results(sown_metrics({"metrics": metrics}, MASK))
    np.testing.assert_allclose([means["stage1_block0/size"], means["rate"]], [1.5, 0.25])
