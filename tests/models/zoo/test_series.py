"""Nets of time series: counts, names, equations, unequal lengths.

Parameter names are public. To accept new ones: `PYTHONPATH=tests/helpers python tests/models/zoo/test_series.py`.
"""

import copy
import hashlib
import json
import pickle
from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax import summary
from resnet_jax.models import create_model, get_spec, list_models, registered_name, shapes
from resnet_jax.models.zoo.series import fcn_stages, inception_stages, resnet_stages

NAMES = ["inception_time", "tcn", "tsc_fcn", "tsc_resnet", "xresnet1d18", "xresnet1d34", "xresnet1d50", "xresnet1d101"]
GOLDEN = recipe.GOLDEN / "sequence" / "series.json"  # digests of the paths and shapes of all arrays
COUNTS = {  # parameters, by hand from the papers' tables; one channel in, two classes (tcn: ten)
    "inception_time": 2_528 + 5 * 80_128 + 384 + 16_640 + 258,
    "tcn": 225 + 15 * 4_425 + 50 + 260,
    "tsc_fcn": 1_280 + 164_352 + 98_560 + 258,
    "tsc_resnet": 33_856 + 205_824 + 263_168 + 258,
    "xresnet1d18": 9_568 + 49_664 + 181_504 + 723_456 + 2_888_704 + 1_026,
    "xresnet1d34": 9_568 + 74_496 + 379_136 + 2_300_416 + 4_463_616 + 1_026,
}
LENGTHS = (23, 14, 9)


def digest(name):
    lines = sorted(f"{'/'.join(path)} {list(x.shape)}" for path, x in flatten_dict(traced(name).variables).items())
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def traced(name):
    model = create_model(name)
    return shapes(model, model.image_size)


def test_the_nets_of_series():
    assert [name for name in list_models(input_kind="series") if name in NAMES] == NAMES
    for name in NAMES:
        model = create_model(name, num_classes=3)
        assert registered_name(pickle.loads(pickle.dumps(model))) == registered_name(copy.deepcopy(model)) == name
        assert model == create_model(name, num_classes=3) and hash(model) == hash(copy.deepcopy(model))
        assert get_spec(name).image_size == model.image_size


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("xresnet1d50", "xresnet1d101")])
def test_names_and_counts(name):
    assert digest(name) == json.loads(GOLDEN.read_text())[name]
    assert summary(name).parameters == COUNTS[name]


def narrow(name, **overrides):
    """The net with eight channels and at most two stages of one block, in float64."""
    model = create_model(name, dtype="float64", param_dtype="float64", **overrides)
    stages = model.stages[:1] if name == "inception_time" else model.stages[:2]  # of three modules
    return model.clone(stages=tuple(replace(stage, depth=1, features=8) for stage in stages), stem_features=8)


@cache
def program(name):
    """A narrow net of two channels, its variables, an input, and a compiled function of input and lengths: logits,
    statistics and gradients in training, logits in evaluation, and those of the second example alone."""
    net = narrow(name, in_channels=2, num_classes=3)
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 23, 2)))
    variables = recipe.variables(net, np.float64)

    @jax.jit
    def passes(x, lengths):
        def loss(params, x):
            both = {**variables, "params": params}
            outputs, updated = net.apply(both, x, train=True, lengths=lengths, mutable=["batch_stats"])
            return -jax.nn.log_softmax(outputs.logits)[:, 1].mean(), (outputs.logits, updated)

        gradients, (logits, updated) = jax.grad(loss, (0, 1), has_aux=True)(variables["params"], x)
        evaluated = net.apply(variables, x, train=False, lengths=lengths).logits
        return logits, updated, gradients, evaluated, net.apply(variables, x[1:2, : LENGTHS[1]], train=False).logits

    return net, variables, x, passes


@pytest.mark.parametrize("name", ["tsc_resnet", "tsc_fcn", "inception_time", "xresnet1d18", "tcn"])
def test_what_lies_behind_a_length_changes_no_number(x64, name):
    _, _, x, passes = program(name)
    lengths, behind = jnp.array(LENGTHS), np.array(x)
    expected = passes(x, lengths)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(expected[2]))
    for example, length in zip(behind, LENGTHS, strict=True):
        example[length:] = np.nan
    jax.tree.map(np.testing.assert_array_equal, passes(jnp.asarray(behind), lengths), expected)
    np.testing.assert_allclose(expected[3][1:2], expected[4], rtol=1e-10)
    assert np.abs(expected[3][0] - expected[3][1]).max() > 1e-6


def convolve(x, kernel):
    """Keras' Conv1D with padding="same": [N, L, Ci], [k, Ci, Co]; (k - 1) // 2 zeros before and k // 2 after."""
    size, length = len(kernel), x.shape[1]
    padded = np.pad(x, ((0, 0), ((size - 1) // 2, size // 2), (0, 0)))
    return sum(padded[:, i : i + length] @ kernel[i] for i in range(size))


def normalise(x, params, statistics):
    return (x - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-3) * params["scale"] + params["bias"]


def test_tsc_resnet_equals_its_equations(x64):
    """Wang et al. 2017, equations 2 and 3, in NumPy."""
    net = narrow("tsc_resnet", in_channels=2, num_classes=3)
    x = np.random.default_rng(0).standard_normal((2, 13, 2))
    variables = recipe.variables(net.clone(image_size=(13,)), np.float64)
    y = x
    for stage in ("stage1_block0", "stage2_block0"):
        params, statistics = variables["params"][stage], variables["batch_stats"][stage]
        z = y
        for k in (1, 2, 3):
            z = convolve(z, params["branch"][f"conv{k}"]["kernel"])
            z = normalise(z, params["branch"][f"norm{k}"], statistics["branch"][f"norm{k}"])
            z = np.maximum(z, 0) if k < 3 else z
        s = convolve(y, params["shortcut"]["conv"]["kernel"]) if "conv" in params["shortcut"] else y
        y = np.maximum(z + normalise(s, params["shortcut"]["norm"], statistics["shortcut"]["norm"]), 0)
    assert "conv" not in variables["params"]["stage2_block0"]["shortcut"]  # a norm alone, where the channels stay
    dense = variables["params"]["head"]["dense"]
    logits = jax.jit(partial(net.apply, train=False))(variables, jnp.asarray(x)).logits
    np.testing.assert_allclose(logits, y.mean(1) @ dense["kernel"] + dense["bias"], rtol=1e-10)


def test_a_tcn_sees_nothing_later(x64):
    net, variables, x, _ = program("tcn")

    def features(x):
        return net.apply(variables, x, train=False).features["stage2"][0].sum(-1)

    reach = np.abs(jax.jit(jax.jacobian(features))(x)[:, 0]).max(-1) > 0
    distance = np.arange(23)[:, None] - np.arange(23)
    assert not reach[distance < 0].any()
    assert reach[distance >= 0].mean() > 0.9  # two blocks of two convolutions of 7 see 36 positions back


def test_a_tcn_drops_values_in_training_alone(x64):
    net, variables, x, _ = program("tcn")
    net = net.clone(layer_drop_rate=0.5)

    @jax.jit
    def logits(key):
        return [net.apply(variables, x, train=train, rngs={"dropout": key}).logits for train in (True, False)]

    (a, b), (c, d) = (logits(jax.random.key(seed)) for seed in (0, 1))
    assert np.abs(a - c).max() > 1e-3
    np.testing.assert_array_equal(b, d)


def test_the_kernels_are_an_argument():
    """tsai has other kernels."""
    for name, stages in (
        ("tsc_resnet", resnet_stages((7, 5, 3))),
        ("tsc_fcn", fcn_stages((7, 5, 3))),
        ("inception_time", inception_stages((39, 19, 9))),
    ):
        params = shapes(create_model(name, stages=stages), (16,)).variables["params"]["stage1_block0"]
        kernel = min(path for path in flatten_dict(params) if path[-2] == "conv1" or path[-2:] == ("conv", "kernel"))
        assert flatten_dict(params)[kernel].shape[0] in (7, 39)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps({name: digest(name) for name in NAMES}, indent=0) + "\n")
