"""Updated parameters are constrained before they are averaged."""

import jax
import numpy as np
import optax
from small_pairs import PairNet, pairs, state_of

from resnet_jax.tasks import Contrastive
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step


def test_the_parameters_and_their_averages_are_constrained():
    net, tx, task = PairNet(), optax.sgd(1e4), Contrastive(max_logit_scale=20.0)
    options = {"axis_name": None, "ema_decay": 0.0, "constraint": task.constrain}
    state = state_of(net, tx)
    state = TrainState.from_variables(state.variables, tx, jax.random.key(0), ema=True)
    new, _ = jax.jit(make_step(net, tx, task.objective, **options))(state, pairs(8))
    free, _ = jax.jit(make_step(net, tx, task.objective, **options | {"constraint": None}))(state, pairs(8))
    limited = np.clip(free.params["logit_scale"], 0, np.log(20))
    assert limited != free.params["logit_scale"]
    np.testing.assert_allclose(new.params["logit_scale"], limited, rtol=1e-6)
    np.testing.assert_allclose(new.ema["params"]["logit_scale"], limited, rtol=1e-6)
    np.testing.assert_allclose(new.params["image"]["kernel"], free.params["image"]["kernel"], rtol=1e-6)
