"""Predictions in .csv and .json files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from resnet_jax.files import replace_file
from resnet_jax.tasks import Predictions, Task


def check_file(path: str | Path) -> None:
    """Makes the folder of a file for predictions.

    Raises:
      ValueError: another kind of file, or one that cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".json") or path.is_dir():
        raise ValueError(f"expected a .csv or .json file for predictions, got {str(path)!r}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be written: {error.strerror}") from None


def write_predictions(path: str | Path, predictions: Predictions, task: Task, top: int = 5) -> None:
    """Writes each image's name, label and prediction to a .csv or .json file.

    Raises:
      ValueError: another kind of file.
    """
    path = Path(path)
    check_file(path)
    rows = [
        {"image": name, "label": task.label_name(label), **task.describe(_row(predictions, i), top)}
        for i, (name, label) in enumerate(zip(predictions.names, predictions.labels, strict=True))
    ]
    if path.suffix == ".json":
        replace_file(path, json.dumps(rows, indent=1) + "\n")
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    flat = [list(_columns(row)) for row in rows]
    writer.writerow([name for name, _ in flat[0]])
    for cells in flat:
        writer.writerow([repr(value) if isinstance(value, float) else value for _, value in cells])
    replace_file(path, text.getvalue())


def _row(predictions: Predictions, i: int) -> dict[str, Any]:
    return {name: x[i] for name, x in predictions.outputs.items()}


def _columns(record: dict[str, Any], number: str = "") -> Iterator[tuple[str, Any]]:
    """Columns of a record: {"top": [{"class": "cat"}, ...], "output": [0.5, ...]} -> "class1", ..., "output1", ..."""
    for name, value in record.items():
        if not isinstance(value, list):
            yield f"{name}{number}", value
            continue
        for i, one in enumerate(value, 1):
            if isinstance(one, dict):
                yield from _columns(one, str(i))
            else:
                yield f"{name}{i}", one
