"""Single-label classification: cross-entropy, top-k accuracy, confusion matrix, calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.errors import composed, did_you_mean, listed
from resnet_jax.metrics.classes import (
    CALIBRATION_BINS,
    calibration_gaps,
    label_ranks,
    predicted_classes,
    reported_top_k,
)
from resnet_jax.metrics.confusion import DENSE, Confusion, write_classes
from resnet_jax.metrics.typed import Mean, Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.class_table import class_table
from resnet_jax.tasks.losses import Loss, check_class_weights, cross_entropy, label_weights
from resnet_jax.tasks.protocol import (
    Details,
    ImageReader,
    LabelledSource,
    Predictions,
    Rows,
    TaskOptions,
    Term,
    Terms,
    refuse_options,
)
from resnet_jax.types import Array, Batch

SHEET = 24  # mistakes in a sheet


@dataclass(frozen=True)
class Classification(BaseTask):
    """One class per example: labels int [N], or in training soft targets float [N, K].

    The loss is the mean of `loss` over the examples; with `class_weights`, which are passed to it, it is divided by the
    weights of the labels instead of their number, as PyTorch's CrossEntropyLoss(weight=...) does.
    """

    classes: tuple[str, ...] = ()
    loss: Loss = cross_entropy
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None

    name: ClassVar[str] = "classification"
    measures: ClassVar[Mapping[str, int]] = {"top1": 1, "loss": -1}
    titles: ClassVar[Mapping[str, str]] = {"top1": "top-1", "top5": "top-5", "ece": "calibration error (ECE)"}

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        """With the smoothing and weights of `options`, if these are not the defaults."""
        refuse_options(options, self.name)
        weights = self.class_weights if options.class_weights is None else options.class_weights
        return replace(
            self,
            classes=source.classes,
            label_smoothing=options.label_smoothing or self.label_smoothing,
            class_weights=resolve_class_weights(weights, source),
        )

    def options(self) -> TaskOptions:
        return TaskOptions(label_smoothing=self.label_smoothing, class_weights=self.class_weights)

    @property
    def num_outputs(self) -> int:
        return len(self.classes)

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        logits, labels, mask = outputs.logits, batch["label"], batch["mask"]
        settings: dict[str, Any] = {}
        if self.label_smoothing:
            settings["label_smoothing"] = self.label_smoothing
        if self.class_weights is not None:
            check_class_weights(self.class_weights, logits.shape[-1])
            settings["class_weights"] = self.class_weights
        losses = self.loss(logits, labels, **settings)
        if losses.shape != (len(logits),):
            raise ValueError(f"expected a loss per example, float [{len(logits)}], got {list(losses.shape)}")
        weight = None
        if self.class_weights is not None:
            weights = label_weights(labels, self.class_weights)
            weight = jnp.sum(weights * mask.astype(weights.dtype))
        return {"loss": Term(Mean.of(losses, mask).total, weight)}, accuracy(logits, labels, mask)

    def predictions(self, outputs: Any) -> dict[str, Array]:
        return {"log_probability": jax.nn.log_softmax(outputs.logits)}

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """Logarithm of the mean probability, float64."""
        each = [one["log_probability"].astype(np.float64) for one in predictions]
        with np.errstate(invalid="ignore"):  # NaN of a diverged net is a value like others
            return {"log_probability": np.logaddexp.reduce(each) - np.log(len(each))}

    def evaluator(self) -> ClassificationEvaluator:
        return ClassificationEvaluator(self.classes)

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """ "predictions": the likeliest classes; "top": the same without indices, for scripts that read it."""
        rows = self._likeliest(prediction, top)
        return {
            "predictions": [{"index": k, "class": name, "probability": p} for k, name, p in rows],
            "top": [{"class": name, "probability": p} for _, name, p in rows],
        }

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        return ", ".join(f"{name} {p:.4f}" for _, name, p in self._likeliest(prediction, top))

    def _likeliest(self, prediction: Mapping[str, np.ndarray], top: int) -> list[tuple[int, str, float]]:
        """Index, name and probability of the likeliest classes."""
        log_probability = prediction["log_probability"]
        order = np.argsort(-log_probability, kind="stable")[:top].tolist()
        return [(k, self.classes[k], float(np.exp(log_probability[k]))) for k in order]

    def columns(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """class1, probability1, class2, ...: the likeliest classes."""
        rows = enumerate(self._likeliest(prediction, top), 1)
        return {f"{title}{i}": x for i, (_, name, p) in rows for title, x in (("class", name), ("probability", p))}

    def label_name(self, label: Any) -> Any:
        return self.classes[int(label)]

    def more_metrics(self, evaluator: Any) -> dict[str, float]:
        return {"ece": evaluator.calibration_error}

    def details(self, evaluator: Any) -> dict[str, Any]:
        return {"macro": evaluator.confusion.macro(), "classes": evaluator.confusion.rows()}

    def table(self, evaluator: Any, width: int, file: str, noun: str = "images") -> list[str]:
        classes: Confusion = evaluator.confusion
        all_in = f": {file}" if file else ""
        return class_table(classes.rows(), classes.macro(), width=width, all_in=all_in, noun=noun)

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details:
        """Writes classes.json: metrics of each class, the confusion matrix, and the most confident mistakes."""
        counts: Confusion = evaluator.confusion
        more = {}
        if predictions is not None:
            more["mistakes"] = [mistake.record() for mistake in confident_mistakes(predictions, self.classes, SHEET)]
        file = write_classes(folder, counts, metadata, **more)
        lowest = ", ".join(f"{counts.classes[k]!r} {counts.recall[k]:.4f}" for k in counts.worst()[:3])
        return Details(file, f"test by class: lowest recall {lowest}")

    def draw(
        self, evaluator: Any, folder: Path, heading: str, predictions: Predictions, image: ImageReader
    ) -> Iterator[Path]:
        """confusion.png, confusion.svg, and mistakes.png where there are some."""
        from resnet_jax.analysis.confusion import draw_confusion, draw_mistakes

        counts: Confusion = evaluator.confusion
        if len(counts.classes) > DENSE:  # a matrix of 21,841 classes has 4 GB
            counts = counts.occurring()
        heading = f"{heading}: top-1 {evaluator.result()['top1']:.4f}"
        yield from draw_confusion(counts.matrix, counts.classes, folder / "confusion", heading=heading)
        mistakes = confident_mistakes(predictions, self.classes, SHEET)
        images = [(image(mistake.index), mistake) for mistake in mistakes]
        readable = [(x, (one.label, one.predicted, one.confidence)) for x, one in images if x is not None]
        if readable:
            pictures, captions = zip(*readable, strict=True)
            number = len(predictions.labels) - counts.matrix.trace()
            heading += f"\nthe most confident of {number:,} mistakes: true class → predicted class, its probability"
            yield from draw_mistakes(pictures, captions, folder / "mistakes", heading=heading)


@dataclass(frozen=True)
class Mistake:
    """An image that is predicted as another class than its label."""

    index: int  # in its source
    image: str
    label: str
    predicted: str
    confidence: float  # probability of the predicted class

    def record(self) -> dict[str, Any]:
        """As JSON holds it: a confidence of NaN is None."""
        record = {name: value for name, value in asdict(self).items() if name != "index"}
        return record | {"confidence": None if math.isnan(self.confidence) else self.confidence}


def confident_mistakes(predictions: Predictions, classes: Sequence[str], most: int) -> list[Mistake]:
    """At most `most` images that are predicted as another class, the most confident predictions first."""
    log_probability: Any = predictions.outputs["log_probability"]
    labels: Any = predictions.labels
    predicted = np.asarray(predicted_classes(log_probability, labels))
    wrong = np.flatnonzero(predicted != labels)
    confidence = np.exp(log_probability[wrong, predicted[wrong]])
    order = sorted(zip(wrong.tolist(), confidence.tolist(), strict=True), key=lambda pair: -pair[1])[:most]
    return [
        Mistake(predictions.indices[i], predictions.names[i], classes[labels[i]], classes[predicted[i]], p)
        for i, p in order
    ]


def accuracy(logits: Array, labels: Array, mask: Array) -> dict[str, Metric]:
    """ "top1" and (with more than five classes) "top5": [N, K], int [N] or soft targets [N, K], [N].

    The class of soft targets is their first maximum. {} with fewer than two classes, or for labels of another shape or
    type.
    """
    n, classes = logits.shape
    if classes < 2:
        return {}
    if labels.shape == (n,) and jnp.issubdtype(labels.dtype, jnp.integer):
        hard = labels
    elif labels.shape == (n, classes):
        hard = jnp.where(jnp.isnan(labels).any(-1), -1, jnp.argmax(labels, -1))
    else:
        return {}
    ranks = label_ranks(logits, hard)
    return {f"top{k}": Mean.of((ranks < k).astype(mask.dtype), mask) for k in reported_top_k(classes)}


class ClassificationEvaluator:
    """Streaming loss, top-k accuracy, confusion matrix and calibration error of log probabilities [N, K]."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.confusion = Confusion(classes)
        self._loss = 0.0
        self._hits = dict.fromkeys(reported_top_k(len(classes)), 0)
        self._gaps = np.zeros(CALIBRATION_BINS)
        self._count = 0

    def update(self, outputs: Rows, batch: Mapping[str, Any]) -> None:
        """Raises ValueError for labels of real examples that are not int [N] in 0 .. K - 1."""
        rows = np.asarray(batch["mask"]) != 0
        log_probability: Any = np.asarray(outputs["log_probability"])[rows]
        labels: Any = np.asarray(batch["label"])[rows]
        check_class_labels(labels, log_probability.shape)
        ranks: Any = label_ranks(log_probability, labels)
        for k in self._hits:
            self._hits[k] += int((ranks < k).sum())
        self._loss -= float(np.take_along_axis(log_probability, labels[:, None], axis=1).sum(dtype=np.float64))
        confidence = np.exp(log_probability.max(1).astype(np.float64))
        if np.isnan(confidence).any():
            self._gaps[:] = np.nan
        else:
            self._gaps += calibration_gaps(confidence, ranks < 1)
        self._count += len(labels)
        self.confusion.add(labels, np.asarray(predicted_classes(log_probability, labels)))

    def result(self) -> dict[str, float]:
        """ "loss" (negative log-likelihood, nats), "top1", with more than five classes "top5".

        Raises:
          ValueError: there were no examples.
        """
        if not self._count:
            raise ValueError("expected at least one example, got none")
        return {"loss": self._loss / self._count} | {f"top{k}": n / self._count for k, n in self._hits.items()}

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over 15 bins of equal width (Guo et al. 2017, eq. 3)."""
        return float(np.abs(self._gaps).sum() / self._count)


def check_class_labels(labels: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless labels are int [n] in 0 .. K - 1, for predictions of `shape` [n, K]."""
    n, classes = shape
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"expected labels int [{n}], got {labels.dtype} {list(labels.shape)}")
    if len(wrong := labels[(labels < 0) | (labels >= classes)]):
        raise ValueError(f"expected labels from 0 to {classes - 1}, got {wrong[0]}")


def resolve_class_weights(weights: Any, source: LabelledSource) -> tuple[float, ...] | None:
    """The weight of each class: None, K numbers, {name: weight} (others 1), or "balanced", which is n / (K * n_k) as in
    scikit-learn.

    Raises:
      ValueError: another number of weights than classes, an unknown class, or one without images.
    """
    if weights is None:
        return None
    classes = source.classes
    if isinstance(weights, Mapping):
        return _weights_by_name(weights, classes)
    if weights != "balanced":
        if len(weights) != len(classes):
            expected = f"expected optim.class_weights to have {len(classes)} numbers, one per class, got {len(weights)}"
            raise ValueError(f"{expected}; the order of the classes: {listed(classes)}; or CLASS=WEIGHT")
        return tuple(map(float, weights))
    counts = np.bincount(source.labels[source.labels >= 0], minlength=len(classes))
    if not counts.all():
        name = classes[int(counts.argmin())]
        raise ValueError(f"optim.class_weights=balanced: expected training images of every class, got none of {name!r}")
    return tuple(map(float, counts.sum() / (len(classes) * counts)))


def _weights_by_name(weights: Mapping[str, float], classes: Sequence[str]) -> tuple[float, ...]:
    """{"cat": 2} for the classes cat and dog as (2.0, 1.0)."""
    by_name = dict.fromkeys(map(composed, classes), 1.0)
    for name, weight in weights.items():
        if composed(name) not in by_name:
            close = did_you_mean(composed(name), by_name, f"classes: {listed(classes)}")
            raise ValueError(f"optim.class_weights: no class {name!r}; {close}")
        by_name[composed(name)] = weight
    if not sum(by_name.values()):
        raise ValueError("optim.class_weights: expected one weight or more above 0, got 0 for each class")
    return tuple(by_name.values())
