"""Multi-label classification: any number of classes per image; binary cross-entropy, average precision, F1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import listed
from resnet_jax.files import replace_file, to_json
from resnet_jax.metrics.confusion import FILE, remove_evaluation
from resnet_jax.metrics.multilabel import MultiLabelMetrics, average_precision, best_thresholds, f1_scores
from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.protocol import (
    Details,
    LabelledSource,
    Predictions,
    Rows,
    Task,
    TaskOptions,
    Term,
    Terms,
    check_label_shape,
    check_rows,
    refuse_options,
)
from resnet_jax.text import decimals, fit_width, printable
from resnet_jax.types import Array, Batch, LabelKind

SHOWN = 10  # classes in a table
CHOSEN_ON = "chosen on these images; on others F1 is usually lower"


def binary_cross_entropy(logits: Array, targets: Array) -> Array:
    """mean_k -t_k log s(z_k) - (1 - t_k) log (1 - s(z_k)), s the sigmoid: [N, K], float [N, K] in [0, 1] -> [N].

    A target outside [0, 1] has loss and gradient NaN.
    """
    targets = targets.astype(logits.dtype)
    targets = jnp.where((targets >= 0) & (targets <= 1), targets, jnp.nan)
    losses = -targets * jax.nn.log_sigmoid(logits) - (1 - targets) * jax.nn.log_sigmoid(-logits)
    return jnp.mean(losses, axis=-1)


@dataclass(frozen=True)
class MultiLabel(BaseTask):
    """Any number of classes per image: labels 0 or 1 (in mixed images shares) in float [N, K].

    The loss is the mean of `binary_cross_entropy`. A class is predicted if its probability is at least its threshold.
    Checkpoints record the thresholds of `train(config, task=MultiLabel(thresholds=...))`.
    """

    classes: tuple[str, ...] = ()
    thresholds: tuple[float, ...] | None = None  # probabilities; None: one half for each class

    name: ClassVar[str] = "multilabel"
    label_kind: ClassVar[LabelKind] = "multi-hot"
    measures: ClassVar[Mapping[str, int]] = {"map": 1, "f1_macro": 1, "f1_micro": 1, "loss": -1}
    titles: ClassVar[Mapping[str, str]] = {
        "map": "mean average precision (mAP)",
        "f1_macro": "macro F1",
        "f1_micro": "micro F1",
    }

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        refuse_options(options, self.name)
        check_rows(source, self.name)
        if self.thresholds is not None:
            check_thresholds(self.thresholds, source.classes)
        return replace(self, classes=source.classes)

    @property
    def num_outputs(self) -> int:
        return len(self.classes)

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        check_label_shape(batch["label"], outputs.logits)
        losses = binary_cross_entropy(outputs.logits, batch["label"])
        return {"loss": Term(Mean.of(losses, batch["mask"]).total)}, {}

    def predictions(self, outputs: Any) -> dict[str, Array]:
        return {"logit": outputs.logits}

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """Logit of the mean probability, float64."""
        with np.errstate(invalid="ignore"):  # NaN of a diverged net is a value like others
            positive, negative = (
                np.logaddexp.reduce([-np.logaddexp(0, -sign * one["logit"].astype(np.float64)) for one in predictions])
                for sign in (1, -1)
            )
        return {"logit": positive - negative}

    def check_ensemble(self, others: Sequence[Task]) -> None:
        """Raises ValueError if the nets have different thresholds: F1 of their mean probabilities has none."""
        halves = (0.5,) * len(self.classes)
        for other in others:
            if isinstance(other, MultiLabel) and (other.thresholds or halves) != (self.thresholds or halves):
                got = " and ".join(
                    "one half" if one.thresholds is None else str(one.thresholds) for one in (self, other)
                )
                raise ValueError(
                    f"expected nets with the same thresholds, got {got}; in Python, the argument "
                    "task=MultiLabel(thresholds=...) sets those of all"
                )

    def evaluator(self) -> MultiLabelEvaluator:
        return MultiLabelEvaluator(self.thresholds)

    def record(self) -> dict[str, Any]:
        return {} if self.thresholds is None else {"thresholds": list(self.thresholds)}

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Self:
        """With the recorded thresholds, unless this task has its own. Raises ValueError if they are invalid."""
        if self.thresholds is not None or "thresholds" not in record:
            return self
        check_thresholds(record["thresholds"], self.classes)
        return replace(self, thresholds=tuple(record["thresholds"]))

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """The likeliest `top` classes and all others that are predicted, with their probabilities."""
        rows = self._likeliest(prediction, top)
        return {"classes": [{"class": name, "probability": p, "predicted": is_above} for name, p, is_above in rows]}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        """All predicted classes, the likeliest first."""
        rows = self._likeliest(prediction, top)
        return ", ".join(f"{name} {p:.4f}" for name, p, is_above in rows if is_above) or "no class"

    def _likeliest(self, prediction: Mapping[str, np.ndarray], top: int) -> list[tuple[str, float, bool]]:
        probabilities, predicted = self._probabilities(prediction)
        order = np.argsort(-prediction["logit"], kind="stable")
        rows = [(self.classes[k], float(probabilities[k]), bool(predicted[k])) for k in order]
        return [row for rank, row in enumerate(rows) if rank < top or row[2]]

    def _probabilities(self, prediction: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """(probability, whether it is predicted) of each class: float64 [K], bool [K]."""
        z = prediction["logit"].astype(np.float64)
        limits = 0.0 if self.thresholds is None else logit(np.asarray(self.thresholds, np.float64))
        return np.exp(-np.logaddexp(0, -z)), z >= limits

    def label_name(self, label: Any) -> list[str]:
        return [self.classes[k] for k in np.flatnonzero(np.asarray(label) > 0.5)]

    def columns(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """probability_CLASS and predicted_CLASS (0 or 1) of every class."""
        probabilities, predicted = self._probabilities(prediction)
        return self._by_class({"probability": probabilities, "predicted": predicted.astype(int)})

    def cells(self, label: Any, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """label_CLASS (0 or 1) of every class, then the prediction's columns."""
        labels = (np.asarray(label) > 0.5).astype(int)
        return self._by_class({"label": labels}) | self.columns(prediction, top)

    def _by_class(self, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {
            f"{column}_{name}": value
            for column, values in columns.items()
            for name, value in zip(self.classes, values.tolist(), strict=True)
        }

    def details(self, evaluator: Any) -> dict[str, Any]:
        return {"threshold_note": CHOSEN_ON, "classes": class_rows(self.classes, evaluator)}

    def table(self, evaluator: Any, width: int, file: str, noun: str = "images") -> list[str]:
        rows = [row for row in class_rows(self.classes, evaluator) if row["images"]]
        absent = absent_note(len(self.classes) - len(rows), len(self.classes))
        if not rows:
            return [absent]
        rows.sort(key=lambda row: row["average_precision"] or 0.0)
        room = min(30, max(len(printable(row["class"])) for row in rows))
        lines = [f"{'class':<{room}}{noun:>9}{'AP':>9}{'F1':>9}{'best F1':>9}{'with threshold':>16}"]
        for row in rows[:SHOWN]:
            numbers = [
                f"{decimals(row[key]):>{size}}"
                for key, size in (("average_precision", 9), ("f1", 9), ("best_f1", 9), ("threshold", 16))
            ]
            lines.append(f"{fit_width(printable(row['class']), room)}{row['images']:>9,}{''.join(numbers)}")
        if len(rows) > SHOWN:
            lines.append(
                f"... and {len(rows) - SHOWN:,} classes with higher average precision{f': {file}' * bool(file)}"
            )
        return [*lines, f"best F1 and its threshold are {CHOSEN_ON}", *([absent] if absent else [])]

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details:
        """Writes classes.json: of each class its images, average precision, F1, and the threshold of the highest F1.

        That threshold is chosen on the evaluated images: "best_f1" is higher than the F1 of other images would be.
        """
        rows = class_rows(self.classes, evaluator)
        folder.mkdir(parents=True, exist_ok=True)
        remove_evaluation(folder)
        record = {**metadata, "threshold_note": CHOSEN_ON, "classes": rows}
        replace_file(folder / FILE, to_json(record, indent=1) + "\n")
        tested = sorted((row for row in rows if row["images"]), key=lambda row: row["average_precision"] or 0.0)
        numbers = [(row["class"], row["average_precision"]) for row in tested[:3]]
        lowest = ", ".join(f"{name!r} {decimals(x)}" for name, x in numbers)
        notes = [f"lowest average precision {lowest}"] if tested else []
        notes += [note] if (note := absent_note(len(rows) - len(tested), len(rows))) else []
        return Details(folder / FILE, f"test by class: {'; '.join(notes)}")


class MultiLabelEvaluator:
    """Streaming loss, mean average precision and F1 of logits [N, K]."""

    def __init__(self, thresholds: Sequence[float] | None = None) -> None:
        self.metrics = MultiLabelMetrics(0.0 if thresholds is None else logit(np.asarray(thresholds, np.float64)))
        self._loss = self._count = 0.0

    def update(self, outputs: Rows, batch: Mapping[str, Any]) -> None:
        logits, labels, mask = (np.asarray(x) for x in (outputs["logit"], batch["label"], batch["mask"]))
        self.metrics.update(logits, labels, mask)
        rows = mask != 0
        z, t = logits[rows].astype(np.float64), labels[rows].astype(np.float64)
        self._loss += float((t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)).mean(-1).sum())
        self._count += int(rows.sum())

    def result(self) -> dict[str, float]:
        """ "loss", "map", "f1_macro" and "f1_micro". Raises ValueError if there were no examples."""
        results = self.metrics.result()
        return {"loss": self._loss / self._count, **results}


def absent_note(absent: int, classes: int) -> str:
    """A note that the means over classes skip those without positives; "" if there are none."""
    if not absent:
        return ""
    if absent == classes:
        return "no image has any of the classes: mAP and macro F1 are not defined"
    return f"{absent:,} of {classes:,} classes have no image, and are skipped in mAP and macro F1"


def check_thresholds(thresholds: Any, classes: Sequence[str]) -> None:
    """Raises ValueError unless there is a probability for each class."""
    is_valid = (
        isinstance(thresholds, list | tuple)
        and len(thresholds) == len(classes)
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in thresholds)  # NaN is not
    )
    if not is_valid:
        expected = f"a threshold from 0 to 1 for each of {len(classes)} classes ({listed(classes)})"
        raise ValueError(f"expected {expected}, got {thresholds!r}")


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), with infinities for 0 and 1 (and a threshold above 1, which is never reached)."""
    with np.errstate(divide="ignore"):
        p = np.clip(probability, 0, 1)
        return np.log(p) - np.log1p(-p)


def class_rows(classes: Sequence[str], evaluator: MultiLabelEvaluator) -> list[dict[str, Any]]:
    """A record of each class: "class", "images", "average_precision", "f1", "threshold" (a probability), "best_f1".

    None where a number is not defined.
    """
    scores, targets = evaluator.metrics.scores, evaluator.metrics.targets
    thresholds = best_thresholds(scores, targets)
    columns = {
        "average_precision": average_precision(scores, targets),
        "f1": f1_scores(scores, targets, evaluator.metrics.thresholds),
        "threshold": np.where(np.isinf(thresholds), np.nan, 1 / (1 + np.exp(-thresholds))),
        "best_f1": f1_scores(scores, targets, thresholds),
    }
    numbers = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [
        {"class": name, "images": int(images)}
        | {key: None if math.isnan(value) else value for key, value in zip(columns, row, strict=True)}
        for name, images, row in zip(classes, targets.sum(0), numbers, strict=True)
    ]
