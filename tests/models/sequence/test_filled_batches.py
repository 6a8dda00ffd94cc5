"""Batches that are filled up with rows of length 0 and mask 0, which change no number of any net."""

from dataclasses import replace

import audio_nets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
import small_texts

from resnet_jax.models import create_model

SERIES = ("tsc_resnet", "inception_time", "xresnet1d18", "tcn")
QUICK = ("tcn", "speaker_seresnet34")
NAMES = (*SERIES, *audio_nets.SMALL, "vdcnn9", "vdcnn9_shortcut", "gcnn14b")


def net_and_input(name):
    """A narrow net in float64, its variables, and an input of three examples with their lengths."""
    if name in SERIES:
        net = create_model(name, in_channels=2, num_classes=3, **audio_nets.DOUBLE)
        stages = net.stages[:1] if name == "inception_time" else net.stages[:2]
        net = net.clone(stages=tuple(replace(stage, depth=1, features=8) for stage in stages), stem_features=8)
        return net, recipe.variables(net, np.float64), np.random.default_rng(0).standard_normal((3, 23, 2)), (23, 9, 14)
    if name in audio_nets.SMALL:
        x = audio_nets.inputs(name)
        return audio_nets.small(name), audio_nets.variables(name), x, (x.shape[1], x.shape[1] // 2, x.shape[1] - 1)
    return small_texts.small_net(name), small_texts.variables(name), small_texts.TOKENS[:3], (72, 30, 9)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_a_row_without_an_example_changes_no_number(x64, name):
    net, variables, x, lengths = net_and_input(name)

    @jax.jit
    def passes(x, lengths, mask):
        def loss(params):
            both = {**variables, "params": params}
            outputs, updated = net.apply(both, x, train=True, lengths=lengths, mutable=["batch_stats"])
            logits = outputs.logits
            if logits.ndim == 3:  # of each position, or each frame
                inside = jnp.arange(logits.shape[1])[None] < -(-lengths // (x.shape[1] // logits.shape[1]))[:, None]
                logits = jnp.where(inside[..., None], logits, 0)
            each = jnp.square(logits).reshape(len(logits), -1).sum(1)
            return (each * mask).sum(), (logits, updated)

        gradient, (logits, updated) = jax.grad(loss, has_aux=True)(variables["params"])
        evaluated = net.apply(variables, x, train=False, lengths=lengths).logits
        return {"gradient": gradient, "updated": updated}, logits, evaluated

    expected, *logits = passes(jnp.asarray(x), jnp.array(lengths), jnp.ones(3))
    empty = np.full_like(x[:1], 1 if x.ndim == 2 else np.nan)  # what it holds is never looked at
    filled, *filled_logits = passes(
        jnp.concatenate([x, empty]), jnp.array([*lengths, 0]), jnp.array([1.0, 1.0, 1.0, 0.0])
    )
    for one, other in zip(logits, filled_logits, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(other[:3], one, rtol=1e-9, atol=1e-9)

    def check(one, other):
        np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-9 * max(1, np.abs(one).max()))

    jax.tree.map(check, expected, filled)
