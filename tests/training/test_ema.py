"""Averages against their closed form."""

from functools import partial

import jax
import numpy as np
import pytest
from small_steps import ordinary


@pytest.mark.slow
def test_averaged_weights_follow_the_closed_form(x64):
    state, step, batch = ordinary(ema_decay=0.3)
    reference = {"params": state.params, "batch_stats": state.batch_stats}
    for n in range(4):
        state, _ = step(state, batch)
        decay = min(0.3, (1 + n) / (10 + n))
        new = {"params": state.params, "batch_stats": state.batch_stats}
        reference = jax.tree.map(lambda old, x, d=decay: d * old + (1 - d) * x, reference, new)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13), state.ema, reference)
    jax.tree.map(np.testing.assert_array_equal, state.averaged.variables, state.ema)
