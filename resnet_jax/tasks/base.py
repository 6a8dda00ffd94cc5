"""Defaults of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import flax.linen as nn
import numpy as np

from resnet_jax.models.registry import create_model
from resnet_jax.tasks.protocol import Details, ImageReader, LabelledSource, Predictions, Rows, Task, TaskOptions
from resnet_jax.types import Array, Batch, LabelKind


class BaseTask:
    """Defaults: predictions are the logits ("output"), averaged arithmetically; nothing depends on the data."""

    name: ClassVar[str] = "own"
    label_kind: ClassVar[LabelKind] = "class"
    compares_examples: ClassVar[bool] = False
    measures: ClassVar[Mapping[str, int]] = {"loss": -1}
    titles: ClassVar[Mapping[str, str]] = {}
    eval_titles: ClassVar[Mapping[str, str]] = {}

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        return self

    def options(self) -> TaskOptions:
        return TaskOptions()

    def build(self, model_name: str, overrides: Mapping[str, Any], source: LabelledSource) -> nn.Module:
        return create_model(model_name, **overrides)

    def predictions(self, outputs: Any) -> dict[str, Array]:
        return {"output": outputs.logits}

    def predict_batch(self, outputs: Any, batch: Batch) -> dict[str, Array]:
        return self.predictions(outputs)

    def average(self, predictions: Sequence[Rows]) -> Rows:
        return {name: np.mean([one[name] for one in predictions], axis=0) for name in predictions[0]}

    def check_ensemble(self, others: Sequence[Task]) -> None:
        pass

    def for_examples(self, source: Any) -> Self:
        return self

    def constrain(self, params: Any) -> Any:
        return params

    def record(self) -> dict[str, Any]:
        return {}

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Self:
        return self

    def with_head(self, record: Mapping[str, Any], order: Sequence[int] | None) -> Self:
        return self

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        return {name: x.tolist() for name, x in prediction.items()}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        return "  ".join(f"{name} {' '.join(f'{x:.4f}' for x in np.ravel(row))}" for name, row in prediction.items())

    def confident(self, prediction: Rows, min_score: float) -> Rows:
        return prediction

    def results(self, prediction: Rows, image: str) -> list[dict[str, Any]] | None:
        return None

    def draw_prediction(self, picture: np.ndarray, prediction: Rows) -> np.ndarray:
        raise ValueError(f"a net of the task {self.name} predicts no boxes, masks or classes of pixels to draw")

    def draw_label(self, picture: np.ndarray, label: Any) -> np.ndarray:
        raise ValueError(f"labels of the task {self.name} have no boxes, masks or classes of pixels to draw")

    def label_name(self, label: Any) -> Any:
        return np.asarray(label).tolist()

    def columns(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        return dict(_columns(self.describe(prediction, top)))

    def cells(self, label: Any, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        return {**dict(_columns({"label": self.label_name(label)})), **self.columns(prediction, top)}

    def more_metrics(self, evaluator: Any) -> dict[str, float]:
        return {}

    def details(self, evaluator: Any) -> dict[str, Any]:
        return {}

    def table(self, evaluator: Any, width: int, file: str, noun: str = "images") -> list[str]:
        return []

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details | None:
        return None

    def draw(
        self, evaluator: Any, folder: Path, heading: str, predictions: Predictions, image: ImageReader
    ) -> Iterator[Path]:
        return iter(())


def _columns(record: Mapping[str, Any], number: str = "") -> Iterator[tuple[str, Any]]:
    """Columns of a record: {"top": [{"class": "cat"}, ...], "output": [0.5, ...], "label": {"age": 3.0}} ->
    "class1", ..., "output1", ..., "label_age".
    """
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}{number}_{key}", x) for key, x in value.items())
            continue
        if not isinstance(value, list):
            yield f"{name}{number}", value
            continue
        for i, one in enumerate(value, 1):
            if isinstance(one, Mapping):
                yield from _columns(one, str(i))
            else:
                yield f"{name}{i}", one
