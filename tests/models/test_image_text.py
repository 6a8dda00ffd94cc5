"""CLIP: two towers and their logits."""

import math
import pickle
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax import CLIPOutputs, create_model, feature_info, summary
from resnet_jax.models import registered_name

TEXTS = {"text_width": 8, "text_heads": 2, "text_layers": 1, "context_length": 5, "vocabulary_size": 11}
TOKENS = np.array([[9, 1, 10, 0, 0], [9, 2, 3, 10, 0], [9, 10, 0, 0, 0]], np.int32)


@cache
def small(**options):
    net = create_model("clip_resnet50", embed_dim=6, stem_features=8, **TEXTS, **options)
    return net.clone(stages=tuple(replace(stage, depth=1, features=64) for stage in net.stages[:2]))


@cache
def images():
    return np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)


@cache
def variables():
    return jax.jit(lambda key: small().init(key, images(), TOKENS, train=False))(jax.random.key(0))


@cache
def program(**options):
    return jax.jit(lambda variables: small(**options).apply(variables, images(), TOKENS, train=False))


def test_logits_are_scaled_cosines():
    outputs = program()(variables())
    assert isinstance(outputs, CLIPOutputs) and outputs.logit_bias is None
    image, text, logits, scale, _ = (None if x is None else np.asarray(x, np.float64) for x in outputs)
    assert image.shape == (2, 6) and text.shape == (3, 6) and logits.shape == (2, 3)
    cosines = image @ text.T / np.linalg.norm(image, axis=1)[:, None] / np.linalg.norm(text, axis=1)
    np.testing.assert_allclose(scale, 1 / 0.07, rtol=1e-6)
    np.testing.assert_allclose(logits, cosines / 0.07, rtol=1e-4)


def test_a_bias_is_added_to_the_logits():
    params = variables()["params"] | {"logit_bias": jnp.float32(-10)}
    with_bias = program(init_logit_bias=-10.0)(variables() | {"params": params})
    assert float(with_bias.logit_bias) == -10
    np.testing.assert_allclose(with_bias.logits, program()(variables()).logits - 10, rtol=1e-6)
    net = small(init_logit_bias=-10.0)
    fresh = jax.eval_shape(lambda key: net.init(key, images(), TOKENS, train=False), jax.random.key(0))
    assert fresh["params"]["logit_bias"].shape == ()


def test_each_tower_runs_alone():
    outputs, net = program()(variables()), small()
    np.testing.assert_allclose(net.apply(variables(), images(), method="encode_image"), outputs.image_features, 1e-4)
    np.testing.assert_allclose(net.apply(variables(), TOKENS, method="encode_text"), outputs.text_features, 1e-4)


def test_the_texts_parameters_have_gradients_and_training_moves_the_statistics():
    def loss(params):
        outputs, updated = small().apply(
            variables() | {"params": params}, images(), TOKENS[:2], train=True, mutable=["batch_stats"]
        )
        return -jnp.diag(jax.nn.log_softmax(outputs.logits)).sum(), updated

    gradient, updated = jax.jit(jax.grad(loss, has_aux=True))(variables()["params"])
    zero = [jax.tree_util.keystr(path) for path, x in jax.tree.leaves_with_path(gradient) if not np.abs(x).max() > 0]
    assert zero and all("['image_tower']" in path for path in zero)  # whose branches begin as zero
    before, after = (jax.tree.leaves(tree) for tree in (variables()["batch_stats"], updated["batch_stats"]))
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_options_of_the_image_tower_are_the_nets():
    net = create_model("clip_resnet50", dtype="bfloat16", bn_axis="data", remat="block", embed_dim=8)
    assert jnp.dtype(net.image_tower.dtype) == jnp.dtype(net.dtype) == jnp.bfloat16 and net.bn_axis == "data"
    assert net.image_tower.num_classes == net.num_classes == net.embed_dim == 8
    assert net.clone(in_channels=1).image_tower.in_channels == 1 and net.clone(num_classes=4).embed_dim == 4
    assert create_model("clip_resnet50") == create_model("clip_resnet50", text_width=np.int64(512))
    assert hash(net) == hash(pickle.loads(pickle.dumps(net))) and registered_name(net) == "clip_resnet50"
    assert registered_name(small()) is None  # other stages


def test_features_and_counts_include_both_towers():
    assert feature_info("clip_resnet50")["stage4"] == (2048, 32)
    counts = summary("clip_resnet50")
    towers = summary("resnet50_clip"), counts.stages["text_tower"].parameters
    assert counts.parameters == towers[0].parameters + towers[1] + 1 == 102_007_137
    assert counts.stages["stage2"] == towers[0].stages["stage2"]
    # Twelve layers of 12 * 512**2 weights at each of 77 positions, and the projection of one.
    assert counts.stages["text_tower"].macs == 77 * 12 * 12 * 512**2 + 512 * 1024
    assert counts.stages["text_tower"].other_macs == 12 * 2 * 77**2 * 512
    assert "text_tower" in str(counts) and counts.stages["text_tower"].output == (1024,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"text_heads": 7}, ValueError, "^text_heads: expected a divisor of text_width 512, got 7$"),
        ({"text_act": "relu"}, ValueError, "^text_act: expected quick_gelu or gelu, got 'relu'$"),
        ({"embed_dim": 0}, ValueError, "^embed_dim: expected a whole number, at least 1, got 0$"),
        ({"init_logit_bias": math.nan}, ValueError, "^init_logit_bias: expected a finite number, got nan$"),
        ({"init_logit_scale": None}, ValueError, "^init_logit_scale: expected a finite number, got None$"),
        (
            {"init_logit_scale": 1000},
            ValueError,
            "^init_logit_scale: expected the logarithm of a factor, at most 80, got",
        ),
        ({"text_depth": 3}, TypeError, "^clip_resnet50 has no option 'text_depth'; did you mean text_"),
        ({"image_tower": None}, TypeError, r"^expected image_tower to be a model name \(str\), got None$"),
        ({"image_tower": "clip_resnet50"}, ValueError, "^image_tower: expected a net of images .*, got clip_resnet50$"),
        ({"image_tower": "tsc_resnet"}, ValueError, "^image_tower: expected a net of images .*, got tsc_resnet$"),
        ({"image_tower": "resnet5"}, ValueError, "^image_tower: .*resnet5.*did you mean resnet50"),
        ({"num_classes": 10}, ValueError, "^clip_resnet50 has no classes; did you mean embed_dim=10, the length of"),
        ({"image_tower": "retinanet"}, ValueError, "^image_tower: expected a net of images .*, got retinanet$"),
    ],
)
def test_impossible_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        create_model("clip_resnet50", **options)
