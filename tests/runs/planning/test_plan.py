"""Classes of a plan: their number, order, names and weights; and its moments."""

import dataclasses
from dataclasses import replace

import image_folders
import numpy as np
import pytest
from pictures import pictures
from small_run import config

from resnet_jax.config import Config, DataConfig, OptimConfig
from resnet_jax.models import create_model
from resnet_jax.runs.planning.checks import check_values_per_channel
from resnet_jax.runs.planning.data_changes import data_changes, with_recorded_classes
from resnet_jax.runs.planning.metadata import data_metadata
from resnet_jax.runs.planning.plan import make_plan, steps_per_call_note, with_task
from resnet_jax.tasks import BaseTask, Classification, MultiLabel, Regression

NUMBERS = ("0", "1", "2", "10")


def plan(path, **changes):
    data = DataConfig(path=str(path), batch_size=2, mean=(0.5,), std=(0.5,), **changes)
    return make_plan(Config(data=data, optim=OptimConfig(warmup_epochs=0.0)))


@pytest.fixture
def numbered(tmp_path):
    return pictures(tmp_path, *(f"{name}/{i}.png" for name in NUMBERS for i in range(2)))


def test_a_set_of_one_class_is_refused(numbered, tmp_path_factory):
    with pytest.raises(ValueError, match="data.classes has one class, '10'; expected two or more"):
        plan(numbered, classes=("10",))
    alone = pictures(tmp_path_factory.mktemp("one"), "cat/1.png", "cat/2.png")
    with pytest.raises(ValueError, match=f"{alone} has one class, 'cat'; expected two or more"):
        plan(alone)


@pytest.mark.parametrize("image_size", [None, 4])
def test_a_run_keeps_the_order_of_its_classes(numbered, image_size):
    """Version 0.1.0 sorted classes as text; the order of the files is the same in both versions."""
    now, recorded = plan(numbered, image_size=image_size), ["0", "1", "10", "2"]
    meta = {"classes": recorded, "data": {"classes": recorded, "images": {"train": 4, "test": 4}}}
    assert now.train.classes == NUMBERS and data_changes(now, meta)[0]
    old = with_recorded_classes(now, meta)
    assert old.train.classes == old.test.classes == tuple(recorded) and data_changes(old, meta) == ([], [])
    before, after = (next(plan.train.eval_batches(4)) for plan in (now, old))
    assert list(before["label"]) == [0, 1, 3, 2] and list(after["label"]) == [0, 1, 2, 3]
    np.testing.assert_array_equal(before["image"], after["image"])
    assert with_recorded_classes(now, meta | {"classes": ["0", "1", "10", "3"]}) is now


def test_names_by_place_hold_for_one_order_of_the_folders(numbered):
    names = ("zero", "one", "two", "ten")
    now = plan(numbered, class_names=names)
    assert now.notes == ("classes renamed: 0=zero, 1=one, 2=two, 10=ten",)
    joined = replace(now.config.data, train_split="train[:50%]+train[50%:75%]", test_split="train[75%:]")
    assert make_plan(replace(now.config, data=joined)).train.classes == names
    data = data_metadata(now)
    assert data_changes(now, {"classes": names, "data": data}) == ([], [])
    old = plan(numbered, class_names=names, holdout="position")
    assert old.notes == ("classes renamed: 0=zero, 1=one, 10=two, 2=ten",)  # as in 0.1.0, whose runs resume so
    (message,), _ = data_changes(now, {"classes": names, "data": {"own_classes": old.own_classes}})
    assert "own_classes ('0', '1', '10', '2'), now ['0', '1', '2', '10']" in message
    assert with_recorded_classes(now, {"classes": ["one", "zero", "two", "ten"]}) is now


def test_one_value_per_channel_is_an_error_before_any_work(numbered):
    now = plan(numbered, image_size=8)
    one = replace(now, config=replace(now.config, data=replace(now.config.data, batch_size=1)))
    check_values_per_channel(one.config, one.model, one.train.image_shape, 1)
    deep = replace(one, model=create_model("resnet18", in_channels=now.train.image_shape[-1]))
    with pytest.raises(ValueError, match="--data.batch-size 1 is one image at a time .*one value per channel"):
        check_values_per_channel(deep.config, deep.model, deep.train.image_shape, 1)
    check_values_per_channel(deep.config, deep.model.clone(frozen_norms="all"), deep.train.image_shape, 1)
    check_values_per_channel(now.config, deep.model, deep.train.image_shape, 1)


def test_class_names_in_another_unicode_form_are_the_run_s(tmp_path):
    now = plan(pictures(tmp_path, "caf\u00e9/1.png", "caf\u00e9/2.png", "tea/1.png", "tea/2.png"))
    recorded = ["cafe\u0301", "tea"]
    assert data_changes(with_recorded_classes(now, {"classes": recorded}), {"data": {"classes": recorded}}) == ([], [])


def test_a_configured_mean_or_deviation_is_used(tmp_path, tfds_dir):
    measured = make_plan(config(tmp_path, tfds_dir)).preprocess
    configured = make_plan(config(tmp_path, tfds_dir, data__mean=(0.9,))).preprocess
    assert configured.mean == (0.9,) and configured.std == measured.std and measured.mean != configured.mean


def test_class_weights(images):
    for file in sorted(images.glob("cat/*.png"))[3:]:
        file.unlink()

    def weighted(weights):
        whole = image_folders.config(images, train_split="train", test_split="train", holdout="position")
        return make_plan(dataclasses.replace(whole, optim=OptimConfig(warmup_epochs=0.0, class_weights=weights)))

    assert weighted(None).task.class_weights is None
    assert weighted("balanced").task.class_weights == pytest.approx((15 / (2 * 3), 15 / (2 * 12)))  # n / (K * n_k)
    assert weighted((1.0, 0.0)).task.class_weights == (1.0, 0.0)
    assert weighted(("dog=2.5",)).task.class_weights == (1.0, 2.5)
    assert weighted(("dog=0", "cat=3")).task.class_weights == (3.0, 0.0)
    plan = with_recorded_classes(weighted("balanced"), {"classes": ["dog", "cat"]})
    assert plan.task.class_weights == pytest.approx((15 / (2 * 12), 15 / (2 * 3)))
    for weights, message in (
        (
            (1.0,),
            "expected optim.class_weights to have 2 numbers, one per class, got 1; .*: cat, dog; or CLASS=WEIGHT",
        ),
        (("dgo=1",), "optim.class_weights: no class 'dgo'; did you mean dog"),
        (("dog=0", "cat=0"), "optim.class_weights: expected one weight or more above 0, got 0 for each class"),
        ((1.0, "cat=2"), "optim.class_weights: .*; or CLASS=WEIGHT"),
        (("cat=-2",), "optim.class_weights: .*; or CLASS=WEIGHT"),
        (("cat=x",), "optim.class_weights: .*; or CLASS=WEIGHT"),
        ((0.0, 0.0), "optim.class_weights: expected balanced, or a number of at least 0 for each class"),
        ((), "optim.class_weights: expected balanced, or"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted(weights)


def test_a_config_has_the_options_of_a_task_that_is_passed():
    assert with_task(Config(), None) == with_task(Config(), BaseTask()) == with_task(Config(), "regression") == Config()
    made = with_task(Config(), Regression(loss="huber"))
    assert (made.task, made.optim) == ("regression", OptimConfig(regression_loss="huber"))
    made = with_task(Config(optim=OptimConfig(regression_loss="l1")), Regression(loss="huber"))
    assert made.optim.regression_loss == "l1"
    assert with_task(Config(), MultiLabel(thresholds=(0.5,))) == Config(task="multilabel")
    weighted = Classification(label_smoothing=0.1, class_weights=np.array([1, 2]))
    expected = OptimConfig(label_smoothing=0.1, class_weights=(1.0, 2.0))
    assert with_task(Config(), weighted).optim == expected
    assert with_task(Config(), Classification(class_weights={"cat": 2.0})).optim.class_weights == ("cat=2.0",)


def test_steps_per_call_that_are_never_together_have_a_note():
    def note(steps_per_call, every_steps=None, steps=100, evaluations=50):
        values = Config(
            train=replace(Config().train, steps_per_call=steps_per_call),
            checkpoint=replace(Config().checkpoint, every_steps=every_steps),
        )
        return steps_per_call_note(values, steps, evaluations)

    assert note(1) == note(50) == note(4, 4) == ()
    assert note(8, 4) == (
        "--train.steps-per-call 8 has no effect; expected at most 4, the steps of --checkpoint.every-steps",
    )
    assert "at most 50, the steps of --train.eval-every-epochs" in note(51)[0]
    assert "at most 3, the steps of a run" in note(8, steps=3)[0]
