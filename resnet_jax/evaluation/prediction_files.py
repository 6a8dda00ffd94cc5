"""Predictions in .csv and .json files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from resnet_jax.files import check_writable, replace_file, to_json
from resnet_jax.tasks import Predictions, Rows, Task


def check_file(path: str | Path) -> None:
    """Makes the folder of a file for predictions.

    Raises:
      ValueError: another kind of file, or one that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".json") or path.is_dir():
        raise ValueError(f"expected a .csv or .json file for predictions, got {str(path)!r}")
    check_writable(path)


class PredictionFile:
    """A .csv or .json file of predictions, to which images are added one by one.

    A .csv file has the same columns for all images (`Task.cells`), a .json file what `Task.describe` returns. Of a task
    that predicts objects, a .json file is COCO's result file: a list of the objects of all images (`Task.results`).

    Args:
      noun: the field of an example's name: "image", "sound".

    Raises:
      ValueError: another kind of file, or one that cannot be written.
    """

    def __init__(self, path: str | Path, task: Task, top: int = 5, *, noun: str = "image") -> None:
        check_file(path)
        self._noun = noun
        self._path, self._task, self._top = Path(path), task, top
        self._rows: list[dict[str, Any]] = []
        self._objects: list[str] = []  # as JSON, which takes less memory

    def add(self, name: str, label: Any, prediction: Rows) -> None:
        """Adds an image's name, label and prediction."""
        task = self._task
        if self._path.suffix == ".csv":
            self._rows.append({self._noun: name, **task.cells(label, prediction, self._top)})
        elif (objects := task.results(prediction, name)) is not None:
            self._objects += map(to_json, objects)
        else:
            described = task.describe(prediction, self._top)
            self._rows.append({self._noun: name, "label": task.label_name(label), **described})

    def add_all(self, predictions: Predictions) -> None:
        """Adds all images of these predictions."""
        for i, (name, label) in enumerate(zip(predictions.names, predictions.labels, strict=True)):
            self.add(name, label, {output: x[i] for output, x in predictions.outputs.items()})

    def write(self) -> None:
        """Writes the file atomically."""
        if self._objects:
            replace_file(self._path, "[\n" + ",\n".join(self._objects) + "\n]\n")
            return
        if self._path.suffix == ".json":
            replace_file(self._path, to_json(self._rows, indent=1) + "\n")
            return
        text = io.StringIO(newline="")
        # A row without some column of the others has an empty cell there.
        writer = csv.DictWriter(text, list(dict.fromkeys(column for cells in self._rows for column in cells)))
        writer.writeheader()
        for cells in self._rows:
            writer.writerow({name: repr(x) if isinstance(x, float) else x for name, x in cells.items()})
        replace_file(self._path, text.getvalue())


def write_predictions(path: str | Path, predictions: Predictions, task: Task, top: int = 5) -> None:
    """Writes each image's name, label and prediction to a .csv or .json file; see `PredictionFile`."""
    file = PredictionFile(path, task, top)
    file.add_all(predictions)
    file.write()
