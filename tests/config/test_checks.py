"""Checks of a config alone."""

from dataclasses import replace

import pytest

from resnet_jax.config import Config, OptimConfig, TrainConfig, check_config


@pytest.mark.parametrize(
    "group, values",
    [
        ("optim", {"class_weights": (1e308, 1.0)}),
        ("optim", {"class_weights": ()}),
        ("optim", {"peak_lr": 1e300}),
        ("optim", {"decay_epochs": (1e308,)}),
        ("data", {"mixup": 1e300}),
        ("data", {"image_size": 10**6}),
        ("data", {"eval_batch_size": 10**21}),
        ("data", {"padding": 10**9}),
        ("data", {"threads": 10**9}),
        ("data", {"color_jitter": (1e300, 0.0, 0.0, 0.0)}),
        ("train", {"epochs": 1e308}),
        ("train", {"eval_every_epochs": 1e308}),
    ],
)
def test_values_that_no_machine_can_hold_are_refused_before_any_work(group, values):
    config = replace(Config(), **{group: replace(getattr(Config(), group), **values)})
    with pytest.raises(ValueError, match=f"^{group}.{next(iter(values))}: expected .*, got "):
        check_config(config)


@pytest.mark.parametrize(
    "group, values, message",
    [
        ("train", {"steps": 5, "epochs": 2.0}, "train.steps=5 and train.epochs=2.0 are two lengths of one run"),
        ("checkpoint", {"best": "ema_loss"}, "set --optim.ema-decay, or --checkpoint.best loss"),
        ("init", {"ema": True}, "init.ema chooses among the weights of init.from, which is not set"),
        ("init", {"from_": "run", "kernels": "small"}, "initialises kernels that init.from takes from 'run'"),
        ("distributed", {"processes": 2}, "got no distributed.coordinator or distributed.process_id"),
        ("distributed", {"method": "slurm"}, "distributed.method is for distributed.auto"),
        ("data", {"classes": ()}, r"data.classes: expected one class or more, got \(\)"),
    ],
)
def test_values_that_contradict_each_other_are_named(group, values, message):
    config = replace(Config(), **{group: replace(getattr(Config(), group), **values)})
    with pytest.raises(ValueError, match=message):
        check_config(config)


def test_a_gate_penalty_goes_with_class_weights_but_not_with_gradient_flow_too():
    """The norms along a net are of a gradient of one weight."""
    both = Config(optim=OptimConfig(gate_penalty=0.5, class_weights="balanced"))
    check_config(both)
    with pytest.raises(
        ValueError, match="train.gradient_flow: expected terms of one weight, got optim.gate_penalty and"
    ):
        check_config(replace(both, train=TrainConfig(gradient_flow=True)))


@pytest.mark.parametrize("options", [{"keep_lowest": True}, {"schedule": "plateau"}])
def test_losses_of_soft_and_hard_gates_are_not_compared(options):
    check_config(Config(optim=OptimConfig(**options)))
    with pytest.raises(ValueError, match="train.soft_gate_epochs: expected 0, got 2.0; optim."):
        check_config(Config(optim=OptimConfig(**options), train=TrainConfig(soft_gate_epochs=2.0)))
