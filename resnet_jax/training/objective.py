"""The contract of an objective: its terms and metrics, and their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import check_type
from resnet_jax.metrics.typed import Last, Mean, Metric, Sum
from resnet_jax.types import ARRAYS, Batch

# (outputs, batch, axis_name) -> (terms, metrics); the terms are `tasks.Term`s, which this room does not import.
Objective = Callable[[Any, Batch, str | None], tuple[Mapping[str, Any], dict[str, Metric]]]

STEP = frozenset({"loss", "count", "grad_norm", "param_norm", "skipped"})  # metrics of the step itself
RECORD = frozenset({"step", "split", "epoch", "learning_rate", "images_per_second", "data_wait"})  # of a run's records


def checked_objective(result: Any) -> tuple[Mapping[str, Any], dict[str, Metric]]:
    """Checks an objective's result, and returns it: (terms, metrics).

    Raises:
      TypeError: it is no such pair, or one of them is of another type.
      ValueError: a total, weight or metric that is no single number.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and all(isinstance(part, Mapping) for part in result)):
        raise TypeError(f"expected an objective that returns (terms, metrics), two dicts, got {type(result).__name__}")
    terms, metrics = result
    for name, term in terms.items():
        if not (hasattr(term, "total") and hasattr(term, "weight")):
            raise TypeError(f"expected a Term(total, weight) for the term {name!r}, got {type(term).__name__}")
        _check_number(term.total, f"the total of the term {name!r}")
        if term.weight is not None:
            check_type(term.weight, ARRAYS, f"an array for the weight of the term {name!r}")
            _check_number(term.weight, f"the weight of the term {name!r}")
    for name, metric in metrics.items():
        check_type(metric, (Mean, Sum, Last), f"a Mean, Sum or Last for the metric {name!r}")
        for value in jax.tree.leaves(metric):
            _check_number(value, f"the metric {name!r}")
    return terms, dict(metrics)


def _check_number(value: Any, what: str) -> None:
    check_type(value, (*ARRAYS, np.generic, int, float), f"a number for {what}")
    if jnp.ndim(value):
        raise ValueError(f"expected one number for {what}, got an array {list(jnp.shape(value))}")


def check_names(terms: Mapping[str, Any], metrics: Mapping[str, Metric]) -> None:
    """Raises ValueError for a term or metric with a name that the step, a run's records or another term use.

    One of several terms cannot be "loss", which is their sum.
    """
    reserved = STEP | RECORD
    for name in (*terms, *metrics):
        if not isinstance(name, str) or not name:
            raise ValueError(f"expected names of terms and metrics as text, not empty, got {name!r}")
    for name in metrics:
        if name in reserved or name in terms:
            owner = "a term of the objective" if name in terms else f"reserved, as are {', '.join(sorted(reserved))}"
            raise ValueError(f"expected another name for the metric {name!r}: it is {owner}")
    for name in terms:
        if name in reserved and (name != "loss" or len(terms) > 1):
            problem = "is the sum of all terms" if name == "loss" else "is reserved"
            raise ValueError(f"expected another name for the term {name!r}: it {problem}")
