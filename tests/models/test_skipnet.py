"""SkipNet: gates in training and at inference, the penalty, the phases of a run."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model
from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Basic
from resnet_jax.models.context import BlockContext
from resnet_jax.models.shortcuts import ZeroPad
from resnet_jax.models.skipnet import LSTM, FeedForwardGate, GateCarry, SkipResidual, run_for

X = np.random.default_rng(0).standard_normal((5, 9, 8, 3))
EMPTY = GateCarry(None, ())
NETS = ("cifar_skipnet110", "cifar_skipnet38_rnn")  # one net of each kind of gate


@pytest.fixture
def block(x64):
    context = BlockContext(dtype=jnp.float64, param_dtype=jnp.float64)
    block = SkipResidual(context, 3, shortcut=ZeroPad, gate=partial(FeedForwardGate, convs=2))
    x = jnp.asarray(X)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, EMPTY, "hard"))
    leaves, structure = jax.tree.flatten(shapes)
    rng = np.random.default_rng(1)
    variables = structure.unflatten([jnp.asarray(rng.standard_normal(leaf.shape) ** 2) for leaf in leaves])
    return block, variables, x


def biased(variables, bias):
    """Variables that make every gate's logit `bias`."""
    dense = {"kernel": jnp.zeros_like(variables["params"]["gate"]["dense"]["kernel"]), "bias": jnp.full((1,), bias)}
    gate = variables["params"]["gate"] | {"dense": dense}
    return variables | {"params": variables["params"] | {"gate": gate}}


def test_an_open_gate_gives_the_residual_block_a_closed_one_its_shortcut(block):
    block, variables, x = block
    residual = Residual(block.context, 3, shortcut=ZeroPad).apply(variables, x)
    np.testing.assert_array_equal(block.apply(biased(variables, 0.1), x, EMPTY, "hard")[0], residual)
    np.testing.assert_array_equal(block.apply(biased(variables, -0.1), x, EMPTY, "hard")[0], np.maximum(X, 0))


def test_a_soft_gate_multiplies_the_branch_by_its_probability(block):
    block, variables, x = block
    y = Basic(block.context, 3).apply({name: tree["branch"] for name, tree in variables.items()}, x)
    out, carry = block.apply(biased(variables, -0.5), x, EMPTY, "soft")
    probability = 1 / (1 + np.exp(0.5))
    np.testing.assert_allclose(out, np.maximum(X + probability * y, 0), rtol=1e-12)
    np.testing.assert_allclose(carry.gates[0], np.full(5, probability), rtol=1e-12)


@pytest.mark.parametrize("bias", [-0.3, 0.3])
def test_a_hard_gate_has_the_gradient_of_the_probability(block, bias):
    """d out / d bias = sigmoid'(bias) * branch(x) wherever the activation passes, though the gate is 0 or 1."""
    block, variables, x = block
    y = Basic(block.context, 3).apply({name: tree["branch"] for name, tree in variables.items()}, x)

    def total(bias):
        return block.apply(biased(variables, bias), x, EMPTY, "hard")[0].sum()

    p = 1 / (1 + np.exp(-bias))
    passes = X + (bias > 0) * np.asarray(y) > 0
    np.testing.assert_allclose(jax.grad(total)(bias), p * (1 - p) * (y * passes).sum(), rtol=1e-10)


@pytest.mark.parametrize("selected", [[], [0], [2, 4], [0, 1, 3], [0, 1, 2, 3, 4]])
def test_a_module_runs_for_the_selected_images(x64, selected):
    """In the smallest of the batch sizes 0, 2, 3, 4 and 5 that holds them."""

    class Doubled(Basic):
        def __call__(self, x):
            jax.debug.callback(lambda n: sizes.append(int(n)), x.shape[0])
            return 2 * x

    sizes: list[int] = []
    mask = np.isin(np.arange(5), selected)
    doubled = Doubled(BlockContext(), 3, parent=None)
    y = jax.jit(lambda x, m: run_for(doubled, x, m, x))(jnp.asarray(X), jnp.asarray(mask))
    jax.effects_barrier()
    np.testing.assert_array_equal(y[mask], 2 * X[mask])
    assert np.isfinite(y).all()
    assert sizes == {0: [], 1: [2], 2: [2], 3: [3], 5: [5]}[len(selected)]


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("name", NETS)
def test_skipping_changes_no_number(x64, name, n):
    options = {"dtype": "float64", "param_dtype": "float64"}
    hard, skipping = (recipe.small(name, 1, **options, skipping=skipping) for skipping in (False, True))
    variables = recipe.variables(hard, np.float64)
    for block in variables["params"].values():  # some gates open, some closed
        if "gate" in block:
            block["gate"]["dense"]["bias"] = np.zeros(1)
    x = jnp.asarray(X[:n])
    outputs, sown = jax.jit(partial(hard.apply, train=False, mutable="metrics"))(variables, x)
    skipped = jax.jit(partial(skipping.apply, train=False))(variables, x)
    gates = np.stack([sown["metrics"][f"executed/{name}"][0] for name in hard.block_names()])
    assert set(np.unique(gates)) == {0, 1}
    np.testing.assert_allclose(sown["metrics"]["executed"][0], gates.mean(0), rtol=1e-12)
    np.testing.assert_allclose(skipped.logits, outputs.logits, rtol=0, atol=1e-10 * np.abs(outputs.logits).max())


def test_all_gates_share_one_lstm(x64):
    """It follows the LSTM's equations, and the net has one set of its parameters."""
    rng = np.random.default_rng(2)
    kernel, bias, out, cell, x = (rng.standard_normal(shape) for shape in ((5, 12), (12,), (4, 3), (4, 3), (4, 2)))
    output, memory = LSTM(*map(jnp.asarray, (kernel, bias, out, cell)))(jnp.asarray(x))
    z = x @ kernel[:2] + out @ kernel[2:] + bias
    i, f, o = (1 / (1 + np.exp(-z[:, part : part + 3])) for part in (0, 3, 6))
    new_cell = f * cell + i * np.tanh(z[:, 9:])
    np.testing.assert_allclose(memory.cell, new_cell, rtol=1e-12)
    np.testing.assert_allclose(output, o * np.tanh(new_cell), rtol=1e-12)
    np.testing.assert_array_equal(memory.out, output)
    net = create_model("cifar_skipnet38_rnn")
    params = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False))["params"]
    assert {name: leaf.shape for name, leaf in params["memory"].items()} == {"kernel": (20, 40), "bias": (40,)}
    gate_paths = [path for path in flatten_dict(params) if "gate" in path]
    assert len(gate_paths) == 4 * 18 and {path[-2] for path in gate_paths} == {"embed", "dense"}


@pytest.mark.slow
def test_training_with_soft_and_with_hard_gates_under_remat(x64):
    """Recomputation changes no number, though a carry passes through; soft and hard gates give different gradients."""
    net = recipe.small("cifar_skipnet38_rnn", 1, dtype="float64", param_dtype="float64")
    variables, x = recipe.variables(net, np.float64), jnp.asarray(X)

    @partial(jax.jit, static_argnums=0)
    def gradient(net, params):
        def loss(params):
            outputs, _ = net.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
            return (outputs.logits**2).sum()

        return jax.grad(loss)(params)

    plain = gradient(net, variables["params"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9),
        gradient(net.clone(remat="block"), variables["params"]),
        plain,
    )
    soft = gradient(net.clone(soft_gates=True), variables["params"])
    assert np.abs(soft["stem"]["conv"]["kernel"] - plain["stem"]["conv"]["kernel"]).max() > 1e-6


def test_recurrent_gates_without_a_memory_raise_an_error():
    net = create_model("cifar_skipnet38_rnn", memory_size=None)
    with pytest.raises(ValueError, match="recurrent gates: expected memory_size, the size of their LSTM"):
        jax.eval_shape(partial(net.init, train=False), jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def test_a_new_net_runs_every_block_and_has_parameters_and_statistics_alone():
    net = recipe.small("cifar_skipnet38", 1)
    x = jnp.asarray(X[:1], jnp.float32)
    variables = jax.jit(partial(net.init, train=False))(jax.random.key(0), x)
    assert set(variables) == {"params", "batch_stats"}
    _, sown = jax.jit(partial(net.apply, train=False, mutable="metrics"))(variables, x)
    names = ("stage1_block0", "stage2_block0", "stage3_block0")
    assert set(sown["metrics"]) == {"executed", *(f"executed/{name}" for name in names)}
    assert all(np.all(values[0] == 1) for values in sown["metrics"].values())


def test_the_penalty_is_sown_in_training_alone_and_is_proportional_to_the_mean_gate(x64):
    net = recipe.small("cifar_skipnet38", 1, dtype="float64", param_dtype="float64", gate_penalty=0.3)
    variables, x = recipe.variables(net, np.float64), jnp.asarray(X)

    @partial(jax.jit, static_argnums=(0, 2))
    def sown(net, x, train):
        return net.apply(variables, x, train=train, mutable=["losses", "metrics", "batch_stats"])[1]

    training = sown(net.clone(soft_gates=True), x, True)
    np.testing.assert_allclose(training["losses"]["gate_penalty"][0], 0.3 * training["metrics"]["executed"][0])
    assert "losses" not in sown(net, x, False)
    assert "losses" not in sown(net.clone(gate_penalty=0.0), x, True)
