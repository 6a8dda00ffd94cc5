"""Test-time augmentation against plain NumPy, on real images of several sizes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from class_predictions import predictions
from PIL import Image

from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.views import ensemble, make_views, predict_views
from resnet_jax.tasks import Classification
from resnet_jax.types import Preprocess, Pretrained

SIZE, RESIZE = 16, 18
MODEL = recipe.small("cifar_resnet20", 1, 2, num_classes=10, dtype="float64", param_dtype="float64")
PREPROCESS = Preprocess(SIZE, RESIZE, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def pictures(digits):
    """Digits as photographs: wide and high ones of several sizes, in three unequal channels."""
    images = []
    for i in range(11):
        grey = Image.fromarray(digits.images[i, ..., 0] * 15)
        width, height = 20 + 7 * (i % 3), 20 + 30 * (i % 2)
        colour = np.asarray(grey.resize((width, height)))[..., None] // np.array([1, 2, 3], np.uint8)
        images.append(colour.astype(np.uint8))
    return images, digits.labels[:11]


@pytest.fixture(scope="module")
def source(pictures):
    images, labels = pictures
    return StreamingLoader(ArraySource(images, labels, tuple("0123456789"), "some.npz"), SIZE, RESIZE)


def resized_by_hand(image, short):
    height, width = image.shape[:2]
    shape = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))


def by_hand(image, protocol):
    """The views of an image by Pillow's resize and slices."""
    if protocol == "multi-scale":
        views = []
        for scale in (16, 40):
            whole = resized_by_hand(image, scale)
            height, width = whole.shape[:2]
            keep = [scale + (side - scale) // 32 * 32 for side in (height, width)]
            top, left = round((height - keep[0]) / 2), round((width - keep[1]) / 2)
            views.append(whole[top : top + keep[0], left : left + keep[1]])
        return views
    whole = resized_by_hand(image, RESIZE)
    height, width = whole.shape[:2]
    middle = (round((height - SIZE) / 2), round((width - SIZE) / 2))
    places = [(0, 0), (0, width - SIZE), (height - SIZE, 0), (height - SIZE, width - SIZE), middle]
    crops = [whole[y : y + SIZE, x : x + SIZE] for y, x in (places if protocol == "ten-crop" else [middle])]
    return crops if protocol == "single" else crops + [np.fliplr(crop) for crop in crops]


@pytest.mark.parametrize("protocol", ["single", "flip", "ten-crop", "multi-scale"])
def test_each_protocol_is_the_mean_over_its_views(x64, protocol, pictures, source):
    variables = recipe.variables(MODEL, np.float64)
    apply = jax.jit(partial(MODEL.apply, train=False))
    expected = []
    for image in pictures[0]:
        probabilities = []
        for view in by_hand(image, protocol):
            logits = np.asarray(apply(variables, PREPROCESS(jnp.asarray(view[None]))).logits)[0]
            probabilities.append(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
        expected.append(np.mean(probabilities, axis=0))
    net = Pretrained(MODEL, variables, PREPROCESS, "small")
    got, _ = predict_views(
        net,
        Classification(),
        source,
        make_views(protocol, source, (16, 40) if protocol == "multi-scale" else None),
        batch_size=8,
        parallel=Parallel(),
    )
    np.testing.assert_allclose(np.exp(got.outputs["log_probability"]), expected, rtol=1e-9)
    assert got.names[3] == "some.npz, image 3" and got.labels.tolist() == pictures[1].tolist()


def test_metrics_that_a_net_sows_are_means_over_views(source):
    model = recipe.small("cifar_skipnet38", 1, 2, num_classes=10)
    net = Pretrained(model, recipe.variables(model), PREPROCESS, "small")
    views = make_views("flip", source)
    _, means = predict_views(net, Classification(), source, views, batch_size=8, parallel=Parallel())
    blocks = [means[f"executed/stage{stage}_block0"] for stage in (1, 2)]
    assert means["executed"] == pytest.approx(np.mean(blocks))
    assert all(share * 22 == round(share * 22) for share in blocks)


def test_an_ensemble_is_the_mean_of_probabilities():
    several = [predictions(seed) for seed in range(3)]
    mean = ensemble(Classification(), [one for one, _ in several])
    expected = np.mean([p for _, p in several], axis=0)
    np.testing.assert_allclose(np.exp(mean.outputs["log_probability"]), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="expected predictions of every net for the same images"):
        ensemble(Classification(), [several[0][0], predictions(n=199)[0]])


def test_invalid_protocols_and_scales_are_named(source):
    with pytest.raises(ValueError, match="expected a protocol, got 'tencrop'; did you mean ten-crop?"):
        make_views("tencrop", source)
    with pytest.raises(ValueError, match="expected scales .shorter sides. from 1 to 16,384 pixels, .*, got \\[\\]"):
        make_views("multi-scale", source, ())
    with pytest.raises(ValueError, match="scales are for the protocol multi-scale, got flip"):
        make_views("flip", source, (16,))
