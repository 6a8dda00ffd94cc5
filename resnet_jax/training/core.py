"""One training step and one evaluation step: pure functions, written for one shard of the batch.

The shards are the devices of a mapped axis (`distributed.devices` maps them). With `axis_name=None` there is one shard
and no collective, so a plain `jax.jit(step)` will do.

A training step is composed of functions, each in a file of its own:

    totals    (params, batch_stats, batch, rngs) -> sums of the objective's terms      `forward_totals`
              with frozen parameters                                                   `freeze.stop_gradients`
    gradient  the same arguments -> Gradients, sums over a shard                       `differentiate`
              of the activations too                                                   `gradient_flow.with_activations`
              in microbatches                                                          `microbatch.accumulated`
              in microbatches whose examples are compared with each other              `gradient_cache.cached`
    step      (state, batch) -> (state, metrics): one reduction, one update            `core_step`
              with parameters in a range                                               `constraint.constrained`
              with averaged weights                                                    `ema.averaged`
              with frozen parameters                                                   `freeze.keep_frozen`
              that skips updates which are not finite                                  `nonfinite.skip_nonfinite`
              with a rate that falls when the training loss does not                   `plateau.reduced_on_plateau`
              with the weights of the lowest training loss                             `lowest.keeping_lowest`
    steps     (state, batches) -> (state, metrics of each): one compiled program       `several.several_steps`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import lax

from resnet_jax.errors import check_type
from resnet_jax.metrics.typed import Last, Mean, Metric, Sum, reduce
from resnet_jax.ops.canvas import zero_padding
from resnet_jax.ops.channel_sums import channel_sum
from resnet_jax.ops.lowering import lowered_once
from resnet_jax.training.batch import complete, without_ignored
from resnet_jax.training.metrics import example_count, over_examples
from resnet_jax.training.objective import Objective, check_names, checked_objective
from resnet_jax.training.sown import SOWN, sown_loss, sown_metrics
from resnet_jax.training.state import TrainState, check_model, threefry_key
from resnet_jax.types import Array, Batch, at_least_float32

Augment = Callable[[Batch, Array], Batch]
TypedStep = Callable[[TrainState, Batch], tuple[TrainState, dict[str, Metric]]]

EXAMPLES = ""  # the term of all that is averaged over examples


class Aux(NamedTuple):
    """Results of a forward pass beside the totals; sums over a shard."""

    batch_stats: Any
    weights: dict[str, Array]  # of the terms that have one of their own
    losses: dict[str, Array]  # each of the objective's terms: its total, for the report
    metrics: dict[str, Metric]
    squares: dict[str, Array]  # squared norms of the total's gradient by activations; {} unless they are watched
    least: dict[str, Array]  # of the weights: the sum over the global batch counts at least this much


class Gradients(NamedTuple):
    """Gradients of each term's total by the parameters, summed over a shard."""

    by_term: dict[str, Any]
    aux: Aux


class Forward(NamedTuple):
    """Results of the evaluation step for a global batch."""

    predictions: dict[str, Array]  # a row per example
    batch: dict[str, Array]  # all of the batch but the images
    metrics: dict[str, Metric]  # that modules have sown


Totals = Callable[[Any, Any, Batch, dict[str, Array]], tuple[dict[str, Array], Aux]]
Gradient = Callable[[Any, Any, Batch, dict[str, Array]], Gradients]
MeanGradient = Callable[[TrainState, Batch, dict[str, Array]], tuple[Any, Any, dict[str, Metric]]]
Prepare = Any  # (images) -> the net's input; or with a method `prepare`, of the whole batch; or None


def training_pass(
    model: nn.Module, params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]
) -> tuple[Any, Mapping[str, Any]]:
    """The model's outputs in training, and the collections that it updates: "batch_stats" and what modules sow."""
    outputs, updated = model.apply(
        {"params": params, "batch_stats": batch_stats},
        batch["image"],
        train=True,
        example_index=batch["index"],
        **batch_inputs(model, batch, train=True),
        mutable=["batch_stats", *SOWN],
        rngs=rngs,
    )
    return outputs, updated


def batch_inputs(model: nn.Module, batch: Batch, *, train: bool) -> dict[str, Any]:
    """Keywords of the model's call beside the images, such as the targets of a detector: its `batch_inputs`, if any.

    A net with a class attribute `takes_texts = True` gets the labels, ids of the captions, as `tokens`.
    """
    if getattr(model, "takes_texts", False):
        return {"tokens": batch["label"]}
    inputs = getattr(model, "batch_inputs", None)
    return {} if inputs is None else dict(inputs(batch, train))


def forward_totals(model: nn.Module, objective: Objective, axis_name: str | None) -> Totals:
    """totals(params, batch_stats, batch, rngs): the model's training pass and the objective's terms.

    Terms that are averaged over examples and losses that modules have sown are one total, terms of one and the same
    weight another: each total costs a backward pass.
    """

    def totals(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> tuple[dict[str, Array], Aux]:
        outputs, updated = training_pass(model, params, batch_stats, batch, rngs)
        penalty = sown_loss(updated, batch["mask"])
        sums, aux = objective_totals(objective, outputs, batch, axis_name, penalty)
        aux = with_sown(aux, sown_metrics(updated, batch["mask"]))
        return sums, aux._replace(batch_stats=updated.get("batch_stats", {}))

    return totals


def objective_totals(
    objective: Objective, outputs: Any, batch: Batch, axis_name: str | None, penalty: Array | None
) -> tuple[dict[str, Array], Aux]:
    """The totals of an objective for a net's outputs; see `forward_totals`. `penalty`: the losses that modules sow."""
    terms, metrics = checked_objective(objective(outputs, batch, axis_name))
    sums: dict[str, Array] = {}
    shared: dict[tuple[int, float], str] = {}  # the first term of each weight and least weight
    for name, term in terms.items():
        same = id(term.weight), float(term.least_weight)
        key = EXAMPLES if term.weight is None else shared.setdefault(same, name)
        sums[key] = sums[key] + term.total if key in sums else term.total
    check_names(terms, metrics)
    metrics["count"] = Sum(jnp.sum(batch["mask"]))
    if penalty is not None:
        sums[EXAMPLES] = sums[EXAMPLES] + penalty if EXAMPLES in sums else penalty
    if not sums:
        raise ValueError("expected an objective with at least one term, or a net that sows losses, got neither")
    weights = {name: term.weight for name, term in terms.items() if term.weight is not None}
    losses = {name: term.total for name, term in terms.items()}
    least = {name: jnp.asarray(terms[name].least_weight, weight.dtype) for name, weight in weights.items()}
    return sums, Aux({}, weights, losses, metrics, {}, least)


def with_sown(aux: Aux, sown: dict[str, Metric]) -> Aux:
    """With the metrics that modules sow. Raises ValueError for a name that is reserved or the objective's."""
    if twice := sorted((aux.metrics.keys() - {"count"}) & sown.keys()):
        raise ValueError(f"expected another name for the metric {twice[0]!r}: a module of the net sows it")
    check_names(aux.losses, sown)
    return aux._replace(metrics={**aux.metrics, **sown})


def differentiate(totals: Totals) -> Gradient:
    """The gradient of each total by the parameters: one forward pass, and a backward pass for each."""

    def gradient(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> Gradients:
        sums, pull_back, aux = jax.vjp(lambda params: totals(params, batch_stats, batch, rngs), params, has_aux=True)
        by_term = {}
        for name in sums:
            ones = {other: jnp.ones_like(x) if other == name else jnp.zeros_like(x) for other, x in sums.items()}
            (by_term[name],) = pull_back(ones)
        return Gradients(by_term, aux)

    return gradient


def mean_gradient(gradient: Gradient, axis_name: str | None) -> MeanGradient:
    """Gradient of the objective over the global batch, and its metrics: one reduction over the axis, one division."""

    def mean(state: TrainState, batch: Batch, rngs: dict[str, Array]) -> tuple[Any, Any, dict[str, Metric]]:
        sums = gradient(state.params, state.batch_stats, batch, rngs)
        if axis_name is not None:
            sums = _add_shards(sums, state.batch_stats, axis_name)
        return _divide(sums)

    return mean


def mean_gradient_in_one_pass(totals: Totals, axis_name: str | None) -> MeanGradient:
    """`mean_gradient(differentiate(totals), axis_name)` with a single backward pass, whatever the number of weights.

    The terms' weights are known after the forward pass: they and the count are added over the axis first (a second,
    small collective, where there is more than one total), and each total's gradient is scaled on its way back.
    """

    def mean(state: TrainState, batch: Batch, rngs: dict[str, Array]) -> tuple[Any, Any, dict[str, Metric]]:
        def of_params(params: Any) -> tuple[dict[str, Array], Aux]:
            return totals(params, state.batch_stats, batch, rngs)

        sums, pull_back, aux = jax.vjp(of_params, state.params, has_aux=True)
        first, scales = next(iter(sums)), {name: jnp.ones_like(x) for name, x in sums.items()}
        if len(sums) > 1:
            count, weights = example_count(aux.metrics), aux.weights
            if axis_name is not None:
                count, weights = lax.psum((count, weights), axis_name)
            by_term = _scales(count, weights, aux.least)
            scales = {
                name: by_term[name].astype(x.dtype) if name in by_term else scales[name] for name, x in sums.items()
            }
            first = EXAMPLES
        (gradient,) = pull_back(scales)
        both = Gradients({first: gradient}, aux)
        return _divide(both if axis_name is None else _add_shards(both, state.batch_stats, axis_name))

    return mean


def _add_shards(sums: Gradients, old_stats: Any, axis_name: str) -> Gradients:
    """Sums over the axis, and the mean of the shards' running statistics.

    It is the only collective beside `mean_gradient_in_one_pass`'s of several weights and those of synchronised
    BatchNorm. Statistics are averaged as moves from the old ones, so that frozen ones keep their value to the bit.
    """
    by_term, (batch_stats, weights, losses, metrics, squares, least) = sums
    moves = jax.tree.map(jnp.subtract, batch_stats, old_stats)
    added = {name: metric for name, metric in metrics.items() if not isinstance(metric, Last)}
    by_term, moves, weights, losses, added, squares = lax.psum(
        (by_term, moves, weights, losses, added, squares), axis_name
    )
    shards = lax.axis_size(axis_name)
    batch_stats = jax.tree.map(lambda old, move: old + move / shards, old_stats, moves)
    return Gradients(by_term, Aux(batch_stats, weights, losses, {**metrics, **added}, squares, least))


def _divide(sums: Gradients) -> tuple[Any, Any, dict[str, Metric]]:
    """Mean gradient, running statistics and metrics from sums over the global batch."""
    by_term, (batch_stats, weights, losses, metrics, squares, least) = sums
    count = example_count(metrics)
    divisor = jnp.maximum(count, 1)  # a batch without examples moves nothing but momentum and decay
    scales = _scales(count, weights, least)

    def scale(name: str, x: Array) -> Array:
        return x * scales[name].astype(x.dtype) if name in scales else x

    first, *others = [jax.tree.map(partial(scale, name), term) for name, term in by_term.items()]
    total = jax.tree.map(lambda x, *more: sum(more, x), first, *others)
    mean = jax.tree.map(lambda x: x / divisor.astype(x.dtype), total)
    losses = {name: scale(name, x) for name, x in losses.items()}
    if set(losses) != {"loss"}:
        losses["loss"] = sum(losses.values(), jnp.zeros_like(count))
    # The gradient is of a sum: its norms are those of the mean's, times the count. There is one term.
    norms = {path: scale(next(iter(by_term)), jnp.sqrt(square)) for path, square in squares.items()}
    return mean, batch_stats, {**metrics, **{name: Mean(x, count) for name, x in (losses | norms).items()}}


def _scales(count: Array, weights: Mapping[str, Array], least: Mapping[str, Array]) -> dict[str, Array]:
    """Factors of the terms with a weight of their own: all is divided by the count later."""
    divisor = jnp.maximum(count, 1)
    return {name: _ratio(divisor, _at_least(weight, least[name])) for name, weight in weights.items()}


def _at_least(weight: Array, least: Array) -> Array:
    """The larger one; a weight that is NaN or negative stays, and makes the loss NaN."""
    return jnp.where((weight >= 0) & (weight < least), least, weight)


def _ratio(count: Array, weight: Array) -> Array:
    """count / weight; 0 where the weight is 0, NaN where it is NaN or negative."""
    ratio = jnp.where(weight > 0, count.astype(weight.dtype) / jnp.where(weight > 0, weight, 1), 0)
    return jnp.where(weight >= 0, ratio, jnp.nan)


def core_step(
    gradient: MeanGradient,
    tx: optax.GradientTransformation,
    *,
    axis_name: str | None,
    augment: Augment | None = None,
) -> TypedStep:
    """step(state, batch) -> (state, metrics): augmentation, gradient, update.

    Metrics are the gradient's and the L2 norms of mean gradient ("grad_norm") and parameters ("param_norm").
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Metric]]:
        check_type(state, TrainState, "a TrainState")
        augment_key, dropout, drop_path = step_keys(state.key, state.step)
        batch = complete(batch, axis_name)
        if augment is not None:
            batch = augment(batch, augment_key)
        rngs = step_rngs(dropout, drop_path)
        mean, batch_stats, metrics = gradient(state, without_ignored(batch), rngs)
        # Before clipping, and before the update.
        count = example_count(metrics)
        norms = {"grad_norm": tree_norm(mean), "param_norm": tree_norm(state.params)}
        metrics = {**metrics, **{name: over_examples(norm, count) for name, norm in norms.items()}}
        with jax.numpy_dtype_promotion("standard"):  # which optax.adamw needs
            updates, opt_state = tx.update(mean, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = replace(state, step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state)
        return new, metrics

    return step


def tree_norm(tree: Any) -> Array:
    """The L2 norm of all leaves together, in at least float32."""
    leaves = [jnp.atleast_1d(leaf).astype(at_least_float32(leaf.dtype)) for leaf in jax.tree.leaves(tree) if leaf.size]
    # Not optax's norm, whose sums of large kernels take several passes on a CPU.
    squares = [_square_sum(leaf) for leaf in leaves]
    with jax.numpy_dtype_promotion("standard"):  # for leaves of float64
        return jnp.sqrt(sum(squares, start=jnp.zeros((), jnp.float32)))


@lowered_once()
def _square_sum(x: Array) -> Array:
    return channel_sum(x * x).sum()


def step_keys(key: Array, step: Array | int) -> tuple[Array, Array, Array]:
    """Random keys of a step: for augmentation, dropout and drop path."""
    augment, dropout, drop_path = jax.random.split(jax.random.fold_in(threefry_key(key), step), 3)
    return augment, dropout, drop_path


def step_rngs(dropout: Array, drop_path: Array) -> dict[str, Array]:
    """The keys of a step by the collections of random numbers that modules name."""
    return {"dropout": dropout, "drop_path": drop_path, "sampling": jax.random.fold_in(dropout, 1)}


def forward_step(
    model: nn.Module,
    predictions: Callable[..., dict[str, Array]],
    *,
    axis_name: str | None = "data",
    prepare: Prepare = None,
    takes_batch: bool = False,
) -> Callable[[TrainState, Batch], Forward]:
    """step(state, batch) -> Forward: the one evaluation step, with running statistics and no randomness.

    `predictions` is a task's: outputs -> arrays with a row per example; or with `takes_batch` its `predict_batch`, of
    outputs and batch. `prepare` makes the net's input on the device, of `batch["image"]` (a `Preprocess`) or of the
    batch (a `SequencePreprocess`); None: it is that already.
    """
    check_model(model)

    def step(state: TrainState, batch: Batch) -> Forward:
        batch = prepared(complete(batch, axis_name), prepare)
        outputs, metrics = forward(model, state, batch, None)
        beside = {name: x for name, x in batch.items() if name not in ("image", "index")}
        rows = predictions(outputs, batch) if takes_batch else predictions(outputs), beside
        if axis_name is not None:
            rows, metrics = lax.all_gather(rows, axis_name, tiled=True), reduce(metrics, axis_name)
        return Forward(*rows, metrics)

    return step


def forward(model: nn.Module, state: TrainState, batch: Batch, prepare: Prepare) -> tuple[Any, dict[str, Metric]]:
    """The model's outputs at inference, and the metrics that its modules have sown."""
    batch = prepared(batch, prepare)
    inputs = batch_inputs(model, batch, train=False)
    outputs, sown = model.apply(state.variables, batch["image"], train=False, mutable=[*SOWN], **inputs)
    return outputs, sown_metrics(sown, batch["mask"])


def prepared(batch: Batch, prepare: Prepare) -> dict[str, Array]:
    """The batch with the net's input in the place of what was read."""
    if prepare is None:
        return dict(batch)
    if (of_batch := getattr(prepare, "prepare", None)) is not None:
        return dict(of_batch(batch))
    images = prepare(batch["image"])
    return {**batch, "image": zero_padding(images, batch["size"]) if "size" in batch else images}
