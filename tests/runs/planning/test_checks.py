"""Checks of a config against its model and data."""

import pytest
from small_run import config

from resnet_jax.runs.planning.plan import make_plan


@pytest.mark.parametrize(("change", "value"), [("optim__gate_penalty", 0.1), ("train__soft_gate_epochs", 1.0)])
def test_options_of_skipnets_are_refused_for_other_nets(tmp_path, tfds_dir, change, value):
    option = change.replace("__", ".").replace("_", "-")
    message = rf"^--{option} {value} needs gates, and cifar_resnet8 has none; expected cifar_skipnet38,"
    with pytest.raises(ValueError, match=message):
        make_plan(config(tmp_path, tfds_dir, **{change: value}))


def test_a_run_does_not_end_with_soft_gates(tmp_path, tfds_dir):
    with pytest.raises(ValueError, match=r"soft-gate-epochs 2.0 is 8 of 8 steps; expected fewer"):
        make_plan(config(tmp_path, tfds_dir, model__name="cifar_skipnet38", train__soft_gate_epochs=2.0))
