"""Losses as optax has them, of normalised targets; predictions and metrics in the targets' own units."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.tasks import TASKS, Regression, TaskOptions

RNG = np.random.default_rng(0)
TARGETS = (RNG.standard_normal((24, 2)) * [2, 50] + [10, 1000]).astype(np.float32)
SOURCE = SimpleNamespace(classes=("age", "weight"), labels=TARGETS, num_examples=24)
OUTPUTS = RNG.standard_normal((24, 2)).astype(np.float32)
LOSSES = {"l1": lambda e: abs(e), "l2": lambda e: e**2, "huber": lambda e: optax.huber_loss(e, delta=1.0)}


def task(loss="l2"):
    return TASKS["regression"].for_data(SOURCE, TaskOptions(regression_loss=loss))


def terms(made, mask):
    batch = {"label": jnp.asarray(TARGETS), "mask": jnp.asarray(mask, jnp.float32)}
    return made.objective(SimpleNamespace(logits=jnp.asarray(OUTPUTS)), batch, None)


def test_targets_are_normalised_by_the_training_data():
    made = task()
    np.testing.assert_allclose(made.mean, TARGETS.mean(0), rtol=1e-6)
    np.testing.assert_allclose(made.deviation, TARGETS.std(0), rtol=1e-6)
    constant = SimpleNamespace(classes=("a",), labels=np.full((5, 1), 3, np.float32), num_examples=5)
    assert TASKS["regression"].for_data(constant, TaskOptions()).deviation == (1.0,)


def test_the_loss_of_a_task_that_is_passed_stays_unless_the_config_has_another():
    passed = Regression(loss="huber")
    assert passed.for_data(SOURCE, TaskOptions()).loss == "huber"
    assert passed.for_data(SOURCE, TaskOptions(regression_loss="l1")).loss == "l1"


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_in_training_is_that_of_evaluation(loss, strict_dtypes):
    made, mask = task(loss), np.arange(24) < 20
    errors = OUTPUTS - (TARGETS - TARGETS.mean(0)) / TARGETS.std(0)
    expected = float(np.mean(LOSSES[loss](errors[:20])))
    trained, metrics = terms(made, mask)
    assert trained["loss"].total / 20 == pytest.approx(expected, rel=1e-5)
    evaluator = made.evaluator()
    predictions = made.predictions(SimpleNamespace(logits=jnp.asarray(OUTPUTS)))
    evaluator.update(predictions, {"label": TARGETS, "mask": mask})
    results = evaluator.result()
    assert results["loss"] == pytest.approx(expected, rel=1e-4)
    assert results["mae"] == pytest.approx(float(metrics["mae"].total / metrics["mae"].count), rel=1e-4)
    assert set(made.measures) == {name for name in results if "/" not in name}


def evaluated():
    """The evaluator of predictions that are off by 1 year and by 10 and 30 kilograms."""
    made = task()
    labels = np.array([[10, 1000], [12, 1100]], np.float32)
    evaluator = made.evaluator()
    evaluator.update({"prediction": labels + [[1, 10], [-1, 30]]}, {"label": labels, "mask": np.ones(2)})
    return made, evaluator


def test_each_target_has_metrics_in_its_own_units():
    results = evaluated()[1].result()
    assert results["mae/age"] == results["rmse/age"] == pytest.approx(1)
    assert results["mae/weight"] == pytest.approx(20) and results["rmse/weight"] == pytest.approx(500**0.5)
    assert results["r2/age"] == pytest.approx(0) and results["r2/weight"] == pytest.approx(1 - 1000 / 5000)
    for name in ("mae", "rmse", "r2"):
        assert results[name] == pytest.approx((results[f"{name}/age"] + results[f"{name}/weight"]) / 2)


def test_a_single_target_has_no_metrics_twice():
    made = Regression(targets=("age",), mean=(0.0,), deviation=(1.0,))
    evaluator = made.evaluator()
    evaluator.update({"prediction": np.ones((2, 1))}, {"label": np.zeros((2, 1)), "mask": np.ones(2)})
    assert set(evaluator.result()) == set(made.measures) and made.table(evaluator, 80, "") == []


def test_the_table_has_a_line_for_each_target_and_their_mean():
    made, evaluator = evaluated()
    rows = [line.split() for line in made.table(evaluator, 80, "")]
    assert rows == [
        ["target", "MAE", "RMSE", "R2"],
        ["age", "1", "1", "0"],
        ["weight", "20", "22.3607", "0.8"],
        ["mean", "of", "2", "targets", "10.5", "11.6803", "0.4"],
    ]
    assert {len(line) for line in made.table(evaluator, 50, "")} == {50}


def test_an_r2_that_is_not_defined_is_a_dash():
    made = task()
    evaluator = made.evaluator()
    labels = np.array([[10, 1000], [10, 1100]], np.float32)  # of one age
    evaluator.update({"prediction": labels}, {"label": labels, "mask": np.ones(2)})
    assert [line.split()[-1] for line in made.table(evaluator, 80, "")] == ["R2", "-", "1", "-"]


def test_predictions_are_in_the_units_of_the_targets():
    predictions = task().predictions(SimpleNamespace(logits=jnp.zeros((3, 2))))["prediction"]
    np.testing.assert_allclose(predictions, np.tile(TARGETS.mean(0), (3, 1)), rtol=1e-6)


def test_the_record_restores_the_normalisation():
    made = task()
    assert Regression(targets=made.targets).restored(made.record()) == made


def test_the_loss_is_that_of_the_config_or_of_the_record():
    record = task("huber").record()
    assert Regression(targets=SOURCE.classes, loss="l1").restored(record).loss == "l1"
    assert Regression(targets=SOURCE.classes, loss="l1").restored(record, with_options=True) == task("huber")


def test_a_record_of_another_task_is_an_error():
    with pytest.raises(ValueError, match="expected the record of a regression with mean, deviation, got {}"):
        task().restored({})
    with pytest.raises(ValueError, match="a regression of 1 targets, got 2 means and 2 deviations"):
        Regression(targets=("age",)).restored(task().record())


def test_a_head_keeps_the_units_that_it_was_trained_in():
    other = Regression(targets=SOURCE.classes, mean=(0.0, 0.0), deviation=(1.0, 1.0), loss="l1")
    adopted = other.with_head(task().record(), order=(1, 0))
    assert adopted.mean == task().mean[::-1] and adopted.deviation == task().deviation[::-1] and adopted.loss == "l1"
    assert other.with_head(task().record(), order=None).mean == task().mean


def test_options_of_classification_are_refused():
    with pytest.raises(ValueError, match="optim.class_weights is for --task classification, got --task regression"):
        TASKS["regression"].for_data(SOURCE, TaskOptions(class_weights="balanced"))


def test_without_examples_the_normalisation_is_restored():
    empty = SimpleNamespace(classes=SOURCE.classes, labels=np.zeros(0, np.int32), num_examples=0)
    assert TASKS["regression"].for_data(empty, TaskOptions()).restored(task().record()) == task()


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"loss": "mse"}, "expected a loss of a regression, got 'mse'"),
        ({"mean": ("a",)}, "expected finite means and deviations of targets, got 'a'"),
        ({"deviation": (0.0,)}, "expected deviations of targets above 0, got 0.0"),
    ],
)
def test_a_regression_that_cannot_be_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Regression(**fields)


def test_a_constant_target_has_the_deviation_1_whatever_rounding_says():
    source = SimpleNamespace(classes=("a",), labels=np.full((7, 1), 0.1, np.float32), num_examples=7)
    assert TASKS["regression"].for_data(source, TaskOptions()).deviation == (1.0,)


def test_a_record_of_other_types_is_an_error():
    with pytest.raises(ValueError, match="with lists of mean and deviation, got {'mean': None"):
        task().restored(task().record() | {"mean": None})
    with pytest.raises(ValueError, match="expected a loss of a regression, got 'l9'"):
        task().restored(task().record() | {"loss": "l9"}, with_options=True)
