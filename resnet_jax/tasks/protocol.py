"""The contract of a task: what a run optimises, measures and predicts.

A new kind of problem is a subclass of `BaseTask` with `num_outputs`, `objective` and `evaluator`; everything else has a
default. It is registered in `TASKS` or passed to `runs.trainer.train(config, task=...)`. Options of such a task are
fields of the object that is passed; `TaskOptions` has those that a `Config` holds for the tasks of this package, which
replace the fields where they are not the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import flax.linen as nn
import numpy as np

from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.metrics.typed import Metric
from resnet_jax.types import Array, Batch, LabelKind


class Term(NamedTuple):
    """A term of the objective. The step adds both numbers over microbatches and devices, then divides once."""

    total: Array  # float []: weighted sum over the examples of a shard
    weight: Array | None = None  # float []: sum of the weights; None: the number of examples of mask 1
    least_weight: float = 0.0  # the sum of the weights over the global batch counts at least this much


Terms = Mapping[str, Term]
Rows = Mapping[str, np.ndarray]  # host arrays with a row per example


ImageReader = Callable[[int], np.ndarray | None]  # an example's index -> uint8 [H, W, C], or None: unreadable


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for n examples. Those of an evaluation of dense tasks have no outputs, which nothing holds."""

    names: Sequence[str]
    labels: np.ndarray  # [n, ...]; [n, 0] of dense tasks
    outputs: Rows  # what `Task.predictions` names, averaged over views and nets
    indices: Sequence[int]  # of the examples in their source


class Details(NamedTuple):
    """A file of details and a line that sums them up."""

    file: Path
    line: str


RegressionLoss = Literal["l1", "l2", "huber"]
ContrastiveLoss = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class TaskOptions:
    """The options of a `Config` for the tasks of this package; each task reads those it knows."""

    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | Sequence[float] | Mapping[str, float] | None = None
    regression_loss: RegressionLoss = "l2"
    beam_width: int = 1
    contrastive_loss: ContrastiveLoss = "softmax"
    local_loss: bool = True
    max_logit_scale: float = 100.0


OPTION_OWNERS = {
    "label_smoothing": "classification",
    "class_weights": "classification",
    "regression_loss": "regression",
    "beam_width": "transcription",
    "contrastive_loss": "contrastive",
    "local_loss": "contrastive",
    "max_logit_scale": "contrastive",
}


class LabelledSource(Protocol):
    """Training data as tasks read it: classes and labels."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def labels(self) -> np.ndarray:
        """A row per example; -1 for a class that cannot be read."""
        ...

    @property
    def num_examples(self) -> int: ...


class Task(Protocol):
    """A kind of problem: net, loss, metrics and predictions. Tasks are immutable; options of a task are its fields."""

    name: ClassVar[str]
    label_kind: ClassVar[LabelKind]  # of the labels that are read from the data
    compares_examples: ClassVar[bool]  # whether the objective compares the examples of a batch with each other
    measures: ClassVar[Mapping[str, int]]  # metrics that "best" may be chosen by: 1 if higher is better, else -1
    titles: ClassVar[Mapping[str, str]]  # metrics' names for people, such as "top-1"; default: the metric's own name
    eval_titles: ClassVar[Mapping[str, str]]  # likewise, of metrics that lines of a training do not show

    @property
    def num_outputs(self) -> int:
        """Size of the net's last layer."""
        ...

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Task:
        """This task for training data, with these options; the default options read `source.classes` alone.

        Raises:
          ValueError: data without labels of this kind, or options that do not fit it.
        """
        ...

    def options(self) -> TaskOptions:
        """Its options that a `Config` holds."""
        ...

    def build(self, model_name: str, overrides: Mapping[str, Any], source: LabelledSource) -> nn.Module:
        """The net for this data. `overrides` are `create_model`'s, with `num_classes` = `num_outputs`.

        Raises:
          ValueError: no such net.
        """
        ...

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        """The terms and other metrics. The sum of the terms' weighted means is minimised and reported as "loss".

        Traced. `outputs` are the net's for one shard of the batch, mapped over `axis_name` (None: there is one shard).
        `batch` has "image", "label", "mask" [N] (0: ignored) and "index" [N].
        """
        ...

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """Arrays with a row per example, for evaluation and `predict`. Traced."""
        ...

    def predict_batch(self, outputs: Any, batch: Batch) -> dict[str, Array]:
        """The same for a batch, whose lengths or tokens predictions may need; `predictions` by default. Traced."""
        ...

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """The mean prediction over views of the same examples, or over nets."""
        ...

    def check_ensemble(self, others: Sequence[Task]) -> None:
        """Raises ValueError if metrics of a mean over nets of this task and of `others` have no meaning."""
        ...

    def for_examples(self, source: Any) -> Task:
        """This task for evaluating the examples of a data source, whose index a batch has as "example"."""
        ...

    def evaluator(self) -> Evaluator:
        """A new evaluator; its `update` gets the rows of `predictions`."""
        ...

    def constrain(self, params: Any) -> Any:
        """The parameters after an update, moved into the range that the task allows. Traced."""
        ...

    def record(self) -> dict[str, Any]:
        """Numbers of the training data that predictions need beside the classes, as JSON for checkpoints."""
        ...

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Task:
        """This task with what `record` returned when a checkpoint was saved.

        Args:
          with_options: take options from the record too, such as the kind of loss; False: keep those of this task.

        Raises:
          ValueError: the record is not one of this task.
        """
        ...

    def with_head(self, record: Mapping[str, Any], order: Sequence[int] | None) -> Task:
        """This task for a net that begins with the head of another run of the task.

        Args:
          record: of that run.
          order: for each output, its index in that run; None: the order is the same.
        """
        ...

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """The prediction for one example as JSON holds it; the first `top` of its candidates."""
        ...

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        """The prediction for one example as text for people."""
        ...

    def confident(self, prediction: Rows, min_score: float) -> Rows:
        """The prediction for one example without the objects that have a lower score."""
        ...

    def results(self, prediction: Rows, image: str) -> list[dict[str, Any]] | None:
        """The objects in an image as COCO's result files have them; None: this task predicts no objects.

        Args:
          image: its name; `prediction` has "image_id" where the data has it.
        """
        ...

    def draw_prediction(self, picture: np.ndarray, prediction: Rows) -> np.ndarray:
        """An image file's picture with the prediction for it: uint8 [H, W, 1 or 3] -> uint8 [H', W', 3].

        Raises:
          ValueError: this task predicts nothing that has a place in the image.
        """
        ...

    def draw_label(self, picture: np.ndarray, label: Any) -> np.ndarray:
        """The same for the label of an example as its source has it."""
        ...

    def label_name(self, label: Any) -> Any:
        """The label of one example as JSON holds it."""
        ...

    def columns(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """The prediction for one example as cells of a table by column; all examples have the same columns."""
        ...

    def cells(self, label: Any, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """Label and prediction of one example as cells of a table by column; all examples have the same columns."""
        ...

    def more_metrics(self, evaluator: Any) -> dict[str, float]:
        """Metrics of `eval` beyond the evaluator's result, which every test of a run reports."""
        ...

    def details(self, evaluator: Any) -> dict[str, Any]:
        """Details beyond the metrics as JSON holds them, such as metrics of each class."""
        ...

    def table(self, evaluator: Any, width: int, file: str, noun: str = "images") -> list[str]:
        """Lines of at most `width` columns to print below the metrics.

        Args:
          file: it has all details; "": there is none.
          noun: what the examples are called: "images", "sounds".
        """
        ...

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details | None:
        """Writes details beyond the metrics, such as metrics of each class, into `folder`; None: there are none.

        Raises:
          OSError: it cannot be written.
        """
        ...

    def draw(
        self, evaluator: Any, folder: Path, heading: str, predictions: Predictions, image: ImageReader
    ) -> Iterator[Path]:
        """Draws pictures of an evaluation into `folder`, and yields each file.

        Raises:
          OSError: it cannot be written.
        """
        ...


def check_rows(source: LabelledSource, task: str) -> None:
    """Raises ValueError for labels that are not float [n, K], K the number of the source's classes or targets.

    A source without examples stands for the data of a checkpoint, and may have any labels.
    """
    expected = (source.num_examples, len(source.classes))
    labels = source.labels
    if source.num_examples and labels.shape != expected:
        raise ValueError(
            f"--task {task}: expected labels float {list(expected)}, got {labels.dtype} {list(labels.shape)}"
        )


def check_label_shape(labels: Array, logits: Array) -> None:
    """Raises ValueError for labels of another shape than the logits; shapes are known when it is traced."""
    if labels.shape != logits.shape:
        raise ValueError(f"expected labels float {list(logits.shape)}, got {labels.dtype} {list(labels.shape)}")


def refuse_options(options: TaskOptions, task: str) -> None:
    """Raises ValueError for options that are for another task."""
    default = TaskOptions()
    for name, owner in OPTION_OWNERS.items():
        if owner != task and getattr(options, name) != getattr(default, name):
            raise ValueError(f"optim.{name} is for --task {owner}, got --task {task}")
