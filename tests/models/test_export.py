"""`jax.export` of nets with a symbolic batch, height and width."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from jax import export

# Pools and blurs that need more than one pixel need a constraint on the sizes.
AT_LEAST = {"resnet50_clip": 32, "resnetblur50": 16, "resnetaa50": 16}
NETS = ["resnet18", "resnet50_gn", "cifar_condconv20", "cifar_skipnet38_rnn", "skresnet18", "tf_efficientnet_b0"]
NETS += ["tf_efficientnet_cc_b0_4e", *AT_LEAST]
QUICK = ["cifar_condconv20", "tf_efficientnet_cc_b0_4e", "resnet50_clip"]  # compared in the quick tests


def small(name):
    """Two stages of one block: the first two, or those with strides and kernels per example."""
    net = recipe.small(name, 1, **({"skipping": True} if "skip" in name else {}))
    return net.clone(stages=net.stages[4:6] if "_cc_" in name else net.stages[:2])


@cache
def exported(name):
    """The exported program for CPU and GPU, the function that was exported, and its variables."""
    net = small(name)
    variables, least = recipe.variables(net), AT_LEAST.get(name)
    sizes = export.symbolic_shape("n, h, w", constraints=[f"{side} >= {least}" for side in "hw"] if least else ())
    run = jax.jit(lambda variables, x: net.apply(variables, x, train=False).logits)
    images = jax.ShapeDtypeStruct((*sizes, 3), jnp.float32)
    return export.export(run, platforms=("cpu", "cuda"))(variables, images), run, variables


@pytest.mark.parametrize("name", NETS)
def test_one_program_serves_every_size(name):
    assert exported(name)[0].platforms == ("cpu", "cuda")


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NETS])
def test_the_program_computes_the_nets_numbers(name):
    program, run, variables = exported(name)
    x = np.random.default_rng(0).standard_normal((2, 33, 40, 3)).astype(np.float32)
    np.testing.assert_allclose(program.call(variables, x), run(variables, x), rtol=1e-4, atol=1e-5)


def test_training_with_a_symbolic_batch():
    net = recipe.small("cifar_resnet8", 1, stages=2)
    (n,) = export.symbolic_shape("n", constraints=["n >= 2"])
    train = jax.jit(partial(net.apply, train=True, mutable=["batch_stats"]))
    program = export.export(train)(recipe.variables(net), jax.ShapeDtypeStruct((n, 8, 8, 3), jnp.float32))
    assert program.out_avals[0].shape[0] == n


def test_series_of_every_length():
    net = recipe.small("resnet18", 1, stages=2)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 50, 3)), jnp.float32)
    variables = jax.jit(partial(net.init, train=False))(jax.random.key(0), x)
    forward = jax.jit(lambda variables, x: net.apply(variables, x, train=False).logits)
    series = jax.ShapeDtypeStruct((*export.symbolic_shape("n, l"), 3), jnp.float32)
    program = export.export(forward)(variables, series)
    np.testing.assert_allclose(program.call(variables, x), forward(variables, x), rtol=1e-4, atol=1e-5)
