"""Gradient accumulation for objectives that compare the examples of a batch: no comparison is lost.

Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup": the outputs of all
microbatches are computed first, without the activations that a backward pass needs; the objective's gradient by the
outputs of the whole batch follows; each microbatch is then computed again and pulls its share of that gradient back.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.metrics.typed import Metric, merge
from resnet_jax.ops.lowering import traced_platform
from resnet_jax.training.core import Gradient, Gradients, objective_totals, training_pass, with_sown
from resnet_jax.training.freeze import stop_gradients
from resnet_jax.training.microbatch import split_parts
from resnet_jax.training.objective import Objective
from resnet_jax.training.optim import PathPredicate
from resnet_jax.training.sown import sown_loss, sown_metrics
from resnet_jax.types import Array, Batch


def cached(
    model: nn.Module, objective: Objective, parts: int, axis_name: str | None, is_frozen: PathPredicate | None = None
) -> Gradient:
    """The gradient of a shard's totals, computed in `parts` equal parts with the outputs of all examples.

    With frozen norms it equals that of the whole shard. Norms in training use the statistics of a part, and running
    statistics move once for each part. Outputs of rank 0 are those of the first part; all others have a row per
    example.

    Raises:
      ValueError: when traced, the parts do not divide the examples of the shard.
    """

    def run(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> tuple[Any, Any]:
        """(outputs, sown loss [1]), (running statistics, sown metrics)."""
        outputs, updated = training_pass(model, params, batch_stats, batch, rngs)
        penalty = sown_loss(updated, batch["mask"])
        beside = updated.get("batch_stats", {}), sown_metrics(updated, batch["mask"])
        return (outputs, None if penalty is None else penalty[None]), beside

    part_run = run if is_frozen is None else stop_gradients(run, is_frozen)

    def gradient(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> Gradients:
        split = split_parts(batch, parts)
        stacked = _map(lambda part: part_run(params, batch_stats, part, rngs)[0], split)

        def totals(stacked: Any) -> Any:
            outputs, penalty = jax.tree.map(_joined, stacked)
            return objective_totals(objective, outputs, batch, axis_name, None if penalty is None else penalty.sum())

        sums, pull_back, aux = jax.vjp(totals, stacked, has_aux=True)
        by_output = {}
        for name in sums:
            ones = {other: jnp.ones_like(x) if other == name else jnp.zeros_like(x) for other, x in sums.items()}
            (by_output[name],) = pull_back(ones)
        # Without the barrier XLA merges both forward passes, and holds the activations of all parts.
        later = lax.optimization_barrier(params)

        def backward(batch_stats: Any, part: Batch, by_output: Any) -> tuple[dict[str, Any], Any, dict[str, Metric]]:
            _, pull_back, (batch_stats, sown) = jax.vjp(
                lambda params: part_run(params, batch_stats, part, rngs), later, has_aux=True
            )
            return {name: pull_back(x)[0] for name, x in by_output.items()}, batch_stats, sown

        by_term, batch_stats, sown = _sums(backward, batch_stats, split, by_output)
        return Gradients(by_term, with_sown(aux, sown)._replace(batch_stats=batch_stats))

    return gradient


def _joined(x: Array) -> Array:
    """[parts, n, ...] -> [parts * n, ...]; of numbers, [parts], the first."""
    return x[0] if x.ndim == 1 else x.reshape(-1, *x.shape[2:])


def _map(function: Any, split: Any) -> Any:
    """Stacked results of the parts, one after the other."""
    # On CPU a convolution's gradient inside a loop is some forty times slower than outside it.
    _, results = lax.scan(lambda _, part: (None, function(part)), None, split, unroll=traced_platform() == "cpu")
    return results


def _sums(backward: Any, batch_stats: Any, split: Any, by_output: Any) -> Any:
    """Gradients and sown metrics summed over the parts, and the statistics after the last."""
    first, rest = (jax.tree.map(lambda x, take=take: x[take], (split, by_output)) for take in (0, slice(1, None)))

    def add(carry: Any, part: Any) -> tuple[Any, None]:
        by_term, batch_stats, sown = carry
        gradients, batch_stats, metrics = backward(batch_stats, *part)
        return (jax.tree.map(jnp.add, by_term, gradients), batch_stats, merge(sown, metrics)), None

    return lax.scan(add, backward(batch_stats, *first), rest, unroll=traced_platform() == "cpu")[0]
