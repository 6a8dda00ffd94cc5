"""The exam every registered net passes: values on nets cut to two blocks a stage, shapes and names on the whole.

Parameter names are public: checkpoints carry them. To accept new ones:
`PYTHONPATH=tests python tests/models/test_registry.py`.
"""

import hashlib
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model, feature_info, list_models, pieces, shapes
from resnet_jax.models.layers import BatchNorm, GroupNorm

HUGE = "1202"
NAMES = list_models()
WHOLE = [pytest.param(name, marks=pytest.mark.slow if HUGE in name else ()) for name in NAMES]
GOLDEN = Path(__file__).parents[1] / "golden" / "names.json"
READABLE = ("cifar_resnet20", "cifar_resnet20_c", "cifar_plain20", "resnet18", "resnet50", "resnet50_v1")
# One name for each set of pieces and shape of the table; the others differ in numbers alone.
SMALL = sorted({(frozenset(pieces(m := create_model(name))), len(m.stages)): name for name in reversed(NAMES)}.values())
SIZE = 33  # odd on purpose


def images(model, n=2):
    x = np.random.default_rng(0).standard_normal((n, SIZE, SIZE + 2, model.in_channels))
    return jnp.asarray(x, model.dtype)


def run(model, variables, x, train):
    out = model.apply(variables, x, train=train, mutable=["batch_stats"] if train else [])
    return out[0], out[1].get("batch_stats", {})


run_jit = jax.jit(run, static_argnums=(0, 3))


def traced(model):
    size = -(-model.image_size // 64) * 64  # feature_info's, so that the net is traced once
    return size, shapes(model, size)


def described(name, variables):
    """Every array's path and shape: in full for some nets, as a digest for the others."""
    lines = sorted(f"{'/'.join(path)} {list(x.shape)}" for path, x in flatten_dict(variables).items())
    if name in READABLE:
        return lines
    return {"arrays": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


@pytest.mark.parametrize("name", WHOLE)
def test_shapes_and_names(name):
    model = create_model(name)
    size, (outputs, variables, _) = traced(model)
    assert described(name, variables) == json.loads(GOLDEN.read_text())[name]
    assert outputs.logits.shape == (1, model.num_classes)
    assert outputs.logits.dtype == jnp.float32
    assert outputs.features["pool"].shape == (1, model.stages[-1].features)
    for stage, feature in zip(model.stages, list(feature_info(model, size).values())[1:], strict=True):
        assert feature.channels == stage.features
    assert set(variables) == {"params"} | ({"batch_stats"} if model.norm is BatchNorm else set())


def test_feature_strides():
    imagenet = {"stem": (64, 2), "stage1": (256, 4), "stage2": (512, 8), "stage3": (1024, 16), "stage4": (2048, 32)}
    cifar = {"stem": (16, 1), "stage1": (16, 1), "stage2": (32, 2), "stage3": (64, 4)}
    assert feature_info(create_model("resnet50")) == imagenet
    assert list(feature_info(create_model("resnet50"))) == list(imagenet)
    assert feature_info(create_model("cifar_resnet20")) == cifar
    assert feature_info(create_model("resnet50"), 225) == imagenet  # whatever the size


@pytest.mark.parametrize("name", SMALL)
def test_logits_depend_on_the_image_and_train_differs_from_eval_by_the_statistics_alone(name):
    model = recipe.small(name)
    variables, x = recipe.variables(model), images(model)
    eval_outputs, _ = run_jit(model, variables, x, False)
    assert np.isfinite(eval_outputs.logits).all()
    assert np.abs(eval_outputs.logits[0] - eval_outputs.logits[1]).max() > 1e-4  # rounding is 1e-7

    train_outputs, updated = run_jit(model, variables, x, True)
    if model.norm is GroupNorm:
        np.testing.assert_array_equal(train_outputs.logits, eval_outputs.logits)
        return
    assert np.abs(train_outputs.logits - eval_outputs.logits).max() > 1e-3
    # With a decay of 0 the running statistics become the batch's, and evaluation repeats the training pass.
    decay = 0.9
    batch = jax.tree.map(lambda new, old: (new - decay * old) / (1 - decay), updated, variables["batch_stats"])
    again, _ = run_jit(model, {"params": variables["params"], "batch_stats": batch}, x, False)
    np.testing.assert_allclose(again.logits, train_outputs.logits, rtol=0, atol=2e-4 * np.abs(again.logits).max())


@pytest.mark.parametrize("name", SMALL)
def test_gradients_are_finite_and_none_is_dead(name):
    model = recipe.small(name)
    variables, x = recipe.variables(model), images(model)

    @jax.jit
    def gradient(params):
        def loss(params):
            outputs, _ = run(model, {**variables, "params": params}, x, True)
            return -jax.nn.log_softmax(outputs.logits)[:, 1].mean()

        return jax.grad(loss)(params)

    for path, g in flatten_dict(gradient(variables["params"])).items():
        assert np.isfinite(g).all(), path
        assert np.abs(g).max() > 0, path


@pytest.mark.parametrize("name", SMALL)
def test_a_fresh_net_carries_the_signal(name):
    """A zero-initialised last norm must not silence a net without shortcuts."""
    model = recipe.small(name)
    x = images(model)
    variables = jax.jit(lambda key: model.init(key, x, train=False))(jax.random.key(0))
    logits = run_jit(model, variables, x, True)[0].logits
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    last = max(leaf for leaf in variables["params"]["stage1_block0"]["branch"] if leaf.startswith("norm"))
    scale = variables["params"]["stage1_block0"]["branch"][last]["scale"]
    np.testing.assert_array_equal(scale, 1 if "plain" in name else 0)


def test_equal_arguments_give_equal_modules():
    assert create_model("resnet50", num_classes=10) == create_model("resnet50", num_classes=10)
    assert hash(create_model("resnet50")) == hash(create_model("resnet50", dtype="float32"))
    assert create_model("resnet50") != create_model("resnet50_v1")
    assert create_model("cifar_resnet20") == create_model("cifar_resnet20_a")


def test_listing():
    assert list_models("resnet*_v1") == ["resnet50_v1", "resnet101_v1", "resnet152_v1"]
    assert list_models("nothing") == []
    assert len(NAMES) == 94


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("resnet5o", {}), ValueError, "no model named 'resnet5o'; close: resnet50"),
        (("resnet50", {"num_clases": 3}), TypeError, "no option 'num_clases'; close: num_classes"),
        (("resnet50", {"stem": "cifr"}), ValueError, "stem='cifr'; valid: imagenet, cifar"),
        (("resnet50", {"remat": "all"}), ValueError, "remat='all'; valid: none, block, stage"),
        (("resnet50", {"output_stride": 4}), ValueError, "output_stride=4; valid: None, 8, 16, 32"),
        (("resnet50", {"frozen_norms": ("stage5",)}), ValueError, "frozen_norms='stage5'; valid: all, stem, stage1"),
        (("resnet50", {"drop_path": 1.0}), ValueError, "drop_path=1.0; wanted: a rate in [0, 1)"),
        (("resnet50", {"num_classes": -1}), ValueError, "num_classes=-1; wanted: a whole number, at least 0"),
        (("resnet50", {"bn_group_size": 2}), ValueError, "set bn_axis too"),
        (("resnet50", {"dtype": "float23"}), ValueError, "dtype='float23'; valid: float32, bfloat16"),
        (("resnet50", {"dtype": "int32"}), ValueError, "dtype='int32'; valid: float32, bfloat16"),
        (("resnet50", {"dtype": None}), ValueError, "dtype=None; valid: float32, bfloat16"),
        (("resnet50", {"num_classes": 2.5}), ValueError, "num_classes=2.5; wanted: a whole number"),
    ],
)
def test_what_cannot_be_is_told_with_the_nearest_choice(arguments, error, said):
    name, overrides = arguments
    with pytest.raises(error) as caught:
        create_model(name, **overrides)
    assert said in str(caught.value)


if __name__ == "__main__":
    found = {name: described(name, traced(create_model(name))[1].variables) for name in NAMES}
    GOLDEN.write_text(json.dumps(found, indent=0) + "\n")
    sys.exit(f"wrote {GOLDEN}: look at the difference, and say in the changelog what was renamed")
