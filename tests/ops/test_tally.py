"""Counts of multiply-adds reach the innermost tally, and no other."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from resnet_jax.ops import add_macs, blur_pool, conv_channels, dense, tally_macs


def test_the_innermost_tally_counts_and_the_outer_one_resumes():
    outer, inner = [], []
    with tally_macs(lambda macs, other: outer.append(macs)):
        add_macs(1)
        with tally_macs(lambda macs, other: inner.append(macs)):
            add_macs(2)
        with pytest.raises(ZeroDivisionError), tally_macs(lambda macs, other: inner.append(macs)):
            _ = 1 / 0
        add_macs(4)
    add_macs(8)
    assert (outer, inner) == ([1, 4], [2])


def test_what_published_counts_skip_is_counted_apart():
    counts = []
    with tally_macs(lambda macs, other: counts.append((macs, other))):
        jax.eval_shape(dense, jnp.ones((2, 3)), jnp.ones((3, 5)))
        jax.eval_shape(partial(blur_pool, strides=2), jnp.ones((1, 8, 6, 4)))
        jax.eval_shape(conv_channels, jnp.ones((2, 9)), jnp.ones((3, 1, 1)))
    assert counts == [(2 * 3 * 5, False), (9 * 4 * 3 * 4, True), (2 * 9 * 3, True)]
