"""Nets on meshes with explicit axes, the default of `jax.make_mesh`: the same numbers as on one device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from resnet_jax.models.layers import Conv
from resnet_jax.models.skipnet import run_for

DEVICES = 4
# Together they have every operation that reshapes, splits or mixes its batch.
NETS = ["cifar_condconv20", "cifar_res2net29", "cifar_highway20", "cifar_skipnet38", "cifar_skipnet38_rnn"]
NETS += ["resnet50_clip", "resnet50_gn", "resnetblur50", "resnetrs50", "resnetv2_50x1_bit", "resnext50_32x4d"]
NETS += ["ecaresnet50d", "seresnet18", "skresnet18", "tf_efficientnet_b0"]
COMPARED = ["cifar_condconv20", "resnet50_gn", "cifar_skipnet38_rnn"]  # the others are traced alone
ALL = [pytest.param(name, marks=() if name in COMPARED else pytest.mark.parity) for name in NETS]


def mesh(kind=AxisType.Explicit):
    return jax.make_mesh((DEVICES,), ("data",), axis_types=(kind,), devices=jax.devices()[:DEVICES])


def spec_of(x, fsdp):
    """Spec of a parameter: replicated, or (FSDP) sharded over the last axis that the devices divide."""
    sharded = max((i for i, size in enumerate(x.shape) if size % DEVICES == 0), default=None) if fsdp else None
    return PartitionSpec(*("data" if i == sharded else None for i in range(x.ndim)))


def batch(x, mesh):
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))


def passes(name):
    net = recipe.small(name, 1, stages=2, dtype="float64", param_dtype="float64", drop_rate=0.2, drop_path=0.2)
    keys = {"dropout": jax.random.key(1), "drop_path": jax.random.key(2)}

    @jax.jit
    def run(variables, x):
        def loss(params):
            both = {**variables, "params": params}
            outputs, updated = net.apply(both, x, train=True, mutable=["batch_stats", "metrics"], rngs=keys)
            return (outputs.logits**2).mean(), updated.get("batch_stats", {})

        gradient, updated = jax.grad(loss, has_aux=True)(variables["params"])
        return net.apply(variables, x, train=False).logits, updated, gradient

    return net, run, np.random.default_rng(0).standard_normal((2 * DEVICES, 17, 20, 3))


@pytest.mark.parametrize("name", NETS)
def test_every_kind_of_net_is_traced_with_its_gradient(x64, name):
    """Types include shardings here: tracing fails where an operation has none. With both shardings of parameters."""
    net, run, x = passes(name)
    devices = mesh()

    def abstract(x, spec):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(devices, spec))

    images, arrays = abstract(x, PartitionSpec("data")), recipe.variables(net, np.float64)
    for fsdp in (False, True):
        variables = jax.tree.map(lambda x, fsdp=fsdp: abstract(x, spec_of(x, fsdp)), arrays)
        _, _, gradient = run.trace(variables, images).out_info
        specs = jax.tree.map(lambda x: tuple(x.sharding.spec), (gradient, variables["params"]))
        assert specs[0] == specs[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [AxisType.Explicit, AxisType.Auto])
def test_sharded_batch_and_parameters_give_one_devices_numbers(x64, name, kind):
    net, run, x = passes(name)
    variables, devices = recipe.variables(net, np.float64), mesh(kind)
    expected = run(variables, jnp.asarray(x))
    sharded = jax.tree.map(lambda x: jax.device_put(x, NamedSharding(devices, spec_of(x, fsdp=True))), variables)
    results = jax.device_get(run(sharded, batch(x, devices)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), results, jax.device_get(expected))


def test_skipping_runs_a_sharded_batch_whole_or_not_at_all(x64):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((DEVICES, 5, 4, 3)))
    conv = Conv(3, 3, dtype=jnp.float64, param_dtype=jnp.float64)
    variables = conv.init(jax.random.key(0), x)
    run = jax.jit(
        lambda x, open: conv.apply(variables, x, open, method=lambda conv, x, open: run_for(conv, x, open, x))
    )
    for selected in (np.zeros(DEVICES, bool), np.arange(DEVICES) == 1):
        y = run(batch(x, mesh()), batch(selected, mesh()))
        np.testing.assert_allclose(y, conv.apply(variables, x) if selected.any() else 0 * x, rtol=0, atol=1e-12)
