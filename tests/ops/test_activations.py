import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from resnet_jax.ops import global_pool, max_pool, relu, relu6, silu

# Large enough for XLA's CPU fusions of a maximum and the reduction after it, which lose NaN.
SHAPE = (4, 16, 16, 64)
READERS = {
    "map": lambda y: y,
    "average": global_pool,
    "largest": lambda y: global_pool(y, "max"),
    "max pool": max_pool,
    "average of a max pool": lambda y: global_pool(max_pool(y)),
    "sum of squares": lambda y: (y * y).sum(),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("act", [relu, relu6, silu, lambda x: x], ids=["relu", "relu6", "silu", "none"])
def test_a_nan_stays_one_in_compiled_code_forward_and_backward(strict_dtypes, act, dtype):
    x = jnp.asarray(np.random.default_rng(0).standard_normal(SHAPE), dtype).at[1, 2, 3, 4].set(jnp.nan)

    @jax.jit
    def derivatives(x):
        def both(read):
            y, back = jax.vjp(lambda x: read(act(x)), x)
            return y, back(y)[0]

        return jax.tree.map(lambda z: jnp.isnan(z).sum(), {name: both(read) for name, read in READERS.items()})

    counts = derivatives(x)
    assert all(forward and backward for forward, backward in counts.values()), counts
    # A program per reader: fusions depend on the other outputs.
    for name, read in READERS.items():
        assert jnp.isnan(jax.jit(lambda x, read=read: read(act(x)))(x)).any(), name


@pytest.mark.parametrize(
    ("ours", "theirs", "kinks"), [(relu, nn.relu, (0,)), (relu6, nn.relu6, (0, 6)), (silu, nn.silu, ())]
)
def test_values_and_derivatives_equal_those_of_flax(x64, strict_dtypes, ours, theirs, kinks):
    x = jnp.linspace(-9, 9, 73)
    x = x[jnp.array([value not in kinks for value in x.tolist()])]
    for f in (lambda act: act, lambda act: jax.vmap(jax.grad(act)), lambda act: jax.vmap(jax.grad(jax.grad(act)))):
        np.testing.assert_allclose(f(ours)(x), f(theirs)(x), rtol=0, atol=1e-15)
    for kink in kinks:
        assert ours(float(kink)) == kink and jax.grad(ours)(float(kink)) == 0


def test_activations_can_be_pickled():
    assert [pickle.loads(pickle.dumps(act)) for act in (relu, relu6, silu)] == [relu, relu6, silu]
