"""Nets of time series against Keras' layers, in float64: logits, loss, gradients and moving statistics.

Run by `pytest -m parity`, after `pip install keras` (its JAX backend is used).
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from library_nets import keras_in_float64

from resnet_jax.models import create_model

pytestmark = pytest.mark.parity
CHANNELS, CLASSES, LENGTH = 3, 4, 31


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras has another backend")
    with keras_in_float64():
        yield keras


class Layers:
    """Keras' layers, each known by the path of the module that it is compared with."""

    def __init__(self, keras):
        self.keras, self.by_path = keras, {}

    def add(self, path, layer):
        self.by_path[path] = layer
        return layer

    def conv(self, path, x, features, size, use_bias=True):
        conv = self.keras.layers.Conv1D(features, size, padding="same", use_bias=use_bias)
        return self.add(path, conv)(x)

    def norm(self, path, x):
        return self.add(path, self.keras.layers.BatchNormalization())(x)

    def relu(self, x):
        return self.keras.layers.Activation("relu")(x)

    def block(self, name, x, features):
        y = x
        for k, size in enumerate((8, 5, 3), 1):
            y = self.norm(f"{name}/branch/norm{k}", self.conv(f"{name}/branch/conv{k}", y, features, size))
            y = self.relu(y) if k < 3 else y
        s = x if x.shape[-1] == features else self.conv(f"{name}/shortcut/conv", x, features, 1)
        return self.relu(self.keras.layers.add([self.norm(f"{name}/shortcut/norm", s), y]))

    def module(self, name, x):
        reduced = self.conv(f"{name}/reduce", x, 32, 1, use_bias=False)
        paths = [
            self.conv(f"{name}/conv{k}", reduced, 32, size, use_bias=False) for k, size in enumerate((40, 20, 10), 1)
        ]
        pooled = self.keras.layers.MaxPooling1D(3, strides=1, padding="same")(x)
        paths.append(self.conv(f"{name}/pool_conv", pooled, 32, 1, use_bias=False))
        return self.relu(self.norm(f"{name}/norm", self.keras.layers.Concatenate()(paths)))


def tsc_resnet(layers, x):
    for stage, features in enumerate((64, 128, 128), 1):
        x = layers.block(f"stage{stage}_block0", x, features)
    return x


def tsc_fcn(layers, x):
    for stage, (features, size) in enumerate(zip((128, 256, 128), (8, 5, 3), strict=True), 1):
        name = f"stage{stage}_block0"
        x = layers.relu(layers.norm(f"{name}/norm", layers.conv(f"{name}/conv", x, features, size)))
    return x


def inception_time(layers, x):
    for stage in (1, 2):
        name, y = f"stage{stage}_block0", x
        for i in range(3):
            y = layers.module(f"{name}/branch/module{i}", y)
        s = layers.norm(f"{name}/shortcut/norm", layers.conv(f"{name}/shortcut/conv", x, 128, 1, use_bias=False))
        x = layers.relu(layers.keras.layers.add([s, y]))
    return x


NETS = {"tsc_resnet": tsc_resnet, "tsc_fcn": tsc_fcn, "inception_time": inception_time}
LEAVES = {"kernel": "kernel", "scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}


def keras_net(name, keras):
    layers, inputs = Layers(keras), keras.Input((LENGTH, CHANNELS))
    pooled = keras.layers.GlobalAveragePooling1D()(NETS[name](layers, inputs))
    logits = layers.add("head/dense", keras.layers.Dense(CLASSES))(pooled)
    return keras.Model(inputs, logits), layers.by_path


def weight(layers, path):
    *module, leaf = path
    return getattr(layers["/".join(module)], leaf if module[-1] == "dense" else LEAVES[leaf])


def with_biases(layers, rng):
    """Random biases of the convolutions, and by path of a norm's running mean what ours is smaller by."""
    shifts = {}
    for path, layer in layers.items():
        if "conv" in path and layer.use_bias:
            bias = rng.standard_normal(layer.bias.shape)
            layer.bias.assign(bias)
            shifts[(*path.replace("conv", "norm").split("/"), "mean")] = bias
    return shifts


@pytest.mark.parametrize("name", NETS)
def test_keras(x64, name, keras):
    net = create_model(name, in_channels=CHANNELS, num_classes=CLASSES, dtype="float64", param_dtype="float64")
    variables = recipe.variables(net, np.float64)
    theirs, layers = keras_net(name, keras)
    rng = np.random.default_rng(0)
    shifts = with_biases(layers, rng)
    flat = {kind: flatten_dict(tree) for kind, tree in variables.items()}
    for path, value in (*flat["params"].items(), *flat["batch_stats"].items()):
        weight(layers, path).assign(value + shifts.get(path, 0))
    assert theirs.count_params() == sum(x.size for x in jax.tree.leaves(variables)) + sum(map(np.size, shifts.values()))
    x, labels = rng.standard_normal((5, LENGTH, CHANNELS)), jnp.asarray(rng.integers(0, CLASSES, 5))
    trainable, fixed = ([v.value for v in vs] for vs in (theirs.trainable_variables, theirs.non_trainable_variables))

    def loss_of(logits):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    @jax.jit
    def keras_pass(trainable):
        def loss(trainable):
            logits, updated = theirs.stateless_call(trainable, fixed, x, training=True)
            return loss_of(logits), updated

        return (
            theirs.stateless_call(trainable, fixed, x, training=False)[0],
            *jax.value_and_grad(loss, has_aux=True)(trainable),
        )

    @jax.jit
    def our_pass(params):
        def loss(params):
            outputs, updated = net.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
            return loss_of(outputs.logits), updated["batch_stats"]

        logits = net.apply({**variables, "params": params}, x, train=False).logits
        return logits, *jax.value_and_grad(loss, has_aux=True)(params)

    expected, (loss, updated), gradients = keras_pass(trainable)
    logits, (our_loss, statistics), our_gradients = our_pass(variables["params"])
    np.testing.assert_allclose(logits, expected, rtol=1e-8)
    np.testing.assert_allclose(our_loss, loss, rtol=1e-8)
    indices = {id(v): i for i, v in enumerate(theirs.trainable_variables)}
    scale = max(np.linalg.norm(x) for x in gradients)
    for path, gradient in flatten_dict(our_gradients).items():
        error = np.linalg.norm(gradient - gradients[indices[id(weight(layers, path))]])
        assert error < 1e-8 * scale, path
    indices = {id(v): i for i, v in enumerate(theirs.non_trainable_variables)}
    for path, value in flatten_dict(statistics).items():
        moved = updated[indices[id(weight(layers, path))]] - shifts.get(path, 0)
        np.testing.assert_allclose(value, moved, rtol=1e-8, atol=1e-10, err_msg=str(path))
