"""Nets of series [N, L, C] and volumes [N, D, H, W, C] beside those of images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax import TrainState, create_model, feature_info, make_train_step
from resnet_jax.training.optim import sgd

DOUBLE = {"dtype": "float64", "param_dtype": "float64", "num_classes": 3}
NETS = {  # what has a spatial rank in each of them
    "resnet18": "convolutions of stride 2, the max pool",
    "cifar_resnet20_a": "zero-padding shortcuts",
    "resnet50d": "pooled shortcuts, a deep stem",
    "seresnext50_32x4d": "squeeze-excite, grouped convolutions",
    "ecaresnet50d": "attention along the channels",
    "skresnet18": "selective kernels",
    "resnetblur50": "blurred pools",
    "resnet50_gn": "group norms",
    "cifar_condconv20": "kernels per example",
    "tf_efficientnet_b0": "depthwise convolutions, TensorFlow's padding",
    "cifar_skipnet38_rnn": "gates and their memory",
}
QUICK = ("resnet18", "cifar_resnet20_a", "skresnet18", "cifar_skipnet38_rnn")


def embedded(leaf, shape):
    """A kernel among zeros that sees one row of a map with a first spatial axis of 1; other parameters as they are."""
    if leaf.shape == shape:
        return leaf
    axis = next(i for i in range(len(shape)) if leaf.shape == shape[:i] + shape[i + 1 :])
    kernel = np.zeros(shape, leaf.dtype)
    kernel[(slice(None),) * axis + ((shape[axis] - 1) // 2,)] = leaf
    return kernel


def pair(net, size):
    """An input of `size`, its variables, and the same for a map with one more axis of size 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, *size, net.in_channels))

    def shapes(x):
        return flatten_dict(jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.asarray(x), train=False)))

    flat = {
        path: rng.uniform(0.5, 1.5, leaf.shape) if len(leaf.shape) < 2 else rng.standard_normal(leaf.shape) / 8
        for path, leaf in shapes(x).items()
    }
    deeper = {path: embedded(flat[path], leaf.shape) for path, leaf in shapes(x[:, None]).items()}
    assert list(deeper) == list(flat)
    return (x, unflatten_dict(flat)), (x[:, None], unflatten_dict(deeper))


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in NETS])
def test_a_series_gives_the_features_of_an_image_of_one_row(x64, name):
    net = recipe.small(name, 1, stages=2, **DOUBLE)
    (x, variables), (rows, row_variables) = pair(net, (40,))
    apply = jax.jit(partial(net.apply, train=False))
    ours, theirs = apply(variables, x), apply(row_variables, rows)
    np.testing.assert_allclose(ours.logits, theirs.logits, rtol=1e-9, atol=1e-9)
    for part, feature in ours.features.items():
        other = theirs.features[part]
        np.testing.assert_allclose(feature, other.reshape(feature.shape), rtol=1e-9, atol=1e-9, err_msg=part)
    strides = {part: feature.stride for part, feature in feature_info(net).items()}
    assert strides == {part: 40 // ours.features[part].shape[1] for part in strides}


@pytest.mark.parametrize("size", [(24,), (6, 8)], ids=["series", "volume"])
def test_training_passes_and_gradients_are_those_of_one_more_axis(x64, size):
    """A series is an image of one row, an image a volume of one slice."""
    net = recipe.small("cifar_resnet8", 1, stages=2, **DOUBLE)
    (x, variables), (deeper, deeper_variables) = pair(net, size)

    @jax.jit
    def gradient(variables, x):
        def loss(params):
            outputs, updated = net.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
            return (outputs.logits**3).sum(), updated["batch_stats"]

        return jax.grad(loss, has_aux=True)(variables["params"])

    ours, theirs = gradient(variables, x), gradient(deeper_variables, deeper)
    for path, value in flatten_dict(ours[0]).items():
        other = np.asarray(flatten_dict(theirs[0])[path])
        if other.shape != value.shape:
            other = other[(other.shape[0] - 1) // 2]
        np.testing.assert_allclose(value, other, rtol=1e-8, atol=1e-8, err_msg="/".join(path))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), ours[1], theirs[1])


@pytest.mark.parametrize("blocks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_resnet18_of_series_learns_which_of_two_waves_it_hears(blocks):
    """Under the names of the 2-D net, with its strides, through the training step that images take."""
    net, tx = recipe.small("resnet18", blocks, in_channels=1, num_classes=2), sgd(0.05)
    assert blocks == 1 or net == create_model("resnet18", in_channels=1, num_classes=2)
    rng = np.random.default_rng(0)
    labels = jnp.arange(16) % 2
    phases, time = rng.uniform(0, 6, (16, 1)), np.linspace(0, 12, 64)[None]
    waves = np.sin((1 + np.asarray(labels)[:, None]) * time + phases) + 0.1 * rng.standard_normal((16, 64))
    batch = {"image": jnp.asarray(waves[..., None], jnp.float32), "label": labels}
    state = TrainState.create(net, tx, jax.random.key(0), batch["image"])
    assert state.params["stem"]["conv"]["kernel"].shape == (7, 1, 64)
    assert state.params["stage2_block0"]["shortcut"]["conv"]["kernel"].shape == (1, 64, 128)
    step = jax.jit(make_train_step(net, tx, axis_name=None))
    losses = []
    for _ in range(8):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"] / metrics["count"]))
    assert losses[-1] < 0.3 * losses[0], losses
    features = jax.eval_shape(lambda: net.apply(state.variables, batch["image"], train=False).features)
    lengths = {name: feature.shape[1] for name, feature in features.items() if name != "pool"}
    assert lengths == {"stem": 32, "stage1": 16, "stage2": 8, "stage3": 4, "stage4": 2}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 8, 3), r"stem/conv are for, got \[N, L, C\]: \[8, 8, 3\]; x\[None\] is a batch of one"),
        ((1, 2, 8, 8, 3), r"stem/conv are for, got \[N, D, H, W, C\]: \[1, 2, 8, 8, 3\]"),
        ((8, 3), r"expected images float .*, series \[N, L, 3\] or volumes .*, got float32 \[8, 3\]"),
    ],
    ids=str,
)
def test_another_rank_than_the_parameters_gets_one_message(shape, message):
    net = recipe.small("cifar_resnet8", 1, stages=1)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(partial(net.apply, train=False), recipe.variables(net), jnp.zeros(shape))


def test_a_series_too_short_for_the_pool_is_refused():
    net = recipe.small("resnetaa50", 1, stages=1)
    with pytest.raises(ValueError, match="input too small"):
        net.init(jax.random.key(0), jnp.zeros((1, 0, 3)), train=False)
