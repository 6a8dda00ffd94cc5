"""The best test: of equal results the first one stays the best, in every place that chooses."""

import math

import numpy as np
import pytest

from resnet_jax.checkpoints.best import BestTest, Measure, best_step
from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import open_checkpoint

META = {"model": {}, "classes": [], "preprocess": {}}


def test_of_equal_scores_the_first_step_is_the_best():
    assert best_step({6: 0.5, 2: 0.25, 4: 0.5, 8: None}) == 4
    assert best_step({2: None}) is None


@pytest.mark.parametrize(("measure", "better"), [(Measure("mae", -1), 0.25), (Measure.of("top1"), 0.75)])
def test_an_equal_test_is_not_better(measure, better):
    best = BestTest(measure)
    assert best.add(2, {measure.name: 0.5}) and not best.add(4, {measure.name: 0.5})
    assert (best.step, best.tests_since) == (2, 1)
    assert best.add(6, {measure.name: better}) and (best.value, best.step, best.tests_since) == (better, 6, 0)
    assert not best.add(8, {"loss": 0.1})
    restored = BestTest(measure)
    restored.restore(best.saved())
    assert restored == best


def test_nan_is_never_the_best_and_blocks_no_later_number(tmp_path):
    measure = Measure("r2", 1)
    assert measure.score({"r2": math.nan}) is None and best_step({1: None, 2: 0.9}) == 2
    best = BestTest(measure)
    assert not best.add(1, {"r2": math.nan}) and best.value is None and best.tests_since == 0
    assert best.add(2, {"r2": -3.0}) and best.step == 2
    best.restore({"value": math.nan, "step": 1, "tests_since": 4})
    assert best == BestTest(measure)
    with Checkpoints(tmp_path, keep_latest=1, best=measure) as checkpoints:
        for step, r2 in ((1, math.nan), (2, 0.25), (3, math.nan), (4, 0.1)):
            checkpoints.save(
                step, {"params": np.zeros(1)}, META | {"best": {"measure": "r2", "sign": 1}}, test_due=True
            )
            checkpoints.record_test(step, {"r2": r2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4"]
    assert open_checkpoint(tmp_path, "best").step == 2


def test_the_sign_of_a_measure_is_the_tasks(tmp_path):
    assert Measure.of("mae", {"mae": -1}) == Measure("mae", -1) and Measure.of("ema_top1") == Measure("ema_top1", 1)
    with pytest.raises(ValueError, match="expected a measure of the task, got 'mae'"):
        Checkpoints(tmp_path, best="mae")


def test_the_first_of_equal_checkpoints_is_kept_and_read(tmp_path):
    measure = Measure("mae", -1)
    with Checkpoints(tmp_path, keep_latest=1, best=measure) as checkpoints:
        for step, mae in ((1, 0.5), (2, 0.25), (3, 0.25), (4, 0.25)):
            best = {"best": {"measure": "mae", "sign": -1}}
            checkpoints.save(step, {"params": np.zeros(1)}, META | best, test_due=True)
            checkpoints.record_test(step, {"mae": mae})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4"]
    assert open_checkpoint(tmp_path, "best").step == 2


def test_the_best_test_is_restored_from_the_kept_checkpoints():
    best = BestTest(Measure.of("loss"))
    best.restore_scores({4: None}, every=2)
    assert (best.value, best.tests_since) == (None, 0)
    best.restore_scores({4: -0.5, 6: -0.3, 8: -0.3, 11: None, 12: -0.4}, every=2)
    assert (best.value, best.step, best.tests_since) == (0.3, 6, 3)  # an equal later test is no better
    assert not best.add(14, {"loss": 0.35}) and best.tests_since == 4
