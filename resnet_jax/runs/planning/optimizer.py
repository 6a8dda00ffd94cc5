"""Makes the schedule and the optimiser of a run from its config."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import optax
from flax.traverse_util import flatten_dict

from resnet_jax.config import DEFAULT_WARMUP, OptimConfig
from resnet_jax.data.sources.class_names import join_names
from resnet_jax.models import sort_components
from resnet_jax.training import optim
from resnet_jax.training.plateau import PlateauRule, scale_by_plateau


def make_schedule(config: OptimConfig, *, batch_size: int, steps_per_epoch: float, steps: int) -> optax.Schedule:
    """The learning rate of each step.

    Raises:
      ValueError: a warmup as long as the run, or a decay after its end.
    """
    peak, warmup = _peak_rate(config, batch_size), warmup_steps(config, steps_per_epoch, steps)[0]
    if config.warmup_flat and not (warmup and config.warmup_from):
        raise ValueError("--optim.warmup-flat needs --optim.warmup-epochs and --optim.warmup-from, a share of peak_lr")
    if not 0 <= warmup < steps:
        problem = f"--optim.warmup-epochs {config.warmup_epochs} is {warmup} steps of a run of {steps}"
        raise ValueError(f"{problem}; expected fewer than the run's; lower it or omit it")
    if config.warmup_flat and config.schedule != "step":
        raise ValueError("--optim.warmup-flat needs --optim.schedule step")
    growth: Any = {"peak_lr": peak, "warmup_steps": warmup, "initial_lr": config.warmup_from * peak}
    if config.schedule == "cosine":
        return optim.warmup_cosine(steps=steps, final_lr=config.final_lr, **growth)
    if config.schedule == "poly":
        return optim.warmup_polynomial(steps=steps, power=config.poly_power, **growth)
    if config.schedule == "plateau":
        return optim.step_decay(boundaries=(), **growth)
    boundaries = [round(epoch * steps_per_epoch) for epoch in config.decay_epochs]
    if not boundaries:
        raise ValueError("--optim.schedule step needs --optim.decay-epochs, the epochs at which the rate falls")
    if not 0 < min(boundaries) <= max(boundaries) < steps:
        problem = f"--optim.decay-epochs {' '.join(map(str, config.decay_epochs))} are steps {boundaries}"
        raise ValueError(f"{problem}; expected steps from 1 to {steps - 1}")
    return optim.step_decay(boundaries=boundaries, factor=config.decay_factor, flat=config.warmup_flat, **growth)


def _peak_rate(config: OptimConfig, batch_size: int) -> float:
    return config.peak_lr * (batch_size / config.lr_reference_batch if config.lr_reference_batch else 1.0)


def plateau_rule(config: OptimConfig, batch_size: int) -> PlateauRule | None:
    """When the rate falls because the training loss does not; None with another schedule.

    Raises:
      ValueError: a decay that does not lower the rate, or a lowest rate above the highest.
    """
    if config.schedule != "plateau":
        return None
    peak = _peak_rate(config, batch_size)
    if config.decay_factor >= 1:
        raise ValueError(f"--optim.decay-factor: expected less than 1 with a plateau, got {config.decay_factor}")
    if config.final_lr > peak:
        raise ValueError(f"--optim.final-lr: expected at most the highest rate, {peak:g}, got {config.final_lr:g}")
    return PlateauRule(config.decay_factor, config.plateau_epochs, config.plateau_delta, config.final_lr / peak)


def warmup_steps(config: OptimConfig, steps_per_epoch: float, steps: int) -> tuple[int, tuple[str, ...]]:
    """Steps of the warmup; and a note if it was longer than the run and is now a fifth of it."""
    is_default = config.warmup_epochs is None
    epochs = DEFAULT_WARMUP if config.warmup_epochs is None else config.warmup_epochs
    configured = round(epochs * steps_per_epoch)
    if configured < steps or not (is_default or config.warmup_shrinks):
        return configured, ()
    warmup = steps // 5
    which = "default" if is_default else "config's"
    reason = f"the {which} warmup of {epochs:g} epochs ({configured} steps) is not shorter than this run"
    now = f"it takes a fifth of it, {warmup} of {steps} steps" if warmup else f"a run of {steps} steps has none"
    return warmup, (f"{reason}: {now}; see --optim.warmup-epochs",)


def make_optimizer(
    config: OptimConfig, schedule: optax.Schedule, is_frozen: optim.PathPredicate | None = None
) -> optax.GradientTransformation:
    """The optimiser; it neither changes nor has a state for parameters that are frozen (see `frozen`)."""
    shared: dict[str, Any] = {
        "weight_decay": config.weight_decay,
        "decay_all": config.decay_all,
        "clip_norm": config.clip_norm,
    }
    optimizers = {
        "sgd": partial(optim.sgd, momentum=config.momentum, nesterov=config.nesterov),
        "adamw": partial(optim.adamw, b1=config.b1, b2=config.b2, eps=config.eps),
    }
    tx = optimizers[config.optimizer](schedule, **shared)
    if is_frozen is not None:
        tx = optim.without(tx, is_frozen)
    if config.lr_multiplier or config.layer_decay is not None:
        multipliers = _multipliers(config)
        tx = optim.with_rates(tx, lambda params: optim.rate_factors(params, multipliers, config.layer_decay))
    return optax.chain(tx, scale_by_plateau()) if config.schedule == "plateau" else tx


def frozen(config: OptimConfig, model: Any) -> optim.PathPredicate | None:
    """Whether a parameter is frozen, by its path: by `optim.freeze`, or by the net's own `is_frozen`, such as that of a
    detector with `trainable_layers`. None if neither is there.
    """
    rules: list[optim.PathPredicate] = [] if config.freeze is None else [optim.match_path(config.freeze)]
    if hasattr(model, "is_frozen"):
        rules.append(model.is_frozen)
    return (lambda path: any(rule(path) for rule in rules)) if rules else None


def lowest_note(config: OptimConfig) -> tuple[str, ...]:
    """A note on which weights are tested, if they are not the latest."""
    which = "the weights after the epoch with the lowest training loss"
    return (f"--optim.keep-lowest: tests and commands take {which}",) if config.keep_lowest else ()


def frozen_note(is_frozen: optim.PathPredicate | None, params: Any) -> tuple[str, ...]:
    """A note on the number and the components of frozen parameters, if there are any."""
    if is_frozen is None:
        return ()
    sizes = {"/".join(path): math.prod(leaf.shape) for path, leaf in flatten_dict(params).items()}
    frozen_sizes = {path: size for path, size in sizes.items() if is_frozen(path)}
    if not frozen_sizes:
        return ()
    components = join_names(sorted({path.partition("/")[0] for path in frozen_sizes}))
    return (f"frozen: {sum(frozen_sizes.values()):,} of {sum(sizes.values()):,} parameters, in {components}",)


def _multipliers(config: OptimConfig) -> list[tuple[str, float]]:
    multipliers = []
    for rule in config.lr_multiplier:
        pattern, _, factor = rule.rpartition("=")
        try:
            multipliers.append((pattern, float(factor)))
        except ValueError:
            pattern = ""
        if not pattern or not 0 <= multipliers[-1][1] < math.inf:
            expected = "PATTERN=FACTOR with a factor of at least 0, as 'stem|stage=0.1'"
            raise ValueError(f"--optim.lr-multiplier: expected {expected}, got {rule!r}")
    return multipliers


def check_patterns(config: OptimConfig, params: Any) -> None:
    """Raises ValueError for a pattern that matches no parameter, and for a frozen model."""
    paths = ["/".join(path) for path in flatten_dict(params)]
    patterns = {"--optim.lr-multiplier": [pattern for pattern, _ in _multipliers(config)]}
    patterns["--optim.freeze"] = [] if config.freeze is None else [config.freeze]
    for option, expressions in patterns.items():
        remaining = paths
        for pattern in expressions:
            try:
                matches = optim.match_path(pattern)
            except ValueError as error:
                raise ValueError(f"{option}: {error}") from None
            if not any(map(matches, remaining)) and any(map(matches, paths)):
                raise ValueError(f"{option}: earlier patterns match all parameters that {pattern!r} matches")
            remaining = [path for path in remaining if not matches(path)]
            if not any(map(matches, paths)):
                components = ", ".join(sort_components(params))
                raise ValueError(f"{option}: {pattern!r} matches no parameter; the model's components: {components}")
            if option == "--optim.freeze" and all(map(matches, paths)):
                raise ValueError(f"{option}: {pattern!r} matches every parameter: nothing would be trained")
