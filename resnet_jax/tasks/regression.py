"""Regression: one or more numbers per image; L1, L2 or Huber loss; MAE, RMSE and R2."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import did_you_mean
from resnet_jax.metrics.regression import RegressionMetrics
from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.protocol import (
    LabelledSource,
    RegressionLoss,
    Rows,
    TaskOptions,
    Term,
    Terms,
    check_label_shape,
    check_rows,
    refuse_options,
)
from resnet_jax.text import columns, fit_width, printable
from resnet_jax.types import Array, Batch, LabelKind

# Loss of an error in standard deviations: float -> float. Huber (1964) with delta 1: e^2 / 2 up to 1, |e| - 1/2 above.
LOSSES: dict[str, Callable[[Array], Array]] = {
    "l1": jnp.abs,
    "l2": jnp.square,
    "huber": lambda error: jnp.where(jnp.abs(error) < 1, error**2 / 2, jnp.abs(error) - 0.5),
}


@dataclass(frozen=True)
class Regression(BaseTask):
    """Numbers per image: labels float [N, T].

    The net predicts targets normalised by the training data's mean and standard deviation; the loss is the mean over
    examples and targets. Predictions and the metrics of a target ("mae/age") are in its own units. "mae", "rmse" and
    "r2" are means over the targets: where units differ, only "r2" and "loss" compare nets.
    """

    targets: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()  # of the training targets
    deviation: tuple[float, ...] = ()
    loss: RegressionLoss = "l2"

    name: ClassVar[str] = "regression"
    label_kind: ClassVar[LabelKind] = "targets"
    measures: ClassVar[Mapping[str, int]] = {"mae": -1, "rmse": -1, "r2": 1, "loss": -1}
    titles: ClassVar[Mapping[str, str]] = {
        "mae": "mean absolute error (MAE)",
        "rmse": "root mean squared error (RMSE)",
        "r2": "R2",
    }

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown loss, or a mean or deviation that is no number or not positive."""
        if self.loss not in LOSSES:
            raise ValueError(
                f"expected a loss of a regression, got {self.loss!r}; {did_you_mean(str(self.loss), LOSSES)}"
            )
        for value in (*self.mean, *self.deviation):
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"expected finite means and deviations of targets, got {value!r}")
        if wrong := [value for value in self.deviation if value <= 0]:
            raise ValueError(f"expected deviations of targets above 0, got {wrong[0]}")

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        """With the loss of `options`, if that is not the default."""
        refuse_options(options, self.name)
        check_rows(source, self.name)
        loss = self.loss if options.regression_loss == TaskOptions().regression_loss else options.regression_loss
        if not source.num_examples:
            return replace(self, targets=source.classes, loss=loss)
        values = source.labels.astype(np.float64)
        deviation = values.std(0)
        return replace(
            self,
            targets=source.classes,
            mean=tuple(values.mean(0).tolist()),
            deviation=tuple(np.where(np.ptp(values, axis=0) > 0, deviation, 1.0).tolist()),
            loss=loss,
        )

    def options(self) -> TaskOptions:
        return TaskOptions(regression_loss=self.loss)

    @property
    def num_outputs(self) -> int:
        return len(self.targets)

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        predicted = outputs.logits
        check_label_shape(batch["label"], predicted)
        scale = jnp.asarray(self.deviation, predicted.dtype)[None]
        targets = (batch["label"].astype(predicted.dtype) - jnp.asarray(self.mean, predicted.dtype)[None]) / scale
        errors = predicted - targets
        losses = jnp.mean(LOSSES[self.loss](errors), axis=-1)
        absolute = jnp.mean(jnp.abs(errors) * scale, axis=-1)
        return {"loss": Term(Mean.of(losses, batch["mask"]).total)}, {"mae": Mean.of(absolute, batch["mask"])}

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """ "prediction": float [N, T], in the targets' units."""
        normalised = outputs.logits
        mean, deviation = (jnp.asarray(x, normalised.dtype)[None] for x in (self.mean, self.deviation))
        return {"prediction": normalised * deviation + mean}

    def evaluator(self) -> RegressionEvaluator:
        return RegressionEvaluator(self)

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        return {"prediction": self.label_name(prediction["prediction"])}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        values = zip(self.targets, prediction["prediction"].tolist(), strict=True)
        return ", ".join(f"{name} {value:.6g}" for name, value in values)

    def label_name(self, label: Any) -> dict[str, float]:
        return dict(zip(self.targets, np.asarray(label, np.float64).tolist(), strict=True))

    def table(self, evaluator: RegressionEvaluator, width: int, file: str, noun: str = "images") -> list[str]:
        """A line for each target, then their mean; none for a single target, whose metrics are those of the net."""
        if len(self.targets) < 2:
            return []
        average = f"mean of {len(self.targets)} targets"
        room = min(max(columns(printable(name)) for name in (*self.targets, average)), max(10, width - 36))
        metrics, means = evaluator.metrics.by_target(), evaluator.metrics.result()

        def line(name: str, cells: Iterable[str | float]) -> str:
            texts = (cell if isinstance(cell, str) else "-" if math.isnan(cell) else f"{cell:.6g}" for cell in cells)
            return fit_width(name, room) + "".join(f"{text:>12}" for text in texts)

        lines = [line("target", (name.upper() for name in metrics))]
        for i, name in enumerate(self.targets):
            lines.append(line(printable(name), (float(values[i]) for values in metrics.values())))
        return [*lines, line(average, means.values())]

    def record(self) -> dict[str, Any]:
        return {"mean": list(self.mean), "deviation": list(self.deviation), "loss": self.loss}

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Self:
        names = ("mean", "deviation", "loss") if with_options else ("mean", "deviation")
        if any(name not in record for name in names):
            raise ValueError(f"expected the record of a regression with {', '.join(names)}, got {dict(record)}")
        if not all(isinstance(record[name], list | tuple) for name in ("mean", "deviation")):
            raise ValueError(
                f"expected the record of a regression with lists of mean and deviation, got {dict(record)}"
            )
        mean, deviation = tuple(record["mean"]), tuple(record["deviation"])
        if not len(mean) == len(deviation) == len(self.targets):
            counts = f"{len(mean)} means and {len(deviation)} deviations"
            raise ValueError(f"expected the record of a regression of {len(self.targets)} targets, got {counts}")
        return replace(self, mean=mean, deviation=deviation, loss=record["loss"] if with_options else self.loss)

    def with_head(self, record: Mapping[str, Any], order: Sequence[int] | None) -> Self:
        """With the mean and deviation that the head was trained with: its outputs are in these units."""
        adopted = self.restored(record)
        if order is None:
            return adopted
        mean, deviation = (tuple(values[i] for i in order) for values in (adopted.mean, adopted.deviation))
        return replace(adopted, mean=mean, deviation=deviation)


class RegressionEvaluator:
    """Streaming loss, MAE, RMSE and R2 of predictions [N, T], for each target too."""

    def __init__(self, task: Regression) -> None:
        self.metrics = RegressionMetrics()
        self._task, self._loss, self._count = task, 0.0, 0

    def update(self, outputs: Rows, batch: Mapping[str, Any]) -> None:
        predictions, labels = np.asarray(outputs["prediction"]), np.asarray(batch["label"])
        self.metrics.update(predictions, labels, batch["mask"])
        rows = np.asarray(batch["mask"]) != 0
        errors = (predictions[rows].astype(np.float64) - labels[rows]) / np.asarray(self._task.deviation)
        self._loss += float(np.asarray(LOSSES[self._task.loss](errors), np.float64).mean(-1).sum())
        self._count += int(rows.sum())

    def result(self) -> dict[str, float]:
        """ "loss", and "mae", "rmse" and "r2": means over the targets, then (of two or more) "mae/TARGET", ...

        Raises:
          ValueError: there were no examples.
        """
        means, targets = self.metrics.result(), self._task.targets
        parts = {
            f"{name}/{target}": float(value)
            for name, values in self.metrics.by_target().items()
            for target, value in zip(targets, values, strict=True)
        }
        return {"loss": self._loss / self._count, **means, **(parts if len(targets) > 1 else {})}
