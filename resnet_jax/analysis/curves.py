"""The curves of runs, from their metrics.jsonl."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.errors import did_you_mean
from resnet_jax.models import natural_key

WANTED = '{"step": 10, "split": "train" or "test", "loss": 1.5, "top1": 0.25, ...}'


@dataclass(frozen=True, eq=False)
class Curve:
    """What one run has measured: float64 [records of a split] each, top-1 in [0, 1]; empty before the first record.

    Where all steps of a record were skipped, as not finite, loss and top-1 are nan. Epochs are nan where a record has
    none. What the run's folder does not say of its net, data and number of classes is "" or None.
    """

    label: str
    train_steps: np.ndarray
    train_loss: np.ndarray
    train_top1: np.ndarray
    train_epochs: np.ndarray
    test_steps: np.ndarray
    test_loss: np.ndarray
    test_top1: np.ndarray
    test_epochs: np.ndarray
    net: str = ""
    data: str = ""
    classes: int | None = None

    def progress(self, split: str, x: str) -> np.ndarray:
        """The "epochs" or "steps" (`x`) of the records of "train" or "test"."""
        values: np.ndarray = getattr(self, f"{split}_{x}")
        return values

    @property
    def has_epochs(self) -> bool:
        return bool(np.isfinite(np.concatenate([self.train_epochs, self.test_epochs])).all())


def read_curves(runs: Sequence[str | Path]) -> list[Curve]:
    """One curve a run's folder, labelled with the shortest end of its path that no other has; a repeat is left out.

    They come in the order of their labels, as a person sorts them, whatever the order of `runs`.

    The last line of a metrics.jsonl that is being written, or was when its run was killed, is left out.

    Raises:
      FileNotFoundError: no metrics.jsonl in a folder.
      ValueError: no run; a line that is no record; a run that has written none yet.
    """
    if not runs:
        raise ValueError("no run to read; wanted the folder of one at least")
    paths = list(dict.fromkeys(Path(os.path.abspath(run)) for run in runs))
    return sorted((_read(path, _label(path, paths)) for path in paths), key=lambda curve: natural_key(curve.label))


def _label(path: Path, paths: Sequence[Path]) -> str:
    others = [other.parts for other in paths if other != path]
    tails = (path.parts[-n:] for n in range(1, len(path.parts) + 1))
    return str(Path(*next(tail for tail in tails if all(other[-len(tail) :] != tail for other in others))))


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl. Raises what `read_curves` does."""
    file = folder / "metrics.jsonl"
    try:
        lines = _read_text(file).split("\n")[:-1]  # the last is empty, or torn
    except (FileNotFoundError, NotADirectoryError):
        beside = sorted(run.parent.name for run in folder.parent.glob("*/metrics.jsonl"))
        close = did_you_mean(folder.name, beside, None if beside else "no run is beside it")
        if inside := sorted(run.parent.name for run in folder.glob("*/metrics.jsonl")):
            close = f"runs in it: {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}"
        raise FileNotFoundError(f"no metrics.jsonl in {folder}; wanted the folder of a run; {close}") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(record := json.loads(line))
            if record["split"] not in ("train", "test"):
                raise ValueError
            for key in ("step", "loss", "top1"):
                _number(record[key])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise ValueError(f"{file}, line {number} is no record: {line[:80]!r}; wanted {WANTED}") from None
    if not lines:
        raise ValueError(f"{file} has no record yet; wait for the run's first")
    return records


def _read(folder: Path, label: str) -> Curve:
    points: dict[str, list[list[float]]] = {"train": [], "test": []}
    for record in read_records(folder):
        numbers = [_number(record[key]) for key in ("step", "loss", "top1")]
        points[record["split"]].append([*numbers, _number(record.get("epoch"))])
    train, test = (np.array(points[split], np.float64).reshape(-1, 4).T for split in ("train", "test"))
    facts: tuple[Any, ...] = (*_net_and_data(folder), _num_classes(folder))
    return Curve(label, *train, *test, *facts)


def _read_text(file: Path) -> str:
    """Raises ValueError for what is there and is no file: of a pipe one would wait for ever."""
    if file.exists() and not file.is_file():
        raise ValueError(f"{file} cannot be read: not a file")
    return file.read_text(errors="replace")


def _net_and_data(folder: Path) -> tuple[str, str]:
    """The names of a run's net and data, from its config.json: "" where it does not say."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        config = json.loads(_read_text(folder / "config.json"))["config"]
        data = config["data"]
        return str(config["model"]["name"]), Path(data["path"]).name if data.get("path") else str(data["name"])
    return "", ""


def _num_classes(folder: Path) -> int | None:
    """From the metadata of a checkpoint."""
    for file in sorted(folder.glob("checkpoints/*/meta/metadata")):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            return len(json.loads(_read_text(file))["classes"])
    return None


def _number(value: object) -> float:
    if value is None:  # of steps whose losses were not finite, all of them
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return float(value)
