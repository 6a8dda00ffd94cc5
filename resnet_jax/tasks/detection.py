"""Object detection: the boxes of objects, their classes and, of some nets, their masks; COCO's average precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from resnet_jax.metrics.coco import RESULTS, CocoEvaluator, TrueObjects
from resnet_jax.metrics.confusion import write_rows
from resnet_jax.metrics.typed import Metric
from resnet_jax.tasks.base import BaseTask
from resnet_jax.tasks.dense_predictions import (
    coco_results,
    draw_detections,
    draw_truth,
    image_objects,
    objects_text,
)
from resnet_jax.tasks.protocol import (
    Details,
    LabelledSource,
    Predictions,
    Rows,
    TaskOptions,
    Term,
    Terms,
    refuse_options,
)
from resnet_jax.tasks.score_table import score_table
from resnet_jax.types import Array, Batch, LabelKind

NUMBERS = ("ap", "ap50", "ap75")  # of each class in a table, and in the lines of a training


def _title(name: str) -> str:
    """ "mask_ap_small" -> "mask AP small"."""
    words = name.split("_")
    return " ".join(word.upper() if word.startswith(("ap", "ar")) else word for word in words)


@dataclass(frozen=True)
class Detection(BaseTask):
    """The objects of an image: their boxes and classes, and masks where the net predicts them.

    The net's losses are minimised. Its label 0 is the background; data, predictions and `classes` have none.
    """

    classes: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()  # of the classes in COCO's JSON; (): the data has none
    annotations: Callable[[int], TrueObjects] | None = None  # of the examples that are evaluated

    name: ClassVar[str] = "detection"
    label_kind: ClassVar[LabelKind] = "boxes"
    measures: ClassVar[Mapping[str, int]] = dict.fromkeys(RESULTS, 1)
    titles: ClassVar[Mapping[str, str]] = {name: _title(name) for name in RESULTS if name.endswith(NUMBERS)}
    eval_titles: ClassVar[Mapping[str, str]] = {name: _title(name) for name in RESULTS}

    @property
    def num_outputs(self) -> int:
        return len(self.classes) + 1

    def for_data(self, source: LabelledSource, options: TaskOptions) -> Self:
        refuse_options(options, self.name)
        # Data of other formats and a checkpoint's classes have no ids.
        return replace(self, classes=tuple(source.classes), category_ids=getattr(source, "category_ids", ()))

    def for_examples(self, source: Any) -> Self:
        """With the objects of the source, and its ids of categories where it has them."""
        ids = getattr(source, "category_ids", ()) or self.category_ids
        return replace(self, annotations=source.annotations, category_ids=ids)

    def record(self) -> dict[str, Any]:
        return {"category_ids": list(self.category_ids)} if self.category_ids else {}

    def restored(self, record: Mapping[str, Any], *, with_options: bool = False) -> Self:
        """Raises ValueError for another number of ids than classes."""
        ids = record.get("category_ids", [])
        if not isinstance(ids, list) or len(ids) not in (0, len(self.classes)):
            raise ValueError(f"expected the record of a detection with {len(self.classes)} category_ids, got {ids!r}")
        return replace(self, category_ids=tuple(ids))

    def objective(self, outputs: Any, batch: Batch, axis_name: str | None) -> tuple[Terms, dict[str, Metric]]:
        return {name: Term(loss.total, loss.weight, loss.least_weight) for name, loss in outputs.losses.items()}, {}

    def predictions(self, outputs: Any) -> dict[str, Array]:
        """The arrays of `Detections`, with labels from 0; "masks" where the net has them.

        A detection of the background, which RetinaNet and FCOS have a logit for, is not valid: it has no class.
        """
        arrays = {name: x for name, x in outputs._asdict().items() if x is not None}
        return arrays | {"labels": outputs.labels - 1, "valid": outputs.valid & (outputs.labels > 0)}

    def average(self, predictions: Sequence[Rows]) -> Rows:
        """Raises ValueError for several: boxes of several views or nets have no mean."""
        if len(predictions) > 1:
            raise ValueError("detections have no mean over views or nets; evaluate one net with one view")
        return predictions[0]

    def evaluator(self) -> CocoEvaluator:
        """Raises ValueError for a task without examples to evaluate; see `for_examples`."""
        if self.annotations is None:
            raise ValueError("expected task.for_examples(source).evaluator(), got a task without examples")
        return CocoEvaluator(self.annotations, len(self.classes))

    def confident(self, prediction: Rows, min_score: float) -> Rows:
        return {**prediction, "valid": prediction["valid"] & (prediction["scores"] >= min_score)}

    def results(self, prediction: Rows, image: str) -> list[dict[str, Any]]:
        """See `coco_results`; "image_id" is that of the prediction, where the data has it."""
        identity = {"image_id": int(prediction["image_id"])} if "image_id" in prediction else {}
        objects = coco_results(image_objects(prediction), image, self.classes, self.category_ids)
        return [one | identity for one in objects]

    def describe(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """ "objects": each with "category_id", "category", "bbox", "score" and perhaps "segmentation", as COCO's."""
        objects = self.results(prediction, "")
        return {"objects": [{name: x for name, x in one.items() if name != "image_id"} for one in objects]}

    def format(self, prediction: Mapping[str, np.ndarray], top: int) -> str:
        text = objects_text(image_objects(prediction, with_masks=False), self.classes)
        below = prediction["scores"][prediction["labels"] >= 0]  # those that `confident` has dropped
        no_objects = not prediction["valid"].any()
        return f"{text}; the highest score is {below.max():.2f}" if no_objects and below.max(initial=0) > 0 else text

    def columns(self, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        """ "objects": how many, and "names": "cat 0.98, dog 0.51"."""
        objects = image_objects(prediction, with_masks=False)
        return {"objects": len(objects.labels), "names": ", ".join(objects.names(self.classes))}

    def label_name(self, label: Any) -> Any:
        return [self.classes[k] for k in np.asarray(label).tolist() if k >= 0]

    def cells(self, label: Any, prediction: Mapping[str, np.ndarray], top: int) -> dict[str, Any]:
        return {"label": ", ".join(self.label_name(label)), **self.columns(prediction, top)}

    def draw_prediction(self, picture: np.ndarray, prediction: Rows) -> np.ndarray:
        return draw_detections(picture, image_objects(prediction), self.classes)

    def draw_label(self, picture: np.ndarray, label: Any) -> np.ndarray:
        return draw_truth(picture, label, self.classes)

    def details(self, evaluator: Any) -> dict[str, Any]:
        return {"classes": self._rows(evaluator)}

    def table(self, evaluator: Any, width: int, file: str, noun: str = "images") -> list[str]:
        """A line for each class with its number of objects, AP, AP50 and AP75 (and those of masks), lowest AP first."""
        names = [name for name in self._rows(evaluator)[0] if name in self.titles]
        titles = {"objects": "objects", **{name: self.titles[name] for name in names}}
        return score_table(self._rows(evaluator), titles, width=width, all_in=f": {file}" if file else "")

    def write_details(
        self, evaluator: Any, folder: Path, metadata: Mapping[str, Any], predictions: Predictions | None = None
    ) -> Details:
        """Writes classes.json: the numbers of each class."""
        rows = self._rows(evaluator)
        file = write_rows(folder, {**metadata, "metrics": evaluator.result(), "classes": rows})
        scored = sorted((row for row in rows if row["ap"] is not None), key=lambda row: row["ap"])
        lowest = ", ".join(f"{row['class']!r} {row['ap']:.4f}" for row in scored[:3])
        return Details(file, f"test by class: lowest AP {lowest or '-'}")

    def _rows(self, evaluator: CocoEvaluator) -> list[dict[str, Any]]:
        """Numbers of each class: "class", "objects", "ap", "ap50", ...; None where undefined."""
        columns = evaluator.by_class()
        counts = evaluator.boxes.objects.tolist()
        return [
            {"class": name, "objects": counts[k]}
            | {title: None if np.isnan(x[k]) else float(x[k]) for title, x in columns.items()}
            for k, name in enumerate(self.classes)
        ]
