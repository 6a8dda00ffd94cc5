"""Predictions in .csv and .json files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from resnet_jax.files import check_writable, replace_file, to_json
from resnet_jax.tasks import Predictions, Task


def check_file(path: str | Path) -> None:
    """Makes the folder of a file for predictions.

    Raises:
      ValueError: another kind of file, or one that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".json") or path.is_dir():
        raise ValueError(f"expected a .csv or .json file for predictions, got {str(path)!r}")
    check_writable(path)


def write_predictions(path: str | Path, predictions: Predictions, task: Task, top: int = 5) -> None:
    """Writes each image's name, label and prediction to a .csv or .json file.

    A .csv file has the same columns for all images (`Task.cells`), a .json file what `Task.describe` returns.

    Raises:
      ValueError: another kind of file.
    """
    path = Path(path)
    check_file(path)
    images = [
        (name, label, _row(predictions, i))
        for i, (name, label) in enumerate(zip(predictions.names, predictions.labels, strict=True))
    ]
    if path.suffix == ".json":
        records = [
            {"image": name, "label": task.label_name(label), **task.describe(row, top)} for name, label, row in images
        ]
        replace_file(path, to_json(records, indent=1) + "\n")
        return
    table = [{"image": name, **task.cells(label, row, top)} for name, label, row in images]
    text = io.StringIO(newline="")
    # A row without some column of the others has an empty cell there.
    writer = csv.DictWriter(text, list(dict.fromkeys(column for cells in table for column in cells)))
    writer.writeheader()
    for cells in table:
        writer.writerow({name: repr(x) if isinstance(x, float) else x for name, x in cells.items()})
    replace_file(path, text.getvalue())


def _row(predictions: Predictions, i: int) -> dict[str, Any]:
    return {name: x[i] for name, x in predictions.outputs.items()}
