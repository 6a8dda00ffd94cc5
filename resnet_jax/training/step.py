"""One training step and one evaluation step: pure functions, written for one shard of the batch.

The shards are the devices of a mapped axis (`parallel.py` maps them). With `axis_name=None` there is one shard and no
collective, so that a plain `jax.jit(step)` will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import NoneType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from resnet_jax.errors import check_type, described
from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.options import whole
from resnet_jax.models.skipnet import SkipNet
from resnet_jax.ops import split_batch
from resnet_jax.training.gradient_flow import ACTIVATIONS, gradient_norms, tapped, taps
from resnet_jax.training.losses import ARRAYS, AS_ARRAY, check_class_weights, cross_entropy, label_weights
from resnet_jax.training.metrics import classification, execution, predicted
from resnet_jax.training.optim import Chosen, by_path
from resnet_jax.training.state import TrainState, check_model, check_optimizer, threefry_key
from resnet_jax.types import Array, Batch, Metrics

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
Loss = Callable[[Array, Array], Array]  # logits [N, K], labels int [N] or soft [N, K] -> [N]
Augment = Callable[[Batch, Array], Batch]


def make_train_step(
    model: nn.Module,
    tx: optax.GradientTransformation,
    *,
    loss: Loss = cross_entropy,
    axis_name: str | None = "data",
    augment: Augment | None = None,
    accumulate: int = 1,
    ema_decay: float | None = None,
    skip_nonfinite: bool = False,
    gate_penalty: float = 0.0,
    frozen: Chosen | None = None,
    gradient_flow: bool = False,
    class_weights: Sequence[float] | None = None,
) -> Step:
    """step(state, batch) -> (state, metrics), the metrics being sums over the global batch (see `metrics.mean`).

    They are loss, top1, top5 (with more than five classes), count, and the L2 norms of gradient and parameters
    (grad_norm, param_norm) times the count; of a SkipNet also its gates, the share of blocks that were run: "executed"
    in all and "executed/stage1_block0", ... each (with soft gates, the mean of their probabilities).

    The batch has "image" [N, H, W, C], "label" int [N] in 0 .. K - 1 (or soft targets float [N, K]) and optionally
    "mask" [N], bool, int or float, which is 0 for examples to ignore. A label outside the classes makes loss and
    gradient NaN; with mask 0 any label is accepted, such as -1. Batch statistics still include masked images, which
    must be finite. A `loss` of your own may take other labels, one row per example; top1 and top5 are reported for int
    [N] and any [N, K].

    Args:
      loss: (logits, labels) -> one number per example; what is minimised is its mean over the examples of mask 1.
      axis_name: the mapped axis over which gradients, statistics and metrics are averaged; None: there is none.
      augment: (batch, key) -> batch, on the device, before anything else. The batch it gets has an `index` int [n]:
        each example's place in the global batch. The key is the same on every device.
      accumulate: this many equal parts of the shard are run one after the other, their gradients added, and one update
        made. Batch statistics are those of a part, and the running ones move once for each.
      ema_decay: averages parameters and statistics into `state.ema` (made by `TrainState.create(..., ema=True)`), by
        ema += (1 - d) * (new - ema), d = min(ema_decay, (1 + step) / (10 + step)), as TensorFlow's
        ExponentialMovingAverage with num_updates: the first weights are soon forgotten.
      skip_nonfinite: a step whose loss or gradient is not finite changes nothing but the step count and the schedule's.
        It counts as no examples, and as 1 in the metric "skipped".
      gate_penalty: what is minimised is the loss plus this times the mean of a SkipNet's gates, after Wang et al. 2018,
        section 3.2, with every block of the same cost. The metric loss is without it.
      frozen: parameters that stay as they are, and in `state.ema` too; no gradient is computed of them. Norms all of
        whose parameters are frozen use and keep their running statistics. `tx` should leave them out (`optim.without`).
      gradient_flow: more metrics of every block: the L2 norms of the mean loss's gradient by its output
        ("activation_gradient/stem", "activation_gradient/stage1_block0", ...) and by its parameters
        ("parameter_gradient/..."; also of the head), both times the count. With them the backward pass goes through
        frozen parts too, whose parameters' are 0.
      class_weights: one weight per class, passed to `loss` as its keyword of this name. The sum of the losses is
        divided by the weights of the examples' labels (`losses.label_weights`) and not by their number, as PyTorch's
        CrossEntropyLoss(weight=...) does. The metric loss is that weighted mean, times the count.

    Raises:
      TypeError: a net, an optimiser, a function or a number of another type; when the step is traced, such a state or
        batch.
      ValueError: the net synchronises its BatchNorm over another axis, has no gates to be penalised, or has fewer than
        two classes and no loss of its own; `accumulate` is below 1, `ema_decay` outside [0, 1]. When the step is
        traced: labels, losses, class weights or a mask of the wrong shape, or class weights that are not finite or
        below 0.
    """
    check_model(model)
    check_optimizer(tx)
    _check_callable(loss=loss, **_given(augment=augment, frozen=frozen))
    accumulate = whole("accumulate", accumulate, 1)
    check_type(ema_decay, (int, float, np.number, NoneType), "ema_decay (a number in [0, 1], or None)")
    if ema_decay is not None and not 0 <= ema_decay <= 1:
        raise ValueError(f"expected ema_decay in [0, 1], got {ema_decay}")
    _check_axis(model, axis_name)
    _check_classes(model, loss)
    if gate_penalty and not isinstance(model, SkipNet):
        raise ValueError(f"gate_penalty={gate_penalty} is for SkipNets; this net has no gates")
    if gate_penalty and class_weights is not None:
        raise ValueError(f"gate_penalty={gate_penalty} cannot be combined with class_weights; expected one of them")
    if class_weights is not None:
        with_weights: Callable[..., Array] = loss
        loss = partial(with_weights, class_weights=class_weights)

    def part_gradient(params: Any, batch_stats: Any, batch: Batch, rngs: dict[str, Array]) -> tuple[Any, Any, Metrics]:
        def objective(params: Any, tokens: Any) -> tuple[Array, tuple[Any, Metrics]]:
            with ExitStack() as watching:
                if frozen is not None:
                    params = _kept(frozen, lax.stop_gradient(params), params)
                    watching.enter_context(nn.intercept_methods(keeping_statistics(frozen)))
                if tokens:
                    watching.enter_context(nn.intercept_methods(tapped(tokens)))
                outputs, updated = model.apply(
                    {"params": params, "batch_stats": batch_stats},
                    batch["image"],
                    train=True,
                    example_index=batch["index"],
                    mutable=["batch_stats", "gates"],
                    rngs=rngs,
                )
            if class_weights is not None:
                check_class_weights(class_weights, outputs.logits.shape[-1])
            sums = _classified(outputs.logits, batch, loss)
            sums |= execution(updated.get("gates", {}), batch["mask"])
            if class_weights is not None:
                weights = label_weights(batch["label"], class_weights)
                sums["weight"] = jnp.sum(weights * batch["mask"].astype(weights.dtype))
            penalty = gate_penalty * sums["executed"] if gate_penalty else 0
            return sums["loss"] + penalty, (updated.get("batch_stats", {}), sums)

        tokens = taps(params) if gradient_flow else {}
        (_, (batch_stats, sums)), (gradient, squares) = jax.value_and_grad(objective, (0, 1), has_aux=True)(
            params, tokens
        )
        return gradient, batch_stats, sums | squares

    def shard_gradient(state: TrainState, batch: Batch, rngs: dict[str, Array]) -> tuple[Any, Any, Metrics]:
        if accumulate == 1:
            return part_gradient(state.params, state.batch_stats, batch, rngs)
        size = batch["label"].shape[0]
        if size % accumulate:
            raise ValueError(f"accumulate={accumulate} does not divide the {size} examples of a shard")
        parts = jax.tree.map(lambda x: split_batch(x, accumulate), dict(batch))

        def add(carry: tuple[Any, Any, Metrics], part: Batch) -> tuple[tuple[Any, Any, Metrics], None]:
            gradient, batch_stats, sums = carry
            more, batch_stats, more_sums = part_gradient(state.params, batch_stats, part, rngs)
            return (jax.tree.map(jnp.add, gradient, more), batch_stats, jax.tree.map(jnp.add, sums, more_sums)), None

        first, rest = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
        carry = part_gradient(state.params, state.batch_stats, first, rngs)
        # On CPU a convolution's gradient inside a loop is some forty times slower than outside it.
        return lax.scan(add, carry, rest, unroll=jax.default_backend() == "cpu")[0]

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        check_type(state, TrainState, "a TrainState")
        augment_key, dropout, drop_path = step_keys(state.key, state.step)
        batch = complete(batch, axis_name)
        if augment is not None:
            batch = augment(batch, augment_key)
        batch = _without_ignored(batch)
        gradient, batch_stats, sums = shard_gradient(state, batch, {"dropout": dropout, "drop_path": drop_path})
        if axis_name is not None:
            # The only collective (synchronised BatchNorm has its own). The gradient is of a sum: divided below, once.
            # Statistics are averaged as moves, so that frozen ones stay as they are to the bit.
            moves = jax.tree.map(jnp.subtract, batch_stats, state.batch_stats)
            gradient, moves, sums = lax.psum((gradient, moves, sums), axis_name)
            shards = lax.axis_size(axis_name)
            batch_stats = jax.tree.map(lambda old, move: old + move / shards, state.batch_stats, moves)
        count = jnp.maximum(sums["count"], 1)  # a batch without examples moves nothing but momentum and decay
        if class_weights is not None:  # a weighted mean: as if the count were the sum of weights
            gradient, sums = _over_weights(gradient, sums, count)
        gradient = jax.tree.map(lambda g: g / count.astype(g.dtype), gradient)
        # Divided by the count with the rest; before clipping, and before the update.
        norms = {"grad_norm": optax.tree.norm(gradient), "param_norm": optax.tree.norm(state.params)}
        if gradient_flow:
            norms |= gradient_norms(gradient)
        sums |= {name: norm.astype(count.dtype) * count for name, norm in norms.items()}
        # Of the sum's gradient by outputs: its mean's times the count already.
        sums |= {name: jnp.sqrt(square) for name, square in sums.items() if name.startswith(ACTIVATIONS)}
        with jax.numpy_dtype_promotion("standard"):  # which optax.adamw needs
            updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = state.ema if ema_decay is None else _average(state, params, batch_stats, ema_decay)
        if frozen is not None:  # whatever the optimiser makes of them
            params = _kept(frozen, state.params, params)
            ema = ema and ema | {"params": _kept(frozen, state.ema["params"], ema["params"])}
        new = replace(state, step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema)
        if not skip_nonfinite:
            return new, sums
        good = jnp.isfinite(sums["loss"]) & jnp.isfinite(sums["grad_norm"])
        sums = {name: jnp.where(good, value, 0) for name, value in sums.items()}
        return _new_if(good, new, state), sums | {"skipped": (~good).astype(count.dtype)}

    return step


def _over_weights(gradient: Any, sums: Metrics, count: Array) -> tuple[Any, Metrics]:
    """Gradient and metrics scaled by count / sum of weights: divided by the count, they are weighted means."""
    sums = dict(sums)
    weight = sums.pop("weight")
    scale = jnp.where(weight > 0, count.astype(weight.dtype) / jnp.where(weight > 0, weight, 1), 0)
    gradient = jax.tree.map(lambda g: g * scale.astype(g.dtype), gradient)
    for name, value in sums.items():
        if name == "loss":
            sums[name] = value * scale.astype(value.dtype)
        elif name.startswith(ACTIVATIONS):  # squares
            sums[name] = value * scale.astype(value.dtype) ** 2
    return gradient, sums


def _kept(frozen: Chosen, old: Any, new: Any) -> Any:
    return jax.tree.map(lambda stays, old, new: old if stays else new, by_path(frozen, old), old, new)


def keeping_statistics(frozen: Chosen) -> Callable[..., Any]:
    """An interceptor: norms all of whose parameters are frozen use and keep their running statistics."""

    def call(run: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        norm, called = context.module, context.method_name == "__call__"
        if called and isinstance(norm, BatchNorm) and all(frozen("/".join((*norm.path, x))) for x in ("scale", "bias")):
            kwargs = kwargs | {"use_batch_statistics": False}
        return run(*args, **kwargs)

    return call


def _average(state: TrainState, params: Any, batch_stats: Any, decay: float) -> Any:
    old = state.averaged.variables
    step = jnp.asarray(state.step, float)
    d = jnp.minimum(decay, (1 + step) / (10 + step))
    new = {"params": params, "batch_stats": batch_stats}
    return jax.tree.map(lambda ema, x: ema + (1 - d).astype(ema.dtype) * (x - ema), old, new)


def _new_if(good: Array, new: TrainState, old: TrainState) -> TrainState:
    """`new`, or `old` with the counts that say where in the run it is: its step, and the schedule's."""

    def counts(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    def choose(new: Any, old: Any) -> Any:
        return new if counts(new) else jnp.where(good, new, old)

    return replace(jax.tree.map(choose, new, old, is_leaf=counts), step=new.step)


def step_keys(key: Array, step: Array | int) -> tuple[Array, Array, Array]:
    """What a step draws from: the keys of augmentation, dropout and drop path."""
    augment, dropout, drop_path = jax.random.split(jax.random.fold_in(threefry_key(key), step), 3)
    return augment, dropout, drop_path


def make_eval_step(
    model: nn.Module,
    *,
    loss: Loss = cross_entropy,
    axis_name: str | None = "data",
    prepare: Callable[[Array], Array] | None = None,
    by_example: bool = False,
) -> Callable[[TrainState, Batch], Metrics]:
    """step(state, batch) -> metrics: sums over the examples of mask 1, with running statistics and no randomness.

    They are loss, top1, top5, count, and a SkipNet's shares of blocks that were run, as in training.
    Labels are as for `make_train_step`.
    `prepare` makes the net's input from `batch["image"]` on the device (a `Preprocess`); None: it is that already.
    `by_example` adds "label" and "predicted", int32 [N] of the global batch (see `metrics.predicted`); the label of
    padding is -1.

    Raises:
      TypeError: a net or a function of another type.
      ValueError: the net has fewer than two classes, and the loss is the default one. When the step is traced: labels
        of the wrong shape.
    """
    check_model(model)
    _check_callable(loss=loss, **_given(prepare=prepare))
    _check_classes(model, loss)
    forward = _forward(model, prepare)

    def step(state: TrainState, batch: Batch) -> Metrics:
        batch = _without_ignored(complete(batch, axis_name))
        logits, shares = forward(state, batch)
        sums = _classified(logits, batch, loss) | shares
        pairs = {}
        if by_example:
            if batch["label"].ndim != 1:
                raise ValueError(f"by_example expects labels int [N], got {list(batch['label'].shape)}")
            pairs["label"] = jnp.where(batch["mask"] > 0, batch["label"], -1)
            pairs["predicted"] = predicted(logits, batch["label"])
        if axis_name is None:
            return sums | pairs
        return lax.psum(sums, axis_name) | lax.all_gather(pairs, axis_name, tiled=True)

    return step


def _forward(model: nn.Module, prepare: Callable[[Array], Array] | None) -> Callable[..., tuple[Array, Metrics]]:
    """Logits, with running statistics and no randomness, and the sums of a SkipNet's gates."""

    def forward(state: TrainState, batch: Batch) -> tuple[Array, Metrics]:
        images = batch["image"] if prepare is None else prepare(batch["image"])
        outputs, sown = model.apply(state.variables, images, train=False, mutable=["gates"])
        return outputs.logits, execution(sown.get("gates", {}), batch["mask"])

    return forward


def make_predict_step(
    model: nn.Module,
    *,
    axis_name: str | None = "data",
    prepare: Callable[[Array], Array] | None = None,
) -> Callable[[TrainState, Batch], Metrics]:
    """step(state, batch) -> {"log_probability": [N, K] of the global batch, and a SkipNet's shares, as sums}.

    `prepare` is as for `make_eval_step`.

    Raises:
      ValueError: the net has fewer than two classes.
    """
    check_model(model)
    _check_callable(**_given(prepare=prepare))
    _check_classes(model, cross_entropy)
    forward = _forward(model, prepare)

    def step(state: TrainState, batch: Batch) -> Metrics:
        logits, sums = forward(state, complete(batch, axis_name))
        own = jax.nn.log_softmax(logits)
        if axis_name is not None:
            own, sums = lax.all_gather(own, axis_name, tiled=True), lax.psum(sums, axis_name)
        return {"log_probability": own, **sums}

    return step


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _check_callable(**functions: Any) -> None:
    for name, function in functions.items():
        if not callable(function):
            raise TypeError(f"expected {name} (a function), got {described(function)}")


def _check_axis(model: nn.Module, axis_name: str | None) -> None:
    bn_axis = getattr(model, "bn_axis", None)
    if bn_axis is not None and bn_axis != axis_name:
        raise ValueError(f"the net shares batch statistics over axis {bn_axis!r}; the step is for axis {axis_name!r}")


def _check_classes(model: nn.Module, loss: Loss) -> None:
    classes = getattr(model, "num_classes", None)
    if classes is not None and classes < 2 and getattr(loss, "func", loss) is cross_entropy:
        reason = "the cross-entropy of one class is constant"
        raise ValueError(f"expected num_classes of at least 2, or a loss of your own, got {classes}: {reason}")


def _classified(logits: Array, batch: Batch, loss: Loss) -> Metrics:
    """Sums over the examples of mask 1."""
    return classification(logits, batch["label"], loss(logits, batch["label"]), batch["mask"])


def _without_ignored(batch: Batch) -> dict[str, Array]:
    """With labels of 0 where the mask is 0: any label may stand there, and none of them must reach the gradient."""
    label = batch["label"]
    counts = jnp.expand_dims(batch["mask"] != 0, range(1, label.ndim))
    return {**batch, "label": jnp.where(counts, label, jnp.zeros_like(label))}


def complete(batch: Batch, axis_name: str | None) -> dict[str, Array]:
    """Adds the mask where there is none, and each example's place in the global batch."""
    check_type(batch, Mapping, 'a batch {"image": ..., "label": ...}')
    if missing := [name for name in ("image", "label") if name not in batch]:
        raise ValueError(f"expected a batch with image and label, got one without {' and '.join(missing)}")
    label = batch["label"]
    check_type(label, ARRAYS, "labels (an array)", AS_ARRAY)
    if not label.ndim:
        raise ValueError("expected labels with a row per example, got a single number")
    n = label.shape[0]
    first = 0 if axis_name is None else n * lax.axis_index(axis_name)
    # Made from the labels, so that it is sharded as they are.
    ones = jnp.ones_like(label, jnp.float32).max(range(1, label.ndim))
    mask = batch.get("mask", ones)
    check_type(mask, (*ARRAYS, list, tuple, int, float), "a mask (an array)", "leave it out where all examples count")
    mask = jnp.asarray(mask)
    if mask.shape != (n,):
        raise ValueError(f"expected a mask [{n}], one number per example, got {list(mask.shape)}")
    if jnp.issubdtype(mask.dtype, jnp.complexfloating):
        raise TypeError(f"expected a mask of bool, int or float, got {mask.dtype}")
    if not jnp.issubdtype(mask.dtype, jnp.floating):  # 255 in a mask of uint8 is no weight
        mask = mask.astype(bool).astype(jnp.float32)
    return {**batch, "mask": mask, "index": first + jnp.arange(n)}
