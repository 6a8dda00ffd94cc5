"""Metrics are sums over examples and a count. They add up over batches and devices; the one division comes last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from resnet_jax.models import natural
from resnet_jax.ops import at_least_int32
from resnet_jax.types import Array, Metrics, at_least_float32


def classification(logits: Array, labels: Array, loss: Array, mask: Array) -> Metrics:
    """Sums of loss, top-1 and (with more than five classes) top-5 hits: [N, K], int [N] or soft [N, K], [N], [N].

    Examples of mask 0 add nothing, not even NaN. The class of labels [N, K] is their first maximum. With fewer than two
    classes, or labels of another shape or type, there are no hits, only loss and count.

    Raises:
      ValueError: losses that are not [N].
    """
    n, classes = logits.shape
    if loss.shape != (n,):
        raise ValueError(f"expected a loss per example, float [{n}], got {list(loss.shape)}")
    sums = {"loss": jnp.sum(jnp.where(mask != 0, loss * mask.astype(loss.dtype), 0)), "count": jnp.sum(mask)}
    if classes < 2:
        return sums
    if labels.shape == (n,) and jnp.issubdtype(labels.dtype, jnp.integer):
        hard = at_least_int32(labels)
        valid = (hard >= 0) & (hard < classes)
    elif labels.shape == (n, classes):
        hard = jnp.argmax(labels, -1)
        valid = ~jnp.isnan(labels).any(-1)
    else:
        return sums
    own = jnp.where(valid[:, None], jnp.take_along_axis(logits, hard[:, None], axis=-1), jnp.nan)
    # The rank of the right class. A tie counts against it, and so does a nan, so that a broken net scores nothing.
    rank = classes - 1 - jnp.sum(logits < own, axis=-1)
    for k in (1, 5) if classes > 5 else (1,):
        sums[f"top{k}"] = jnp.sum(jnp.where(rank < k, mask, 0))
    return sums


def predicted(logits: Array, labels: Array) -> Array:
    """The likeliest class of each example: logits [N, K], labels int [N] -> int32 [N].

    As in `classification`, a tie or a nan counts against the label: then it is another class. So the share of examples
    whose predicted class is their label is top-1.
    """
    labels = at_least_int32(labels)
    others = jnp.where(jax.nn.one_hot(labels, logits.shape[-1], dtype=bool), -jnp.inf, logits)
    label_logits = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    best = others.argmax(-1).astype(labels.dtype)
    # The label is the first maximum if every other logit is -inf: then any other class is one.
    best = jnp.where(best == labels, (labels + 1) % logits.shape[-1], best)
    return jnp.where(label_logits > others.max(-1), labels, best).astype(jnp.int32)


def execution(gates: Mapping[str, Any], mask: Array) -> Metrics:
    """Sums of gates over examples: "executed", the mean of all blocks, and each block's. {} for a net without gates.

    `gates` is what `SkipResidual`s have sown.
    """
    if not gates:
        return {}
    sown = {"/".join(path[:-1]): values[0] for path, values in flatten_dict(gates).items()}
    dtype = at_least_float32(next(iter(sown.values())).dtype)
    blocks = {name: jnp.sum(gate.astype(dtype) * mask.astype(dtype)) for name, gate in sown.items()}
    by_block = {f"executed/{name}": blocks[name] for name in sorted(blocks, key=natural)}
    return {"executed": sum(blocks.values(), start=jnp.zeros((), dtype)) / len(blocks)} | by_block


def total(batches: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Sums of batches, added one after the other, on the host, in float64: so a total may be added to later."""
    added: dict[str, float] = {}
    for sums in batches:
        for name, value in sums.items():
            added[name] = added.get(name, 0.0) + float(np.float64(value))
    return added


def mean(batches: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Sums of one or more batches -> means over their examples.

    Raises:
      ValueError: there were no examples.
    """
    added = total(batches)
    count = added.pop("count", 0.0)
    if not count:
        raise ValueError("no examples to average over")
    return {name: value / count for name, value in added.items()}
