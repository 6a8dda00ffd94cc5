"""Binary cross-entropy as optax has it; evaluation, averages over views, thresholds and details of each class."""

import json
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_steps import Linear

from resnet_jax.metrics.multilabel import average_precision, f1_scores
from resnet_jax.tasks import TASKS, MultiLabel, TaskOptions, get_task
from resnet_jax.tasks.multilabel import binary_cross_entropy, logit
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((24, 3)).astype(np.float32)
TARGETS = (RNG.random((24, 3)) < 0.4).astype(np.float32)
TASK = MultiLabel(classes=("a", "b", "c"))


def evaluated(task=TASK, mask=None):
    evaluator = task.evaluator()
    evaluator.update({"logit": LOGITS}, {"label": TARGETS, "mask": np.ones(24) if mask is None else mask})
    return evaluator


def test_the_loss_is_the_mean_binary_cross_entropy(strict_dtypes):
    expected = optax.sigmoid_binary_cross_entropy(LOGITS, TARGETS).mean(-1)
    np.testing.assert_allclose(binary_cross_entropy(jnp.asarray(LOGITS), jnp.asarray(TARGETS)), expected, rtol=1e-6)
    extreme = binary_cross_entropy(jnp.array([[200.0, -200.0]]), jnp.array([[0.0, 1.0]]))
    assert extreme.tolist() == [200.0]


@pytest.mark.parametrize("wrong", [np.uint8(255), np.float32(1.5), np.int32(-1), np.float32(np.nan)])
def test_a_label_outside_0_and_1_gives_nan_and_with_mask_0_has_no_effect(wrong):
    """Through a step, as a caller's own batch; labels of any type."""
    net, tx, images = Linear(), optax.sgd(0.1), RNG.standard_normal((4, 2, 2, 1)).astype(np.float32)
    state = TrainState.create(net, tx, jax.random.key(0), images)
    step = jax.jit(make_step(net, tx, TASK.objective, axis_name=None, skip_nonfinite=True))
    labels = TARGETS[:4].astype(wrong.dtype)
    changed, mask = labels.copy(), np.array([True, True, False, True])
    changed[2, 1] = wrong
    new, metrics = step(state, {"image": images, "label": changed, "mask": mask})
    expected, _ = step(state, {"image": images, "label": labels, "mask": mask})
    assert metrics["skipped"].value == 0
    jax.tree.map(np.testing.assert_array_equal, new.params, expected.params)
    new, metrics = step(state, {"image": images, "label": changed, "mask": np.ones(4, bool)})
    assert metrics["skipped"].value == 1
    jax.tree.map(np.testing.assert_array_equal, new.params, state.params)
    losses = binary_cross_entropy(jnp.asarray(LOGITS[:4]), jnp.asarray(changed))
    assert np.isnan(losses).tolist() == [False, False, True, False]


def test_masked_examples_add_nothing():
    mask = np.arange(24) < 20
    batch = {"label": jnp.asarray(TARGETS), "mask": jnp.asarray(mask, jnp.float32)}
    terms, _ = TASK.objective(SimpleNamespace(logits=jnp.asarray(LOGITS)), batch, None)
    expected = optax.sigmoid_binary_cross_entropy(LOGITS[:20], TARGETS[:20]).mean()
    assert terms["loss"].total / 20 == pytest.approx(float(expected), rel=1e-6)
    assert evaluated(mask=mask).result()["loss"] == pytest.approx(float(expected), rel=1e-6)


def test_results_are_those_of_the_metrics():
    results = evaluated().result()
    assert results["map"] == pytest.approx(average_precision(LOGITS, TARGETS).mean())
    assert results["f1_macro"] == pytest.approx(f1_scores(LOGITS, TARGETS, 0.0).mean())
    assert set(TASK.measures) == set(results)


def test_thresholds_are_probabilities():
    strict = evaluated(MultiLabel(classes=TASK.classes, thresholds=(0.9, 0.5, 2.0))).result()
    expected = f1_scores(LOGITS, TARGETS, np.array([np.log(9), 0, np.inf]))
    assert strict["f1_macro"] == pytest.approx(expected.mean())
    assert logit(np.array([0.0, 1.0, 2.0])).tolist() == [-np.inf, np.inf, np.inf]


def test_views_are_averaged_as_probabilities():
    views = [np.array([[0.0, 2.0]]), np.array([[1.0, -3.0]])]
    averaged = TASK.average([{"logit": view} for view in views])["logit"]
    expected = np.mean([1 / (1 + np.exp(-view)) for view in views], axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-averaged)), expected)
    np.testing.assert_allclose(TASK.average([{"logit": views[0]}])["logit"], views[0], atol=1e-12)


def test_details_hold_the_threshold_with_the_highest_f1_of_each_class(tmp_path):
    details = TASK.write_details(evaluated(), tmp_path / "evaluation", {"step": 3, "map": float("nan")})
    record = json.loads(details.file.read_text())
    assert record["step"] == 3 and record["map"] is None
    for k, row in enumerate(record["classes"]):
        best = f1_scores(LOGITS[:, [k]], TARGETS[:, [k]], float(logit(np.array(row["threshold"]))))[0]
        assert row["best_f1"] == pytest.approx(best) and row["best_f1"] >= row["f1"]
        assert row["images"] == TARGETS[:, k].sum()
    assert details.line.startswith("test by class: lowest average precision '")


def test_a_class_without_positives_has_no_numbers(tmp_path):
    evaluator = TASK.evaluator()
    evaluator.update({"logit": LOGITS}, {"label": TARGETS * [1, 1, 0], "mask": np.ones(24)})
    row = json.loads(TASK.write_details(evaluator, tmp_path, {}).file.read_text())["classes"][2]
    assert row["average_precision"] is row["threshold"] is None


def test_classes_without_positives_are_skipped_and_counted(tmp_path):
    evaluator = TASK.evaluator()
    evaluator.update({"logit": LOGITS}, {"label": TARGETS * [1, 1, 0], "mask": np.ones(24)})
    assert evaluator.result()["map"] == pytest.approx(average_precision(LOGITS, TARGETS)[:2].mean())
    note = "1 of 3 classes have no image, and are skipped in mAP and macro F1"
    assert TASK.table(evaluator, 80, "")[-1] == note
    assert TASK.write_details(evaluator, tmp_path, {}).line.endswith(f"; {note}")


def test_a_split_without_any_positive_is_evaluated(tmp_path):
    evaluator = TASK.evaluator()
    evaluator.update({"logit": LOGITS}, {"label": TARGETS * 0, "mask": np.ones(24)})
    assert np.isnan(evaluator.result()["map"])
    note = "no image has any of the classes: mAP and macro F1 are not defined"
    assert TASK.table(evaluator, 80, "") == [note]
    details = TASK.write_details(evaluator, tmp_path, evaluator.result())
    assert details.line == f"test by class: {note}" and json.loads(details.file.read_text())["map"] is None


def test_all_predicted_classes_are_printed_beyond_the_likeliest(tmp_path):
    row = {"logit": np.array([0.5, 2.0, -1.0])}
    assert TASK.format(row, 1) == "b 0.8808, a 0.6225"
    assert [(one["class"], one["predicted"]) for one in TASK.describe(row, 1)["classes"]] == [("b", True), ("a", True)]
    assert [one["class"] for one in TASK.describe(row, 3)["classes"]] == ["b", "a", "c"]


def test_thresholds_are_recorded_and_restored():
    task = MultiLabel(classes=TASK.classes, thresholds=(0.9, 0.5, 0.1))
    restored = TASK.restored(task.record())
    assert restored == task and TASK.restored({}) == TASK
    assert restored.format({"logit": np.array([1.0, 1.0, -1.0])}, 5) == "b 0.7311, c 0.2689"
    assert MultiLabel(thresholds=(0.2,)).restored(task.record()).thresholds == (0.2,)
    source = SimpleNamespace(classes=("a", "b", "c"), labels=TARGETS, num_examples=24)
    with pytest.raises(ValueError, match=r"from 0 to 1 for each of 3 classes \(a, b, c\), got \(0.2,\)"):
        MultiLabel(thresholds=(0.2,)).for_data(source, TaskOptions())


@pytest.mark.parametrize("thresholds", [[0.5] * 2, [0.5, 0.5, math.nan], [0.5, 0.5, 1.1], [0.5, 0.5, "0.5"], 0.5, None])
def test_invalid_thresholds_of_a_record_are_an_error(thresholds):
    with pytest.raises(ValueError, match=r"^expected a threshold from 0 to 1 for each of 3 classes \(a, b, c\), got "):
        TASK.restored({"thresholds": thresholds})


def test_the_best_threshold_is_marked_as_chosen_on_these_images(tmp_path):
    assert TASK.table(evaluated(), 80, "")[-1].startswith("best F1 and its threshold are chosen on these images")
    record = json.loads(TASK.write_details(evaluated(), tmp_path, {}).file.read_text())
    assert record["threshold_note"].startswith("chosen on these images")


def test_options_of_classification_are_refused():
    source = SimpleNamespace(classes=("a", "b", "c"), labels=TARGETS, num_examples=24)
    assert TASKS["multilabel"].for_data(source, TaskOptions()).num_outputs == 3
    with pytest.raises(ValueError, match="optim.label_smoothing is for --task classification, got --task multilabel"):
        TASKS["multilabel"].for_data(source, TaskOptions(label_smoothing=0.1))
    with pytest.raises(ValueError, match=r"expected labels float \[24, 2\], got float32 \[24, 3\]"):
        source.classes = ("a", "b")
        TASKS["multilabel"].for_data(source, TaskOptions())


@pytest.mark.parametrize("shape", [(24, 1), (1, 3), (24,)])
@pytest.mark.parametrize("name", ["multilabel", "regression"])
def test_labels_of_another_shape_than_the_outputs_are_refused(name, shape):
    batch = {"label": jnp.zeros(shape), "mask": jnp.ones(24)}
    with pytest.raises(ValueError, match=r"expected labels float \[24, 3\], got float32 \["):
        TASKS[name].objective(SimpleNamespace(logits=jnp.asarray(LOGITS)), batch, None)


@pytest.mark.parametrize("name", ["classification", "multilabel"])
def test_the_loss_of_regressions_is_refused_by_other_tasks(name):
    source = SimpleNamespace(classes=TASK.classes, labels=TARGETS, num_examples=24)
    with pytest.raises(ValueError, match=f"optim.regression_loss is for --task regression, got --task {name}"):
        TASKS[name].for_data(source, TaskOptions(regression_loss="l1"))


@pytest.mark.parametrize("name", [None, 3, ["multilabel"], "multilable"])
def test_what_names_no_task_is_refused(name):
    with pytest.raises(ValueError, match="expected a task, got "):
        get_task(name)
