"""Checks of a config that need neither its data nor its net: types, ranges, and what fields say of each other."""

from __future__ import annotations

import dataclasses
import math
import sys
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from resnet_jax.config.fields import Valid
from resnet_jax.config.schema import Config, DataConfig, DistributedConfig, InitConfig, TrainConfig
from resnet_jax.errors import one_of, public_address

MOMENTS = {  # of values in [0, 1]; a config of version 0.1.0 may have others
    "mean": Valid(
        lambda value: value and 0 <= min(value) <= max(value) <= 1, "means of values in [0, 1], as 0.485 0.456 0.406"
    ),
    "std": Valid(
        lambda value: value and 0 < min(value) <= max(value) <= 1,
        "standard deviations of values in [0, 1], as 0.229 0.224 0.225",
    ),
}


def check_config(config: Config) -> None:
    """Raises ValueError for values that are invalid whatever the data and the net are."""
    check_types(config)
    if not config.workdir.strip():
        raise ValueError("workdir: expected a folder for the run, got an empty name")
    try:
        config.workdir.encode()
    except UnicodeEncodeError:
        shown = config.workdir.encode(errors="backslashreplace").decode()
        raise ValueError(f"workdir={shown!r}: expected a name in UTF-8, which checkpoints need") from None
    for group in dataclasses.fields(config):
        if dataclasses.is_dataclass(values := getattr(config, group.name)) and group.name != "data":
            _check_ranges(group.name, values)
    check_data(config.data)
    if config.train.steps is not None and config.train.epochs != TrainConfig.epochs:
        lengths = f"train.steps={config.train.steps} and train.epochs={config.train.epochs}"
        raise ValueError(f"{lengths} are two lengths of one run; set one of them")
    best = config.checkpoint.best or ""
    if best.startswith("ema_") and config.optim.ema_decay is None:
        reason = f"checkpoint.best={best!r} is a result of averaged weights"
        raise ValueError(f"{reason}; set --optim.ema-decay, or --checkpoint.best {best[4:]}")
    if config.train.gradient_flow and config.optim.gate_penalty and config.optim.class_weights is not None:
        reason = "train.gradient_flow: expected terms of one weight, got optim.gate_penalty and optim.class_weights"
        raise ValueError(f"{reason}; set --train.no-gradient-flow or remove one of the others")
    if config.train.soft_gate_epochs and (config.optim.keep_lowest or config.optim.schedule == "plateau"):
        option = "optim.keep_lowest" if config.optim.keep_lowest else "optim.schedule='plateau'"
        reason = f"{option} compares the training losses of all epochs, and soft gates have others than hard ones"
        raise ValueError(f"train.soft_gate_epochs: expected 0, got {config.train.soft_gate_epochs}; {reason}")
    _check_init(config.init)
    _check_distributed(config.distributed)


def check_data(config: DataConfig) -> None:
    """Raises ValueError for values of the data that are invalid whatever the images are."""
    check_types(config, "data.")
    _check_ranges("data", config)


def check_moments(config: DataConfig) -> None:
    """Raises ValueError for a mean or a deviation of values above 1; a run of version 0.1.0 may have them."""
    if config.holdout != "position":
        for name, valid in MOMENTS.items():
            _check_range(f"data.{name}", getattr(config, name), valid)


def _check_init(config: InitConfig) -> None:
    changed = [name for name in ("step", "ema", "head") if getattr(config, name) != getattr(InitConfig(), name)]
    if changed and config.from_ is None:
        raise ValueError(f"init.{changed[0]} chooses among the weights of init.from, which is not set")
    if config.kernels is not None and config.from_ is not None:
        source = public_address(str(config.from_))
        raise ValueError(
            f"init.kernels={config.kernels!r} initialises kernels that init.from takes from {source!r}; set one"
        )


def _check_distributed(config: DistributedConfig) -> None:
    explicit = {name: getattr(config, name) for name in ("coordinator", "processes", "process_id")}
    missing = [f"distributed.{name}" for name, value in explicit.items() if value is None]
    if config.auto and len(missing) < 3:
        raise ValueError("distributed.auto finds coordinator, processes and process_id itself; do not set them")
    if config.method and not config.auto:
        raise ValueError("distributed.method is for distributed.auto")
    if not config.auto and 0 < len(missing) < 3:
        raise ValueError(f"expected all of coordinator, processes and process_id, got no {one_of(missing)}")
    if config.processes is not None and config.process_id is not None and config.process_id >= config.processes:
        raise ValueError(
            f"distributed.process_id: expected less than {config.processes} processes, got {config.process_id}"
        )


def _check_ranges(group: str, config: Any) -> None:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            _check_ranges(f"{group}.{field.name}", value)
        else:
            _check_range(f"{group}.{field.name}", value, field.metadata.get("valid"))


def _check_range(name: str, value: Any, valid: Valid | None) -> None:
    if valid is not None and value is not None and not valid.holds(value):
        raise ValueError(f"{name}: expected {valid.expected}, got {shortened(value)}")


def check_types(config: Any, prefix: str = "") -> None:
    """Raises ValueError for a value of another type than its field's, as a config file may have one."""
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            if not isinstance(value, hint):
                raise ValueError(f"{prefix}{name}: expected a {hint.__name__}, got {shortened(value)}")
            check_types(value, f"{prefix}{name}.")
        elif not _is_of_type(hint, value):
            raise ValueError(f"{prefix}{name}: expected {_type_name(hint)}, got {shortened(value)}")


def shortened(value: Any) -> str:
    """A value for a message, at most 200 characters: a corrupted file may hold one of any length."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"a number of {value.bit_length():,} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


def _type_name(hint: Any) -> str:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return one_of(map(repr, kinds))
    if get_origin(hint) in (Union, UnionType):
        return one_of(map(_type_name, kinds))
    if get_origin(hint) is tuple:
        return f"a tuple of {_type_name(kinds[0])}" if Ellipsis in kinds else f"a tuple of {len(kinds)} numbers"
    return {float: "a finite number", int: "a whole number", type(None): "None"}.get(hint, hint.__name__)


def _is_of_type(hint: Any, value: Any) -> bool:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return any(type(value) is type(kind) and value == kind for kind in kinds)  # True and 1.0 equal 1
    if get_origin(hint) in (Union, UnionType):
        return any(_is_of_type(kind, value) for kind in kinds)
    if get_origin(hint) is tuple:
        every = isinstance(value, tuple) and all(_is_of_type(kinds[0], one) for one in value)
        return every and (Ellipsis in kinds or len(value) == len(kinds))
    if hint is float:
        if isinstance(value, int) and not isinstance(value, bool):
            return abs(value) <= sys.float_info.max  # isfinite() fails on a larger one
        return isinstance(value, float) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
