"""Reads the curves of runs from metrics.jsonl."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.errors import did_you_mean
from resnet_jax.models import natural_key

RECORD = '{"step": 10, "split": "train" or "test", "loss": 1.5, ...}'
NO_METRICS = {  # numbers of records that measure no prediction
    "step", "split", "epoch", "loss", "grad_norm", "param_norm", "images", "learning_rate", "images_per_second",
    "data_wait", "skipped",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """Measurements of one run: float64 [records of a split] each; empty before the first record.

    Loss and metrics are nan where all steps of a record were skipped as non-finite, and where a record lacks them, as
    tests of boxes and label maps lack the loss. Epochs are nan where a record has none. Net, data and task are "" and
    classes None where the run directory does not name them.
    """

    label: str
    train_steps: np.ndarray
    train_loss: np.ndarray
    train_epochs: np.ndarray
    test_steps: np.ndarray
    test_loss: np.ndarray
    test_epochs: np.ndarray
    metrics: Mapping[str, Mapping[str, np.ndarray]]  # of "train" and "test", by the same names: those of tests first
    net: str = ""
    data: str = ""
    task: str = ""
    classes: int | None = None

    def progress(self, split: str, x: str) -> np.ndarray:
        """Epochs or steps (`x`) of the records of "train" or "test"."""
        values: np.ndarray = getattr(self, f"{split}_{x}")
        return values

    @property
    def train_top1(self) -> np.ndarray:
        """Top-1 in [0, 1]. Raises KeyError for a run of another task than classification."""
        return self.metrics["train"]["top1"]

    @property
    def test_top1(self) -> np.ndarray:
        """As `train_top1`."""
        return self.metrics["test"]["top1"]

    @property
    def has_epochs(self) -> bool:
        return bool(np.isfinite(np.concatenate([self.train_epochs, self.test_epochs])).all())


def read_curves(runs: Sequence[str | Path]) -> list[Curve]:
    """One curve per run directory, in natural order of the labels; repeated directories count once.

    A label is the shortest end of the path that no other run has. An incomplete last line of metrics.jsonl, which a
    running or killed process leaves, is ignored.

    Raises:
      FileNotFoundError: no metrics.jsonl in a directory.
      ValueError: no run, a run without records, or a line that is not a record.
    """
    if not runs:
        raise ValueError("expected at least one run directory, got none")
    paths = list(dict.fromkeys(Path(os.path.abspath(run)) for run in runs))
    return sorted((_read(path, _label(path, paths)) for path in paths), key=lambda curve: natural_key(curve.label))


def _label(path: Path, paths: Sequence[Path]) -> str:
    others = [other.parts for other in paths if other != path]
    tails = (path.parts[-n:] for n in range(1, len(path.parts) + 1))
    return str(Path(*next(tail for tail in tails if all(other[-len(tail) :] != tail for other in others))))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Records of a run's metrics.jsonl. Raises the errors of `read_curves`."""
    file = folder / "metrics.jsonl"
    try:
        lines = _read_text(file).split("\n")[:-1]  # the last one is empty or incomplete
    except (FileNotFoundError, NotADirectoryError):
        beside = sorted(run.parent.name for run in folder.parent.glob("*/metrics.jsonl"))
        close = did_you_mean(folder.name, beside, None if beside else "there is no run beside it")
        if inside := sorted(run.parent.name for run in folder.glob("*/metrics.jsonl")):
            close = f"runs in it: {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}"
        raise FileNotFoundError(f"no metrics.jsonl in {folder}; expected a run directory; {close}") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(record := json.loads(line))
            if record["split"] not in ("train", "test"):
                raise ValueError
            for key in ("step", "loss") if record["split"] == "train" else ("step",):
                _number(record[key])
            for value in (record[key] for key in ("loss", "epoch", *metric_names([record])) if key in record):
                _number(value)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise ValueError(f"{file}, line {number}: expected {RECORD}, got {line[:80]!r}") from None
    if not lines:
        raise ValueError(f"{file} has no record yet; wait for the first record of the run")
    return records


def metric_names(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the metrics in records, those of tests first; averaged weights and numbers of a net's parts are not."""
    ordered = sorted(records, key=lambda record: record["split"] == "train")
    names = dict.fromkeys(name for record in ordered for name in record)
    return [name for name in names if name not in NO_METRICS and not name.startswith("ema_") and "/" not in name]


def _read(folder: Path, label: str) -> Curve:
    records = read_records(folder)
    splits = {split: [record for record in records if record["split"] == split] for split in ("train", "test")}

    def column(split: str, name: str) -> np.ndarray:
        return np.array([_number(record.get(name)) for record in splits[split]], np.float64)

    names = metric_names(records)
    columns: dict[str, Any] = {
        f"{split}_{plural}": column(split, name)
        for split in splits
        for name, plural in (("step", "steps"), ("loss", "loss"), ("epoch", "epochs"))
    }
    metrics = {split: {name: column(split, name) for name in names} for split in splits}
    net, data, task = _net_data_and_task(folder)
    return Curve(label, **columns, metrics=metrics, net=net, data=data, task=task, classes=_num_classes(folder))


def _read_text(file: Path) -> str:
    """The text of a file. Raises ValueError for a pipe or a device, which would block."""
    if file.exists() and not file.is_file():
        raise ValueError(f"{file} cannot be read: not a file")
    return file.read_text(errors="replace")


def _net_data_and_task(folder: Path) -> tuple[str, str, str]:
    """Names of net, data and task in config.json; "" if it has none."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        config = json.loads(_read_text(folder / "config.json"))["config"]
        data = config["data"]
        name = Path(data["path"]).name if data.get("path") else str(data["name"])
        return str(config["model"]["name"]), name, str(config.get("task", ""))
    return "", "", ""


def _num_classes(folder: Path) -> int | None:
    """Number of classes in the metadata of a checkpoint; None if there is none."""
    for file in sorted(folder.glob("checkpoints/*/meta/metadata")):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return len(json.loads(_read_text(file))["classes"])
    return None


def _number(value: object) -> float:
    if value is None:  # all steps of the record were non-finite
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)
