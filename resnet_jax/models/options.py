"""Checks the options of a net and converts each to one form."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Collection, Hashable, Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from resnet_jax.models.partials import comparable
from resnet_jax.ops.pooling import POOLS

REMAT = ("none", "block", "stage")
OUTPUT_STRIDES = (1, 2, 4, 8, 16, 32)
DILATIONS = ("timm", "resample", "smp")
COMPONENTS = ("stem", "head", "conv", "norm", "act")  # fields that hold a module class or a function
MINIMA = {"num_classes": 0, "in_channels": 1, "stem_features": 1}
RATES = ("drop_rate", "drop_path", "layer_drop_rate")


def normalized_fields(model: Any) -> dict[str, Any]:
    """Fields of a `ResNet` that are stored in another form than they were passed in, and that form.

    `jax.nn.relu` becomes `ops.relu`, other compiled functions `NamedFunction`s, plain partials `Partial`s, integers of
    NumPy `int`, dtypes scalar types ("bfloat16" too), lists tuples.

    Raises:
      ValueError: a value that no net can have. The message lists the valid ones.
    """
    fields = {field: comparable(getattr(model, field)) for field in COMPONENTS}
    for field, component in fields.items():
        if not callable(component):
            raise ValueError(
                f"{field}: expected a module class or a function, got {component!r}; see resnet_jax.models"
            )
    fields |= {field: check_integer(field, getattr(model, field), least) for field, least in MINIMA.items()}
    fields["image_size"] = _checked_size(model.image_size)
    fields |= {field: _float_type(field, getattr(model, field)) for field in ("dtype", "param_dtype")}
    frozen = model.frozen_norms
    fields["frozen_norms"] = check_sequence(
        "frozen_norms", [frozen] if isinstance(frozen, str) else frozen, "stage names"
    )
    fields["stages"] = check_sequence("stages", model.stages, "Stage(...)s")
    check_choice("remat", model.remat, REMAT)
    check_choice("global_pool", model.global_pool, POOLS)
    if model.global_pool != "avg" and getattr(fields["head"], "pools_by_attention", False):
        raise ValueError(f"global_pool: expected avg for a head that pools by attention, got {model.global_pool!r}")
    check_choice("output_stride", model.output_stride, (None, *OUTPUT_STRIDES))
    check_choice("dilation", model.dilation, DILATIONS)
    for name in fields["frozen_norms"]:
        check_choice("frozen_norms", name, ("all", *stage_names(fields["stages"]), "head"))
    for field in RATES:
        if hasattr(model, field):
            _check_rate(field, getattr(model, field))
    if model.bn_group_size is not None:
        if model.bn_axis is None:
            raise ValueError(
                f"bn_group_size={model.bn_group_size!r} counts devices along bn_axis; expected bn_axis, got None"
            )
        fields["bn_group_size"] = check_integer("bn_group_size", model.bn_group_size, 1)
    return fields


def check_sequence(field: str, values: Any, kind: str) -> tuple[Any, ...]:
    """`values` as a tuple. Raises ValueError unless they are a sequence, and no text."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{field}: expected a sequence of {kind}, got {values!r}")
    return tuple(values)


def check_integer(field: str, value: Any, least: int) -> int:
    """`value` as an `int`. Raises ValueError unless it is an integer of Python or NumPy and at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ValueError(f"{field}: expected a whole number, at least {least}, got {value!r}")
    return number


def _checked_size(size: Any) -> int | tuple[int, ...]:
    """A side, or the size along each spatial axis. Raises ValueError for any other value."""
    if isinstance(size, (tuple, list)):
        return tuple(check_integer("image_size", side, 1) for side in size)
    return check_integer("image_size", size, 1)


def checked_numbers(net: Any, minima: Mapping[str, int]) -> dict[str, Any]:
    """Fields of a dense net that are declared as a bool, as whole numbers or as floats, and their values in one form.

    Args:
      minima: of whole numbers; of the others it is 1.

    Raises:
      ValueError: a value of another type or outside its range.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(net):
        name, value = field.name, getattr(net, field.name)
        if field.type == "bool":
            check_choice(name, value, (False, True))
        elif field.type == "int":
            values[name] = check_integer(name, value, minima.get(name, 1))
        elif field.type == "tuple[int, ...]":
            numbers = check_sequence(name, value, "whole numbers, as (64, 64)")
            values[name] = tuple(check_integer(name, number, 1) for number in numbers)
        elif field.type == "float" and name.endswith("_rate"):
            _check_rate(name, value)
        elif field.type == "float" and name.endswith("_radius"):
            check_positive(name, (value,))
        elif field.type == "float":
            check_fraction(name, value)
    return values


def _check_rate(field: str, rate: Any) -> None:
    if isinstance(rate, bool) or not (isinstance(rate, (int, float, np.number)) and 0 <= rate < 1):
        raise ValueError(f"{field}: expected a rate in [0, 1), got {rate!r}")


def check_thresholds(net: Any, *prefixes: str) -> None:
    """Raises ValueError if a `bg_iou_thresh` of a detector is above its `fg_iou_thresh`."""
    for prefix in prefixes:
        low, high = (getattr(net, f"{prefix}{kind}_iou_thresh") for kind in ("bg", "fg"))
        if low > high:
            raise ValueError(f"{prefix}bg_iou_thresh: expected at most {prefix}fg_iou_thresh {high}, got {low}")


def check_fraction(field: str, value: Any) -> None:
    """Raises ValueError unless `value` is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ValueError(f"{field}: expected a number from 0 to 1, got {value!r}")


def check_positive(field: str, values: Any) -> tuple[Any, ...]:
    """`values` as a tuple. Raises ValueError unless they are a sequence of positive, finite numbers, at least one."""
    numbers = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    if not numbers or not all(isinstance(x, (int, float, np.number)) and 0 < x < np.inf for x in numbers):
        raise ValueError(f"{field}: expected one or more positive numbers, got {values!r}")
    return numbers


def check_anchor_sizes(values: Any) -> tuple[tuple[float, ...], ...]:
    """Sizes of each level, as tuples; one number is one size. Raises ValueError unless they are positive numbers."""
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise ValueError(f"anchor_sizes: expected sizes for each level, as ((32,), (64,), ...), got {values!r}")
    return tuple(check_positive("anchor_sizes", sizes if isinstance(sizes, Iterable) else (sizes,)) for sizes in values)


def check_choice(field: str, value: Any, valid: Collection[Any]) -> None:
    """Raises ValueError unless `value` is one of `valid`."""
    if not isinstance(value, Hashable) or value not in valid:
        *others, last = map(str, valid)
        raise ValueError(f"{field}: expected {', '.join(others)} or {last}, got {value!r}")


def _float_type(field: str, dtype: Any) -> Any:
    """The scalar type of `dtype`. Raises ValueError unless it is floating point."""
    try:
        kind = jnp.dtype("object" if dtype is None else dtype)
    except TypeError:
        kind = jnp.dtype("object")
    if not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(f"{field}: expected float32, bfloat16, float16 or float64, got {dtype!r}")
    return kind.type


def stage_names(stages: Collection[Any]) -> tuple[str, ...]:
    """Names of the feature maps of a net with these stages, in order: "stem", "stage1", ..."""
    return ("stem", *(f"stage{number}" for number in range(1, len(stages) + 1)))
