"""Classification's metrics against their definitions."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from class_predictions import predictions

from resnet_jax.models import Outputs
from resnet_jax.tasks import Classification, TaskOptions
from resnet_jax.tasks.classification import accuracy, confident_mistakes


def evaluated(outputs, labels, classes):
    evaluator = Classification(classes).evaluator()
    evaluator.update({"log_probability": np.asarray(outputs)}, {"label": labels, "mask": np.ones(len(labels))})
    return evaluator


def metrics(logits, labels, loss, mask):
    """Totals of the objective's terms and metrics for losses as given."""
    task = Classification(loss=lambda *_: jnp.asarray(loss))
    terms, others = task.objective(Outputs(logits, {}), {"label": jnp.asarray(labels), "mask": mask}, None)
    return {"loss": float(terms["loss"].total)} | {name: float(metric.total) for name, metric in others.items()}


def test_options_of_a_task_that_is_passed_stay_unless_the_config_has_others():
    source = SimpleNamespace(classes=("a", "b"), labels=np.array([0, 1]), num_examples=2)
    passed = Classification(label_smoothing=0.1, class_weights=(1, 3))
    made = passed.for_data(source, TaskOptions())
    assert (made.label_smoothing, made.class_weights) == (0.1, (1.0, 3.0))
    made = passed.for_data(source, TaskOptions(label_smoothing=0.2, class_weights={"b": 2.0}))
    assert (made.label_smoothing, made.class_weights) == (0.2, (1.0, 2.0))


def test_metrics_are_those_of_their_definitions():
    predicted, probabilities = predictions()
    labels = predicted.labels
    evaluator = evaluated(predicted.outputs["log_probability"], labels, tuple("abcdefg"))
    means = evaluator.result()
    assert means["loss"] == pytest.approx(-np.mean(np.log(probabilities[np.arange(200), labels])), rel=1e-12)
    assert means["top1"] == np.mean(probabilities.argmax(1) == labels)
    assert means["top5"] == np.mean([labels[i] in np.argsort(-probabilities[i])[:5] for i in range(200)])
    error = 0.0
    for k in range(15):
        inside = [i for i in range(200) if k / 15 < probabilities[i].max() <= (k + 1) / 15]
        if inside:
            hits = np.mean([probabilities[i].argmax() == labels[i] for i in inside])
            error += len(inside) / 200 * abs(hits - np.mean([probabilities[i].max() for i in inside]))
    assert evaluator.calibration_error == pytest.approx(error, rel=1e-12)
    assert evaluator.confusion.matrix.trace() == 200 * means["top1"] and evaluator.confusion.matrix.sum() == 200
    five = predictions(classes=5)[0]
    assert "top5" not in evaluated(five.outputs["log_probability"], five.labels, tuple("abcde")).result()


def test_ties_and_nan_count_against_the_label():
    sure = evaluated(np.log([[1.0, 1e-300], [0.5, 0.5]]), np.array([0, 1]), ("x", "y"))
    assert sure.calibration_error == pytest.approx(0.25) and sure.result()["top1"] == 0.5
    assert sure.confusion.matrix.tolist() == [[1, 0], [1, 0]]
    lost = evaluated(np.full((2, 2), np.nan), np.array([0, 1]), ("x", "y"))
    assert lost.result()["top1"] == 0 and lost.confusion.matrix.tolist() == [[0, 1], [1, 0]]
    assert np.isnan(lost.calibration_error)


def test_batches_add_up_and_padding_is_ignored():
    predicted, _ = predictions()
    x, labels = predicted.outputs["log_probability"], predicted.labels
    evaluator = Classification(tuple("abcdefg")).evaluator()
    for start in (0, 150):
        mask = (np.arange(start, start + 150) < 200).astype(np.float32)
        rows = np.arange(start, start + 150) % 200
        evaluator.update({"log_probability": x[rows]}, {"label": np.where(mask, labels[rows], -1), "mask": mask})
    assert evaluator.result() == pytest.approx(evaluated(x, labels, tuple("abcdefg")).result(), rel=1e-12)
    with pytest.raises(ValueError, match="expected at least one example"):
        Classification(("x", "y")).evaluator().result()


@pytest.mark.parametrize("labels", [[0, -1], [0, 2], [[0], [1]], [0.0, 1.0]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match="^expected labels "):
        evaluated(np.log([[0.5, 0.5]] * 2), np.array(labels), ("x", "y"))


def test_the_most_confident_mistakes_come_first():
    predicted, probabilities = predictions()
    wrong = [i for i in range(200) if probabilities[i].argmax() != predicted.labels[i]]
    best = sorted(wrong, key=lambda i: -probabilities[i].max())[:5]
    mistakes = confident_mistakes(predicted, "abcdefg", 5)
    assert [one.index for one in mistakes] == best and [one.image for one in mistakes] == [f"image {i}" for i in best]
    assert mistakes[0].record() == {
        "image": f"image {best[0]}",
        "label": "abcdefg"[predicted.labels[best[0]]],
        "predicted": "abcdefg"[probabilities[best[0]].argmax()],
        "confidence": pytest.approx(probabilities[best[0]].max(), rel=1e-12),
    }
    assert len(confident_mistakes(predicted, "abcdefg", 1000)) == len(wrong)


def test_training_metrics_count_only_examples_of_mask_1():
    logits = jnp.asarray([np.arange(8), np.arange(8), np.arange(8)[::-1], np.arange(8)], jnp.float32)
    got = metrics(logits, [7, 3, 0, 2], jnp.arange(4) + 1.0, jnp.array([1.0, 1.0, 1.0, 0.0]))
    assert got == {"loss": 6.0, "top1": 2.0, "top5": 3.0}


def test_soft_targets_are_judged_by_their_largest():
    targets = np.array([[0.2, 0.8, 0.0], [0.6, 0.4, 0.0]], np.float32)
    assert metrics(jnp.eye(3)[jnp.array([1, 1])], targets, jnp.ones(2), jnp.ones(2))["top1"] == 1


def test_labels_outside_the_classes_are_misses_and_masked_nan_adds_nothing(strict_dtypes):
    logits = jnp.asarray(np.tile(np.arange(8.0)[::-1], (4, 1)), jnp.float32)  # the most likely class is 0
    soft = np.eye(8, dtype=np.float32)[[0, 0, 0, 0]]
    soft[1:3, 0] = np.nan
    loss, mask = jnp.float32([1, np.nan, 2, np.nan]), jnp.float32([1, 0, 1, 0])
    for labels in (np.int32([0, 0, -1, 0]), np.int32([0, 0, 8, 0]), soft):
        assert metrics(logits, labels, loss, mask) == {"loss": 3.0, "top1": 1.0, "top5": 1.0}


def test_small_label_types_hold_large_classes(strict_dtypes):
    logits, labels = jnp.zeros((1, 1000)).at[:, 255].set(1.0), jnp.uint8([255])
    assert accuracy(logits, labels, jnp.ones(1))["top1"].total == 1


def test_losses_of_another_shape_are_refused_and_one_class_has_no_accuracy():
    logits, ones = jnp.zeros((3, 2)), jnp.ones(3)
    with pytest.raises(ValueError, match=r"expected a loss per example, float \[3\], got \[\]"):
        metrics(logits, jnp.zeros(3, int), ones.mean(), ones)
    assert set(metrics(logits[:, :1], jnp.zeros((3, 1), int), ones, ones)) == {"loss"}


def test_labels_for_an_own_loss_have_accuracy_only_if_they_name_a_class(strict_dtypes):
    logits, ones = jnp.eye(3), jnp.ones(3)
    for labels in (np.eye(3, dtype=np.int32), np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)):
        got = metrics(logits, labels, ones, ones)
        assert got["top1"] == 3 - (labels.dtype == bool) and got["loss"] == 3  # of several, the first
    for labels in (np.zeros((3, 1), np.int32), np.zeros(3, np.float32), np.zeros((3, 3, 2), np.int32)):
        assert set(metrics(logits, labels, ones, ones)) == {"loss"}
