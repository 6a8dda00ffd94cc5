"""The arguments for residual networks, checked in numbers."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import recipe

from resnet_jax import TrainState, create_model, make_train_step
from resnet_jax.models import shapes
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.training import metrics, optim


def test_a_deeper_net_with_zeroed_branches_is_the_shallow_one():
    """The solution by construction of He et al. 2015, section 1: bit for bit, at every depth."""
    shallow = create_model("cifar_resnet8")
    variables = recipe.variables(shallow)
    images = jnp.asarray(np.random.default_rng(0).standard_normal((2, 16, 16, 3)), jnp.float32)
    expected = jax.jit(partial(shallow.apply, train=False))(variables, images)
    for depth in (20, 32, 44):
        deep = create_model(f"cifar_resnet{depth}")
        params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes(deep, 32).variables)
        variables_of_deep = {group: {**params[group], **variables[group]} for group in params}
        outputs = jax.jit(partial(deep.apply, train=False))(variables_of_deep, images)
        np.testing.assert_array_equal(outputs.logits, expected.logits)
        np.testing.assert_array_equal(outputs.features["stage3"], expected.features["stage3"])


def test_signals_and_gradients_pass_a_preactivation_net_as_a_sum(x64):
    """x_L = x_l + sum of F, and dL/dx_l = dL/dx_L (1 + d/dx_l of that sum): He et al. 2016, eq. 4 and 5."""
    model = recipe.small("cifar_preresnet110", 4, 1, num_classes=10, dtype="float64", param_dtype="float64")
    variables = recipe.variables(model, np.float64)
    rng = np.random.default_rng(0)
    images, labels = jnp.asarray(rng.standard_normal((3, 8, 8, 3))), jnp.array([1, 5, 7])

    def run(x, first, last):
        """Runs the net with `x` as the input of block `first`: the loss, the input of block `last`, each F."""
        inputs, branches = {}, {}

        def watch(step, args, kwargs, context):
            path = context.module.path
            if path == (f"stage1_block{first}",):
                args = (x,)
            if len(path) == 1 and path[0].startswith("stage1_block"):
                inputs[int(path[0][len("stage1_block") :])] = args[0]
            y = step(*args, **kwargs)
            if len(path) == 2 and path[1] == "branch":
                branches[int(path[0][len("stage1_block") :])] = y
            return y

        with nn.intercept_methods(watch):
            logits = model.apply(variables, images, train=False).logits
        return cross_entropy(logits, labels).mean(), inputs[last], branches

    first, last = 1, 3
    x_l = jax.jit(lambda: model.bind(variables) and run(None, -1, first)[1])()
    _, x_last, branches = jax.jit(partial(run, first=first, last=last))(x_l)
    np.testing.assert_allclose(x_last, x_l + sum(branches[i] for i in range(first, last)), rtol=0, atol=1e-14)

    whole = jax.jit(jax.grad(lambda x: run(x, first, last)[0]))(x_l)
    arriving = jax.jit(jax.grad(lambda x: run(x, last, last)[0]))(x_last)
    through = jax.jit(jax.vjp(lambda x: sum(run(x, first, last)[2][i] for i in range(first, last)), x_l)[1])
    (bent,) = through(arriving)
    np.testing.assert_allclose(whole, arriving + bent, rtol=0, atol=1e-15 + 1e-14 * np.abs(whole).max())
    assert optax.tree.norm(bent) > 0.01 * optax.tree.norm(arriving)  # the branches matter


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "resnet"])
def test_deeper_plain_nets_train_worse_and_deeper_residual_nets_do_not(digits, kind):
    """On real digits, with three seeds: the training error after the same number of steps."""
    images = (digits.images / 16 - 0.3).astype(np.float32)
    tx = optim.sgd(optim.warmup_cosine(peak_lr=0.1, steps=60, warmup_steps=6), weight_decay=5e-4)
    quick = {"xla_backend_optimization_level": 1}  # sixty steps are too slow without optimisation
    error = {}
    for depth in (20, 32):
        model = create_model(f"cifar_{kind}{depth}", in_channels=1)
        create = jax.jit(partial(TrainState.create, model, tx))
        step = jax.jit(make_train_step(model, tx, axis_name=None), compiler_options=quick)
        for seed in range(3):
            state = create(jax.random.key(seed), images[:1])
            order = np.random.default_rng(seed)
            sums = []
            for _ in range(60):
                index = order.integers(0, len(images), 32)
                state, one = step(state, {"image": images[index], "label": digits.labels[index]})
                sums.append(one)
            error[depth, seed] = 1 - metrics.mean(jax.device_get(sums[-10:]))["top1"]
    for seed in range(3):
        deeper = error[32, seed] - error[20, seed]
        assert deeper > 0.2 if kind == "plain" else deeper < 0.05, error
