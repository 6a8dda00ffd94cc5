"""Small nets of sound: the zoo's tables with narrow stages of few blocks, and what their tests share."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax.models import create_model
from resnet_jax.models.sequence.quartznet import CTCHead, SeparableBranch, SeparableStem

GOLDEN = recipe.GOLDEN / "sequence" / "audio.npz"
N, CLASSES = 3, 5
# Depth and width of each stage, and the size of the input without channels.
SMALL = {
    "m5": ((1, 1), (4, 8), (205,)),
    "m34_res": ((1, 2), (4, 8), (205,)),
    "res8": ((2,), (4,), (19, 11)),
    "res15": ((1, 1), (4, 4), (19, 8)),
    "speaker_resnet34": ((1, 1), (4, 8), (21, 6)),
    "speaker_seresnet34": ((1, 1, 1, 1), (8, 8, 16, 16), (21, 16)),
    "quartznet5x2_small": ((1, 1), (8, 12), (32, 6)),
}
REPEATS = 2  # convolutions in a block of QuartzNet
DOUBLE = {"dtype": "float64", "param_dtype": "float64"}


@cache
def small(name, **overrides):
    """A net of the registry with the depths and widths of `SMALL`, in float64."""
    depths, widths, size = SMALL[name]
    net = create_model(name, num_classes=CLASSES, **DOUBLE, **overrides)
    stages = tuple(
        replace(stage, depth=depth, features=width)
        for stage, depth, width in zip(net.stages[: len(depths)], depths, widths, strict=True)
    )
    if name.startswith("quartznet"):  # its kernels of 33 to 87 are sums of as many products on a CPU
        sizes = {"stem": partial(SeparableStem, kernel_size=5), "head": partial(CTCHead, features=9, kernel_size=7)}
        branch = partial(SeparableBranch, repeats=REPEATS, kernel_size=5)
        stages = tuple(replace(stage, block=partial(stage.block, branch=branch)) for stage in stages)
        net = net.clone(**sizes)
    return net.clone(stages=stages, stem_features=widths[0], image_size=size)


def inputs(name, seed=0):
    """float64 [N, *size, 1]: a waveform or a spectrogram for each example."""
    return np.random.default_rng(seed).standard_normal((N, *SMALL[name][2], 1))


@cache
def variables(name):
    """The recipe's arrays."""
    return recipe.variables(small(name), np.float64)


def loss_of(logits):
    """A scalar that depends on every logit."""
    return jnp.square(logits - jnp.arange(CLASSES).reshape((1,) * (logits.ndim - 1) + (-1,))).mean()


@cache
def program(name):
    """(variables, x, lengths=None) -> arrays by name: outputs, and loss and statistics of training.

    Without lengths there is the gradient, too.
    """
    net = small(name)

    @jax.jit
    def passes(variables, x, lengths=None):
        def objective(params):
            both = {**variables, "params": params}
            outputs, updated = net.apply(both, x, train=True, lengths=lengths, mutable=["batch_stats"])
            return loss_of(outputs.logits), (outputs, updated["batch_stats"])

        if lengths is None:
            (loss, (training, updated)), gradient = jax.value_and_grad(objective, has_aux=True)(variables["params"])
            trees = {"gradient": gradient, "statistics": updated}
        else:
            loss, (training, updated) = objective(variables["params"])
            trees = {"statistics": updated}
        outputs = net.apply(variables, x, train=False, lengths=lengths)
        arrays = {"logits": outputs.logits, "pool": outputs.features["pool"], "training": training.logits, "loss": loss}
        for kind, tree in trees.items():
            arrays |= {f"{kind}/{path}": value for path, value in flatten_dict(tree, sep="/").items()}
        return arrays

    return passes


@cache
def results(name):
    """`program` on the recipe's arrays, without lengths."""
    return {key: np.asarray(value) for key, value in program(name)(variables(name), inputs(name)).items()}


def check_equals_reference(name):
    """Every number of both passes equals the one that PyTorch computed: outputs, and sums of the other arrays."""
    with np.load(GOLDEN) as golden:
        expected = {key.removeprefix(f"{name}:"): golden[key] for key in golden.files if key.startswith(f"{name}:")}
    actual = summarised(results(name))
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=1e-8, atol=1e-9 * max(1, np.abs(value).max()), err_msg=key)


def summarised(arrays):
    """Outputs in full; of gradients and statistics a weighted sum and the length of each array, in order of the names.

    The weights make the sum depend on the order of the elements.
    """
    short = {key: value for key, value in arrays.items() if "/" not in key}
    for kind in ("gradient", "statistics"):
        values = [np.asarray(arrays[key]) for key in sorted(arrays) if key.startswith(f"{kind}/")]
        short[kind] = np.array([[(x.ravel() * weights_of(x)).sum(), np.sqrt(np.square(x).sum())] for x in values])
    return short


def weights_of(x):
    return np.cos(np.arange(x.size))


def check_lengths(name, lengths, alone=1):
    """What is behind a length changes nothing, and the logits are those of the example alone, cut at its length."""
    net, x, run = small(name), inputs(name), program(name)
    lengths = jnp.asarray(lengths)
    behind = np.arange(x.shape[1]) >= np.asarray(lengths)[:, None]
    other = np.where(behind.reshape(behind.shape + (1,) * (x.ndim - 2)), np.nan, x)
    clean, dirty = (run(variables(name), values, lengths) for values in (x, other))
    assert clean.keys() == dirty.keys()
    for key in clean:
        assert np.isfinite(clean[key]).all(), key
        np.testing.assert_array_equal(clean[key], dirty[key], err_msg=key)
    whole = run(variables(name), x, jnp.full(N, x.shape[1]))
    for key in whole:
        value = results(name)[key]
        np.testing.assert_allclose(whole[key], value, rtol=1e-9, atol=1e-9 * max(1, np.abs(value).max()), err_msg=key)
    cut = x[alone : alone + 1, : int(lengths[alone])]
    single = jax.jit(partial(net.apply, train=False))(variables(name), cut)
    for value, example in ((single.logits, clean["logits"]), (single.features["pool"], clean["pool"])):
        positions = example[alone : alone + 1, : value.shape[1]]
        np.testing.assert_allclose(positions, value, rtol=1e-9, atol=1e-9 * np.abs(value).max())
    assert np.abs(clean["logits"][alone] - whole["logits"][alone]).max() > 1e-6  # the length counts
