"""The contrastive task: losses against their formulas, and one gradient on any number of devices."""

import json
import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_pairs import GRADIENT, PairNet, pairs, state_of

from resnet_jax.distributed.devices import Parallel
from resnet_jax.metrics.typed import results
from resnet_jax.tasks import TASKS, Contrastive, Predictions, TaskOptions
from resnet_jax.text import caption_key
from resnet_jax.training.step import make_step

RNG = np.random.default_rng(0)
IMAGES, TEXTS = RNG.normal(size=(2, 6, 5))
MASK = np.array([1, 1, 1, 0, 1, 1], np.float32)
SOURCE = SimpleNamespace(classes=("a", "b"), labels=np.zeros(0), num_examples=0)


def outputs(images=IMAGES, texts=TEXTS, scale=7.0, bias=-2.0):
    return SimpleNamespace(
        image_features=jnp.asarray(images), text_features=jnp.asarray(texts), logit_scale=scale, logit_bias=bias
    )


def logits_of(rows):
    images, texts = (x[rows] / np.linalg.norm(x[rows], axis=1, keepdims=True) for x in (IMAGES, TEXTS))
    return 7 * images @ texts.T


def test_the_softmax_loss_is_the_mean_cross_entropy_of_both_directions(x64):
    logits = logits_of(MASK > 0)
    directions = [np.log(np.exp(x).sum(1)) - np.diag(x) for x in (logits, logits.T)]
    terms, metrics = Contrastive().objective(outputs(), {"mask": jnp.asarray(MASK)}, None)
    assert float(terms["loss"].total) / 5 == pytest.approx(np.mean(directions), rel=1e-12)
    correct = np.mean([x.argmax(1) == np.arange(5) for x in (logits, logits.T)])
    assert results(metrics) == {"batch_r1": pytest.approx(correct), "logit_scale": 7}


def test_the_sigmoid_loss_is_that_of_siglip(x64):
    logits = logits_of(MASK > 0) - 2
    signs = 2 * np.eye(5) - 1
    expected = np.log1p(np.exp(-signs * logits)).sum() / 5
    terms, _ = Contrastive(loss="sigmoid").objective(outputs(), {"mask": jnp.asarray(MASK)}, None)
    assert float(terms["loss"].total) / 5 == pytest.approx(expected, rel=1e-12)
    without = SimpleNamespace(**{name: x for name, x in vars(outputs()).items() if name != "logit_bias"})
    with pytest.raises(ValueError, match="expected a net with a logit_bias, got one without"):
        Contrastive(loss="sigmoid").objective(without, {"mask": jnp.asarray(MASK)}, None)


def test_features_of_zero_and_a_batch_of_padding_have_finite_gradients(x64):
    def loss(images, mask, kind):
        terms, _ = Contrastive(loss=kind).objective(outputs(images), {"mask": mask}, None)
        return terms["loss"].total

    for kind in ("softmax", "sigmoid"):
        for images, mask in ((np.zeros_like(IMAGES), MASK), (IMAGES, np.zeros_like(MASK))):
            value, gradient = jax.value_and_grad(loss)(jnp.asarray(images), jnp.asarray(mask), kind)
            assert math.isfinite(value) and np.isfinite(gradient).all() and (mask.any() or value == 0)


@cache
def one_device(kind, net):
    step = make_step(net.clone(bn_axis=None), GRADIENT, Contrastive(loss=kind).objective, axis_name=None)
    return jax.device_get(jax.jit(step)(state_of(net.clone(bn_axis=None), GRADIENT), pairs(16)))


FROZEN, SHARED = PairNet(frozen=True), PairNet(bn_axis="data")  # norms with fixed statistics, or those of all devices


@pytest.mark.parametrize(
    ("mode", "net", "kind", "local"),
    [
        ("pmap", FROZEN, "softmax", True),
        ("shard_map", FROZEN, "softmax", False),
        ("pmap", SHARED, "softmax", False),
        ("shard_map", SHARED, "softmax", True),
        ("pmap", SHARED, "sigmoid", True),
        ("shard_map", FROZEN, "sigmoid", False),
    ],
    ids=lambda x: ("frozen" if x.frozen else "shared") if isinstance(x, PairNet) else str(x),
)
def test_eight_devices_have_the_gradient_of_one(x64, mode, net, kind, local):
    parallel = Parallel(mode)
    assert len(parallel.devices) == 8
    mapped = parallel.map(make_step(net, GRADIENT, Contrastive(loss=kind, local_loss=local).objective))
    state = parallel.replicate(state_of(net.clone(bn_axis=None), GRADIENT))
    new, metrics = jax.device_get(mapped(state, parallel.shard(pairs(16))))
    expected, expected_metrics = one_device(kind, net)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), new.params, expected.params)
    for name, value in results(expected_metrics).items():
        assert results(metrics)[name] == pytest.approx(value, rel=1e-12), name
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), expected.params, state_of(net, GRADIENT).params)
    del moved["logit_bias"]  # the softmax loss does not use it
    assert min(jax.tree.leaves(moved)) > 1e-4


def test_the_factor_is_limited_after_the_update():
    params = {"logit_scale": jnp.asarray(9.0), "visual": {"logit_scale": jnp.asarray(-1.0), "kernel": jnp.ones(2) * 9}}
    limited = Contrastive(max_logit_scale=50).constrain(params)
    assert float(limited["logit_scale"]) == pytest.approx(math.log(50))
    assert float(limited["visual"]["logit_scale"]) == 0 and (limited["visual"]["kernel"] == 9).all()


def test_options_of_a_config_replace_defaults_alone_and_checkpoints_keep_them():
    options = TaskOptions(contrastive_loss="sigmoid", local_loss=False, max_logit_scale=20.0)
    task = TASKS["contrastive"].for_data(SOURCE, options)
    assert task == Contrastive("sigmoid", False, 20.0) and task.options() == options
    passed = Contrastive(max_logit_scale=3.0)
    assert passed.for_data(SOURCE, TaskOptions()) == passed
    assert Contrastive().restored(task.record(), with_options=True) == task
    assert Contrastive().restored(task.record()) == Contrastive()
    with pytest.raises(ValueError, match="expected the record of a contrastive task"):
        Contrastive().restored({})
    with pytest.raises(ValueError, match="optim.label_smoothing is for --task classification"):
        Contrastive().for_data(SOURCE, TaskOptions(label_smoothing=0.1))
    with pytest.raises(ValueError, match=r"contrastive loss, got 'sigmod'; did you mean sigmoid\?"):
        Contrastive(loss="sigmod")
    for wrong in (0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"max_logit_scale: expected at least 1, at most 1e\\+06, got {wrong}"):
            Contrastive(max_logit_scale=wrong)


def test_evaluation_retrieves_by_the_features_of_norm_1():
    task = Contrastive()
    rows = jax.device_get(task.predictions(outputs(IMAGES, 3 * IMAGES)))
    np.testing.assert_allclose(np.linalg.norm(rows["text_features"], axis=1), 1, rtol=1e-6)
    evaluator = task.evaluator()
    evaluator.update(rows, {"label": np.arange(6)[:, None], "mask": MASK})
    assert evaluator.result()["r1"] == 1 and set(evaluator.result()) == set(task.measures)
    assert task.titles["image_to_text_r1"] == "R@1 image to text" and task.titles["r1"] == "R@1"


def written(tmp_path, names, captions, images, texts):
    """retrieval.json of pairs with these features."""
    outputs = {"image_features": images, "text_features": texts}
    predictions = Predictions(names, np.array(captions), outputs, list(range(len(names))))
    evaluator = Contrastive().evaluator()
    keys = {"image_key": np.unique(names, return_inverse=True)[1]}
    keys["caption_key"] = np.unique([caption_key(caption) for caption in captions], return_inverse=True)[1]
    evaluator.update(outputs, {"label": np.zeros(len(names)), "mask": np.ones(len(names)), **keys})
    Contrastive().write_details(evaluator, tmp_path / "evaluation", {}, predictions)
    return json.loads((tmp_path / "evaluation/retrieval.json").read_text())


def test_a_caption_of_the_image_is_no_mistake(tmp_path):
    """The first image has two captions, and retrieves the second; the other retrieves that one, too."""
    images, texts = np.eye(3)[[0, 0, 1]], np.eye(3)[[2, 0, 2]]
    texts[1, 1] = 0.5
    record = written(tmp_path, ["a.png", "a.png", "b.png"], ["x", "y", "z"], images, texts)
    assert record["mistakes"] == [{"image": "b.png", "caption": "z", "answer": "y"}]


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        (np.eye(3)[[0, 0, 2]], 0),  # captions that differ in case alone are equally correct
        (np.ones((3, 3)), 3),  # of equal scores the wrong caption comes first
        (np.array([[1, 0, 0], [1, 0, 0], [np.nan] * 3]), 3),  # NaN is no lower score
    ],
)
def test_mistakes_are_those_that_the_recall_counts(tmp_path, texts, count):
    record = written(tmp_path, ["a", "b", "c"], ["A  cat", "a cat", "a dog"], np.eye(3)[[0, 0, 2]], texts)
    assert record["num_mistakes"] == len(record["mistakes"]) == count
    assert record["metrics"]["image_to_text_r1"] == pytest.approx(1 - count / 3)


def test_a_net_that_has_diverged_has_no_recall(tmp_path):
    record = written(tmp_path, ["a", "b"], ["a cat", "a dog"], np.full((2, 3), np.nan), np.eye(3)[:2])
    assert record["num_mistakes"] == 2 and set(record["metrics"].values()) == {None}


def test_the_first_mistakes_are_listed_and_all_are_counted(tmp_path):
    same = np.ones((20, 2))
    record = written(tmp_path, [f"{i:02}" for i in range(20)], [str(i) for i in range(20)], same, same)
    assert record["num_mistakes"] == 20 and [one["image"] for one in record["mistakes"]][::15] == ["00", "15"]


def test_captions_are_drawn_beside_their_images(tmp_path):
    pytest.importorskip("matplotlib")
    task, labels = Contrastive(), np.array(["a cat", "a dog"])
    rows = jax.device_get(task.predictions(outputs(IMAGES[:2], IMAGES[:2])))
    evaluator = task.evaluator()
    evaluator.update(rows, {"label": np.arange(2)[:, None], "mask": np.ones(2)})
    predictions = Predictions(["0", "1"], labels, rows, [0, 1])
    details = task.write_details(evaluator, tmp_path / "evaluation", {"run": "a run"}, predictions)
    assert details.line.startswith("image to text: R@1 1.0000") and "mistakes" not in details.line
    swapped = replace(predictions, outputs={**rows, "text_features": rows["text_features"][::-1]})
    task.write_details(evaluator, tmp_path / "evaluation", {"run": "a run"}, swapped)
    record = json.loads((tmp_path / "evaluation/retrieval.json").read_text())
    assert record["run"] == "a run" and record["metrics"]["r1"] == 1
    assert record["mistakes"][0] == {"image": "0", "caption": "a cat", "answer": "a dog"}
    pictures = task.draw(evaluator, tmp_path, "a run", predictions, lambda index: np.zeros((4, 4, 3), np.uint8))
    assert [file.name for file in pictures] == ["similarity.png"]
