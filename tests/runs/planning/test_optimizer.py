"""The schedule of a run."""

import pytest
from small_run import config

from resnet_jax.config import OptimConfig
from resnet_jax.runs.planning.optimizer import plateau_rule
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.training.plateau import PlateauRule


def test_the_default_warmup_shrinks_in_a_short_run_and_a_configured_one_does_not(tmp_path, tfds_dir):
    def plan(**changes):
        return make_plan(config(tmp_path, tfds_dir, **{"optim__warmup_epochs": None} | changes))

    short = plan()
    assert float(short.schedule(1)) == pytest.approx(0.1)  # after one of eight steps: the warmup is a fifth of them
    message = (
        "the default warmup of 5 epochs (20 steps) is not shorter than this run: it takes a fifth of it, 1 of 8 steps"
    )
    assert short.notes[0].startswith(message)
    long, configured = plan(train__epochs=6.0), plan(train__epochs=6.0, optim__warmup_epochs=5.0)
    assert not long.notes
    assert [float(long.schedule(step)) for step in range(24)] == [
        float(configured.schedule(step)) for step in range(24)
    ]
    shrunk = plan(optim__warmup_epochs=2.0, optim__warmup_shrinks=True)
    assert [float(shrunk.schedule(step)) for step in range(8)] == [float(short.schedule(step)) for step in range(8)]
    assert shrunk.notes[0].startswith(
        "the config's warmup of 2 epochs (8 steps) is not shorter than this run: it takes"
    )
    assert plan(train__epochs=40.0, train__steps=7).steps == 7
    assert plan(train__epochs=40.0, train__steps=2).steps == 2
    with_none = plan(train__epochs=40.0, train__steps=4).notes[0]
    assert with_none.startswith(
        "the default warmup of 5 epochs (20 steps) is not shorter than this run: a run of 4 steps"
    )
    with pytest.raises(ValueError, match="train.steps=7 and train.epochs=2.0 are two lengths of one run; set one"):
        plan(train__steps=7)
    with pytest.raises(ValueError, match="--optim.warmup-epochs 5.0 is 20 steps of a run of 8; .*lower it or omit it"):
        plan(optim__warmup_epochs=5.0)


def test_a_plateau_holds_the_rate_after_the_warmup_and_its_options_are_checked(tmp_path, tfds_dir):
    def plan(**changes):
        return make_plan(config(tmp_path, tfds_dir, optim__schedule="plateau", optim__keep_lowest=True, **changes))

    made = plan(optim__peak_lr=0.2)
    assert [float(made.schedule(step)) for step in range(8)] == pytest.approx([0, 0.1, *[0.2] * 6])
    assert "the weights after the epoch with the lowest training loss" in made.notes[-1]
    options = OptimConfig(schedule="plateau", peak_lr=0.4, lr_reference_batch=64, final_lr=0.05, plateau_epochs=3)
    assert plateau_rule(options, 128) == PlateauRule(0.1, 3, 1e-4, 0.05 / 0.8)
    assert plateau_rule(OptimConfig(), 128) is None
    with pytest.raises(ValueError, match="--optim.decay-factor: expected less than 1 with a plateau, got 1.5"):
        plan(optim__decay_factor=1.5)
    with pytest.raises(ValueError, match="--optim.final-lr: expected at most the highest rate, 0.1, got 0.3"):
        plan(optim__final_lr=0.3)
