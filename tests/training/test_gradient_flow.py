"""Gradients along a net, against derivatives taken in another way."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe

from resnet_jax import make_train_step
from resnet_jax.distributed.devices import Parallel
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.training import metrics, optim
from resnet_jax.training.state import TrainState

NETS = {
    "resnet": recipe.small("cifar_resnet20", 1, 2, num_classes=10, dtype="float64", param_dtype="float64"),
    "skipnet": recipe.small("cifar_skipnet38_rnn", 1, 2, num_classes=10, dtype="float64", param_dtype="float64"),
}


def batch(n):
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((n, 8, 8, 3)), rng.integers(0, 10, n).astype(np.int32)
    return {"image": images, "label": labels, "mask": np.ones(n)}  # of float64, and so are the metrics then


def fresh(model):
    return TrainState.from_variables(recipe.variables(model, np.float64), optim.sgd(0.1), jax.random.key(0))


def by_added_maps(model, state, data):
    """The mean loss's gradient by a map added to each block's output, and by the parameters."""
    images, names = jnp.asarray(data["image"]), [name for name in state.params if name == "stem" or "stage" in name]

    def loss(params, maps):
        def add(run, args, kwargs, context):
            outputs = run(*args, **kwargs)
            if len(context.module.path) != 1 or context.module.path[0] not in maps:
                return outputs
            added = maps[context.module.path[0]]
            if context.module.path == ("stem",):  # which also gives a feature that nothing here uses
                return outputs[0], outputs[1] + added
            return (outputs[0] + added, outputs[1]) if isinstance(outputs, tuple) else outputs + added

        with nn.intercept_methods(add):
            variables = {"params": params, "batch_stats": state.batch_stats}
            outputs, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
        return cross_entropy(outputs.logits, data["label"]).mean()

    depths = jax.eval_shape(partial(model.apply, train=False), state.variables, images).features
    maps = {name: jnp.zeros(depths[name.partition("_")[0]].shape) for name in names}
    params, maps = jax.jit(jax.grad(loss, (0, 1)))(state.params, maps)
    return {
        **{f"activation_gradient/{name}": optax.tree.norm(gradient) for name, gradient in maps.items()},
        **{f"parameter_gradient/{name}": optax.tree.norm(gradient) for name, gradient in params.items()},
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_the_norms_are_those_of_the_gradients(x64, name):
    model, data = NETS[name], batch(6)
    state = fresh(model)
    step = jax.jit(make_train_step(model, optim.sgd(0.1), axis_name=None, gradient_flow=True))
    new, sums = step(state, data)
    means, expected = metrics.mean([sums]), by_added_maps(model, state, data)
    assert {name for name in means if "_gradient/" in name} == expected.keys()
    np.testing.assert_allclose([means[name] for name in expected], list(expected.values()), rtol=1e-9)
    squares = sum(value**2 for name, value in means.items() if name.startswith("parameter_gradient"))
    assert means["grad_norm"] == pytest.approx(squares**0.5, rel=1e-12)
    plain, _ = jax.jit(make_train_step(model, optim.sgd(0.1), axis_name=None))(state, data)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-14), new.params, plain.params)


@pytest.mark.slow
def test_norms_are_the_same_in_microbatches_on_devices_and_with_remat(x64):
    model, data = NETS["resnet"].clone(frozen_norms=("all",)), batch(16)
    once = make_train_step(model, optim.sgd(0.1), axis_name=None, gradient_flow=True)
    expected = metrics.mean([jax.jit(once)(fresh(model), data)[1]])
    parts = make_train_step(
        model.clone(remat="block"), optim.sgd(0.1), axis_name=None, gradient_flow=True, accumulate=2
    )
    parallel = Parallel("pmap", jax.devices()[:4])
    mapped = parallel.map(make_train_step(model, optim.sgd(0.1), gradient_flow=True))
    for _, sums in (jax.jit(parts)(fresh(model), data), mapped(parallel.replicate(fresh(model)), parallel.shard(data))):
        got = metrics.mean([jax.device_get(sums)])
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, rel=1e-9), name


def test_norms_with_shared_statistics_and_padding_do_not_depend_on_devices(x64):
    model = NETS["resnet"]
    data = batch(8) | {"mask": np.array([1.0, 1, 0, 1, 1, 0, 0, 1])}
    alone = make_train_step(model, optim.sgd(0.1), axis_name=None, gradient_flow=True)
    expected = metrics.mean([jax.jit(alone)(fresh(model), data)[1]])
    parallel = Parallel("shard_map", jax.devices()[:2])
    step = parallel.map(make_train_step(model.clone(bn_axis="data"), optim.sgd(0.1), gradient_flow=True))
    got = metrics.mean([jax.device_get(step(parallel.replicate(fresh(model)), parallel.shard(data))[1])])
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-9), name
