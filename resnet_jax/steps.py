"""Steps of classification for training loops of your own: their metrics are sums over examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax import lax

from resnet_jax.metrics.classes import predicted_classes
from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.tasks.classification import Classification
from resnet_jax.tasks.losses import Loss, cross_entropy
from resnet_jax.training.batch import complete, without_ignored
from resnet_jax.training.core import Augment, Prepare, forward
from resnet_jax.training.optim import PathPredicate
from resnet_jax.training.state import TrainState, check_model
from resnet_jax.training.step import check_callable, make_step, not_none
from resnet_jax.types import Batch, Metrics

Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]

__all__ = ["Step", "make_eval_step", "make_train_step"]


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
    frozen: PathPredicate | None = None,
    gradient_flow: bool = False,
    class_weights: Sequence[float] | None = None,
) -> Step:
    """step(state, batch) -> (state, metrics): a training step whose metrics are sums over the global batch.

    `training.metrics.mean` divides the sums by "count", the number of examples. They are "loss", "top1", "top5" (with
    more than five classes), the L2 norms of gradient and parameters ("grad_norm", "param_norm") times the count, and
    what the net sows into the collection "metrics", such as a SkipNet's rates of executed blocks.

    A batch has "image" [N, H, W, C], "label" int [N] in 0 .. K - 1 (or soft targets float [N, K]) and optionally
    "mask" [N], bool, int or float, which is 0 for examples to ignore. A label outside the classes makes loss and
    gradient NaN; with mask 0 any label is accepted, such as -1. Batch statistics include masked images, which must be
    finite. With a `loss` of your own labels may be anything with a row per example; top1 and top5 are reported for int
    [N] and any [N, K].

    Args:
      loss: (logits, labels) -> one number per example; its mean over the examples of mask 1 is minimised.
      axis_name: the mapped axis over which gradients, statistics and metrics are reduced; None: no axis.
      augment: (batch, key) -> batch, applied first, on the device. Its batch has "index" int [N], each example's place
        in the global batch. The key is the same on every device.
      accumulate: the shard is run in this many equal parts, whose gradients are added before the one update. Batch
        statistics are computed per part, and the running ones move once for each.
      ema_decay: averages parameters and statistics into `state.ema` (see `TrainState.create(..., ema=True)`) by
        ema += (1 - d) * (new - ema), d = min(ema_decay, (1 + step) / (10 + step)), as TensorFlow's
        ExponentialMovingAverage with num_updates does, so that early weights are soon forgotten.
      skip_nonfinite: a step with a loss or gradient that is not finite changes nothing but the step count and the
        schedule's. It counts as no examples, and as 1 in the metric "skipped".
      gate_penalty: sets the net's field of this name (`SkipNet.gate_penalty`). The metric "loss" is without it.
      frozen: whether a parameter, by its path, keeps its value, also in `state.ema`; it gets no gradient. Norms whose
        parameters are all frozen use and keep their running statistics. `optim.without` makes a `tx` to match.
      gradient_flow: adds metrics of every block, times the count: the L2 norms of the mean loss's gradient by its
        output ("activation_gradient/stem", "activation_gradient/stage1_block0", ...) and by its parameters
        ("parameter_gradient/..."; also of the head). The backward pass then goes through frozen blocks too, whose
        parameters' norms are 0.
      class_weights: one weight per class, passed to `loss` as a keyword of this name. The sum of the losses is divided
        by the sum of the labels' weights (`label_weights`) instead of their number, as in PyTorch's
        CrossEntropyLoss(weight=...). The metric "loss" is this weighted mean, times the count.

    Raises:
      TypeError: an argument of another type; when the step is traced, such a state or batch.
      ValueError: the net synchronises its BatchNorm over another axis, has no gates to penalise, or has fewer than two
        classes with the default loss; `accumulate` is below 1, `ema_decay` outside [0, 1]. When the step is traced:
        labels, losses, class weights or a mask of the wrong shape, or class weights that are not finite or below 0.
    """
    check_model(model)
    check_callable(loss=loss)
    _check_classes(model, loss)
    if gate_penalty and class_weights is not None and gradient_flow:
        raise ValueError(
            "gradient_flow: expected terms of one weight, got gate_penalty and class_weights; remove one of the three"
        )
    if gate_penalty:
        if not hasattr(model, "gate_penalty"):
            raise ValueError(f"gate_penalty={gate_penalty}: expected a net with gates, got {type(model).__name__}")
        model = model.clone(gate_penalty=gate_penalty)
    task = Classification(loss=loss, class_weights=class_weights)
    typed = make_step(
        model,
        tx,
        task.objective,
        axis_name=axis_name,
        augment=augment,
        accumulate=accumulate,
        ema_decay=ema_decay,
        skip_nonfinite=skip_nonfinite,
        frozen=frozen,
        gradient_flow=gradient_flow,
    )

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        state, metrics = typed(state, batch)
        return state, _sums(metrics)

    return step


def make_eval_step(
    model: nn.Module,
    *,
    loss: Loss = cross_entropy,
    axis_name: str | None = "data",
    prepare: Prepare = None,
    by_example: bool = False,
) -> Callable[[TrainState, Batch], Metrics]:
    """step(state, batch) -> metrics: an evaluation step, with running statistics and no randomness.

    Metrics are sums over the examples of mask 1, as in training: "loss", "top1", "top5", "count", and what the net
    sows into "metrics". Batches are as for `make_train_step`.

    Args:
      prepare: makes the net's input from `batch["image"]` on the device, such as a `Preprocess`; None: it is prepared.
      by_example: adds "label" and "predicted", int32 [N] of the global batch; the label of padding is -1. Ties and NaN
        count against the label (`metrics.classes.predicted_classes`).

    Raises:
      TypeError: an argument of another type.
      ValueError: fewer than two classes with the default loss. When the step is traced: labels of the wrong shape.
    """
    check_model(model)
    check_callable(loss=loss, **not_none(prepare=prepare))
    _check_classes(model, loss)
    task = Classification(loss=loss)

    def step(state: TrainState, batch: Batch) -> Metrics:
        batch = without_ignored(complete(batch, axis_name))
        outputs, metrics = forward(model, state, batch, prepare)
        terms, task_metrics = task.objective(outputs, batch, axis_name)
        count = jnp.sum(batch["mask"])
        sums = {**_sums(metrics | task_metrics), "loss": terms["loss"].total, "count": count}
        pairs = {}
        if by_example:
            if batch["label"].ndim != 1:
                raise ValueError(f"by_example: expected labels int [N], got {list(batch['label'].shape)}")
            pairs["label"] = jnp.where(batch["mask"] > 0, batch["label"], -1)
            pairs["predicted"] = predicted_classes(outputs.logits, batch["label"])
        if axis_name is None:
            return sums | pairs
        return lax.psum(sums, axis_name) | lax.all_gather(pairs, axis_name, tiled=True)

    return step


def _sums(metrics: Mapping[str, Metric]) -> Metrics:
    """Sums over the examples: all means of classification are over those of mask 1."""
    return {name: metric.total if isinstance(metric, Mean) else metric.value for name, metric in metrics.items()}


def _check_classes(model: nn.Module, loss: Loss) -> None:
    classes = getattr(model, "num_classes", None)
    if classes is not None and classes < 2 and getattr(loss, "func", loss) is cross_entropy:
        reason = "the cross-entropy of one class is constant"
        raise ValueError(f"expected num_classes of at least 2, or a loss of your own, got {classes}: {reason}")
