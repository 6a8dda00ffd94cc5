"""Values as people type them."""

from typing import Annotated

import pytest

from resnet_jax.cli.train import parse
from resnet_jax.cli.values import value_of


def test_names_that_have_no_commas_may_be_typed_with_commas_between_them():
    """Classes may have them: those lists are split where the data is known."""
    config = parse(["--model.frozen-norms", "stem,stage1", "--data.classes", "cat,dog"])
    assert config.model.frozen_norms == ("stem", "stage1") and config.data.classes == ("cat,dog",)


def test_class_weights_by_name_are_typed_as_other_lists():
    for typed in (["cat=1.5", "dog, wet=2"], ["cat=1.5,dog, wet=2"]):
        assert parse(["--optim.class-weights", *typed]).optim.class_weights == ("cat=1.5", "dog, wet=2")
    assert parse(["--optim.class-weights", "1,2"]).optim.class_weights == (1.0, 2.0)
    assert parse(["--optim.class-weights", "balanced"]).optim.class_weights == "balanced"


VALUES = {
    "--data.horizontal-flip True": True,
    "--data.horizontal-flip 0": False,
    "--data.no-horizontal-flip": False,
    "--data.no-horizontal-flip=False": True,
    "--log.tensorboard off": False,
    "--data.mean 0.5,0.4,-1e-3": (0.5, 0.4, -0.001),
    "--data.mean -.5 0.4, 0.3": (-0.5, 0.4, 0.3),
    "--data.mean [0.5,0.4]": (0.5, 0.4),
    "--data.std None": None,
    "--optim.decay-epochs 80,120": (80.0, 120.0),
    "--data.classes tench,fish cat": ("tench,fish", "cat"),
    "--data.batch_size 1e2": 100,
    "--data.batch-size=64.0": 64,
    "--data.channels 3": 3,
    "--init.from_ x": "x",
    "--optim.lr-multiplier ^(?!head/dense)=0.1": ("^(?!head/dense)=0.1",),
}


@pytest.mark.parametrize("typed", VALUES)
def test_values_as_people_type_them(typed):
    group, _, name = typed.split()[0].partition("=")[0].removeprefix("--").replace("no-", "").partition(".")
    name = name.replace("-", "_")
    assert getattr(getattr(parse(typed.split()), group), name) == VALUES[typed]


def test_one_value_or_several_where_a_field_takes_both():
    convert = value_of(str | tuple[Annotated[str, "NAME"], ...] | None, "label_column").convert
    assert convert.join(["a"], "--x") == "a" and convert.join(["a", "b, c"], "--x") == ("a", "b, c")
    assert convert.join([None], "--x") is None
