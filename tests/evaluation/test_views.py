"""Evaluation protocols against plain numpy, on real images of several sizes."""

import csv
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from PIL import Image

from resnet_jax.data.loading.decoding import whole
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.views import Predictions, ensemble, evaluate_views, make_views
from resnet_jax.types import Preprocess, Pretrained

SIZE, RESIZE = 16, 18
MODEL = recipe.small("cifar_resnet20", 1, 2, num_classes=10, dtype="float64", param_dtype="float64")
PREPROCESS = Preprocess(SIZE, RESIZE, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def pictures(digits):
    """Digits as photographs: wide and high ones of several sizes, in three unequal channels."""
    found = []
    for i in range(11):
        grey = Image.fromarray(digits.images[i, ..., 0] * 15)
        width, height = 20 + 7 * (i % 3), 20 + 30 * (i % 2)
        colour = np.asarray(grey.resize((width, height)))[..., None] // np.array([1, 2, 3], np.uint8)
        found.append(colour.astype(np.uint8))
    return found, digits.labels[:11]


@pytest.fixture(scope="module")
def source(pictures):
    images, labels = pictures
    return StreamingLoader(ArraySource(images, labels, tuple("0123456789"), "some.npz"), SIZE, RESIZE)


def resized_by_hand(image, short):
    height, width = image.shape[:2]
    shape = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR))


def by_hand(image, protocol):
    """The views of an image, with nothing but Pillow's resize and slices."""
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
    wanted = []
    for image in pictures[0]:
        shares = []
        for view in by_hand(image, protocol):
            logits = np.asarray(apply(variables, PREPROCESS(jnp.asarray(view[None]))).logits)[0]
            shares.append(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
        wanted.append(np.mean(shares, axis=0))
    net = Pretrained(MODEL, variables, PREPROCESS, "small")
    got = evaluate_views(
        net,
        source,
        make_views(protocol, source, (16, 40) if protocol == "multi-scale" else None),
        batch_size=8,
        parallel=Parallel(),
    )
    np.testing.assert_allclose(np.exp(got.log_probability), wanted, rtol=1e-9)
    assert got.names[3] == "some.npz, image 3" and got.labels.tolist() == pictures[1].tolist()


def test_a_skipnets_gates_are_told_and_an_ensembles_are_not(source):
    model = recipe.small("cifar_skipnet38", 1, 2, num_classes=10)
    net = Pretrained(model, recipe.variables(model), PREPROCESS, "small")
    found = evaluate_views(net, source, make_views("flip", source), batch_size=8, parallel=Parallel())
    means = ensemble([found]).metrics()
    blocks = [means[f"executed/stage{stage}_block0"] for stage in (1, 2)]
    assert means["executed"] == pytest.approx(np.mean(blocks)) and all(
        share * 22 == round(share * 22) for share in blocks
    )
    assert "executed" not in ensemble([found, found]).metrics()


def test_a_strip_is_seen_at_three_times_its_width_at_most():
    strip = Image.fromarray(np.arange(2000, dtype=np.uint16).view(np.uint8).reshape(4, 1000))
    assert whole(strip, resize=40).shape == (40, 104, 1)
    assert whole(strip.rotate(90, expand=True), resize=40).shape == (104, 40, 1)


def predictions(seed=0, n=200, classes=7):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, classes))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = [f"image {i}" for i in range(n)]
    labels = np.random.default_rng(9).integers(0, classes, n)
    return Predictions(names, labels, np.log(shares), tuple("abcdefg"[:classes]), {}), shares


def test_the_numbers_are_those_of_their_definitions():
    found, shares = predictions()
    own = shares[np.arange(200), found.labels]
    means = found.metrics()
    assert means["loss"] == pytest.approx(-np.mean([np.log(p) for p in own]), rel=1e-12)
    assert means["top1"] == np.mean(shares.argmax(1) == found.labels)
    assert means["top5"] == np.mean([found.labels[i] in np.argsort(-shares[i])[:5] for i in range(200)])
    error = 0.0
    for k in range(15):
        inside = [i for i in range(200) if k / 15 < shares[i].max() <= (k + 1) / 15]
        if inside:
            accuracy = np.mean([shares[i].argmax() == found.labels[i] for i in inside])
            error += len(inside) / 200 * abs(accuracy - np.mean([shares[i].max() for i in inside]))
    assert means["ece"] == pytest.approx(error, rel=1e-12)
    assert "top5" not in predictions(classes=5)[0].metrics()
    assert found.confusion().matrix.trace() == 200 * means["top1"] and found.confusion().matrix.sum() == 200
    sure = Predictions(["a", "b"], np.array([0, 1]), np.log([[1.0, 1e-300], [0.5, 0.5]]), ("x", "y"), {})
    assert sure.metrics()["ece"] == pytest.approx(0.25) and sure.metrics()["top1"] == 0.5  # a tie is no hit
    assert sure.predicted.tolist() == [0, 0]
    lost = Predictions(["a", "b"], np.array([0, 1]), np.full((2, 2), np.nan), ("x", "y"), {})
    assert lost.predicted.tolist() == [1, 0] and lost.metrics()["top1"] == 0


@pytest.mark.parametrize("labels", [[0, -1], [0, 2], [[0], [1]], [0.0, 1.0]])
def test_labels_that_are_no_class_are_refused(labels):
    with pytest.raises(ValueError, match="^expected labels "):
        Predictions(["a", "b"], np.array(labels), np.log([[0.5, 0.5]] * 2), ("x", "y"), {})


def test_the_most_confident_mistakes_come_first():
    found, shares = predictions()
    wrong = [i for i in range(200) if shares[i].argmax() != found.labels[i]]
    best = sorted(wrong, key=lambda i: -shares[i].max())[:5]
    mistakes = found.mistakes(5)
    assert [one.index for one in mistakes] == best and [one.image for one in mistakes] == [f"image {i}" for i in best]
    assert mistakes[0].record() == {
        "image": f"image {best[0]}",
        "label": "abcdefg"[found.labels[best[0]]],
        "predicted": "abcdefg"[shares[best[0]].argmax()],
        "confidence": pytest.approx(shares[best[0]].max(), rel=1e-12),
    }
    assert len(found.mistakes(1000)) == len(wrong)


def test_an_ensemble_is_the_mean_of_probabilities():
    several = [predictions(seed) for seed in range(3)]
    mean = ensemble([found for found, _ in several])
    np.testing.assert_allclose(np.exp(mean.log_probability), np.mean([p for _, p in several], axis=0), rtol=1e-12)
    with pytest.raises(ValueError, match="the same images and classes"):
        ensemble([several[0][0], predictions(n=199)[0]])


def test_predictions_are_written(tmp_path):
    found, shares = predictions(n=4)
    for kind in (".csv", ".json"):
        found.write(tmp_path / f"new/found{kind}", top=2)
    records = json.loads((tmp_path / "new/found.json").read_text())
    rows = list(csv.DictReader((tmp_path / "new/found.csv").open()))
    assert len(records) == len(rows) == 4
    for i, (record, row) in enumerate(zip(records, rows, strict=True)):
        best = np.argsort(-shares[i])[:2]
        assert record["image"] == row["image"] == f"image {i}"
        assert record["label"] == row["label"] == "abcdefg"[found.labels[i]]
        assert [one["class"] for one in record["top"]] == [row["class1"], row["class2"]] == ["abcdefg"[k] for k in best]
        assert [float(row["probability1"]), float(row["probability2"])] == pytest.approx(shares[i][best], rel=1e-12)
    with pytest.raises(ValueError, match=r"predictions to '.*x.txt'; wanted: a .csv or .json file"):
        found.write(Path(tmp_path) / "x.txt")


def test_what_cannot_be_is_told(source):
    with pytest.raises(ValueError, match="protocol 'tencrop'; valid: single, flip, ten-crop, multi-scale"):
        make_views("tencrop", source)
    with pytest.raises(ValueError, match="scales \\[\\]; wanted: shorter sides"):
        make_views("multi-scale", source, ())
    with pytest.raises(ValueError, match="scales \\[16\\] are for protocol multi-scale; got flip"):
        make_views("flip", source, (16,))
