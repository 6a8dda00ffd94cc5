"""A run directory: where it is, whether it has results, and what is removed from it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from resnet_jax.files import expanded
from resnet_jax.metrics.confusion import FOLDER, remove_evaluation
from resnet_jax.models import MODELS
from resnet_jax.weights.readers import HUB_FILES, SUFFIXES
from resnet_jax.weights.sources.local import is_checkpoint


def make_directory(directory: Path) -> None:
    """Raises ValueError if it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the run directory {directory}: {error.strerror}") from None


def find_run_directory(path: str | Path) -> Path:
    """The run directory of a path to it, to its `checkpoints` or to one step in there."""
    path = expanded(path)
    if (path / "checkpoints").is_dir():
        return path
    inner = path.resolve()
    return next((one.parent for one in (inner, inner.parent) if one.name == "checkpoints"), path)


def is_run(source: str | Path) -> bool:
    """Whether a source of weights is a run or a checkpoint of one; a missing one counts, if it cannot be other weights.

    Nothing is downloaded.
    """
    path = expanded(source)
    if path.is_dir():
        return is_checkpoint(path) or not any((path / name).is_file() for name in HUB_FILES)
    if path.exists() or is_missing_file(source) or "://" in str(source):
        return False
    if len(path.parts) == 2 and not path.is_absolute():  # as repositories of the hub are named
        return path.parts[0] == "runs" or (path.parts[0] not in ("timm", "torchvision") and path.parent.is_dir())
    return str(source) not in MODELS


def is_missing_file(source: str | Path) -> bool:
    """Whether a source of weights is the path of a file, by its suffix, and there is none."""
    path = expanded(source)
    return path.suffix in SUFFIXES and "://" not in str(source) and not path.exists()


def has_results(directory: Path) -> bool:
    """Whether the directory has results that another config would overwrite: a checkpoint or the record of a test."""
    if any(path.name.removesuffix(".replaced").isdigit() for path in directory.glob("checkpoints/*")):
        return True
    file = directory / "metrics.jsonl"
    return file.is_file() and '"split": "test"' in file.read_text(errors="replace")


def remove_empty_run(directory: Path) -> None:
    """Removes a run directory that this process has locked, if it is empty."""
    with suppress(OSError):  # a directory with files stays
        (directory / "checkpoints").rmdir()
        if [path.name for path in directory.iterdir()] == ["lock"]:
            (directory / "lock").unlink()
            directory.rmdir()


def remove_reports(directory: Path) -> None:
    """Removes reports of earlier starts on data and tests; for a run that starts from scratch."""
    for file in directory.glob("skipped*.jsonl"):
        file.unlink()
    for evaluated in (directory / FOLDER, *directory.glob(f"{FOLDER}-*")):  # of other images too
        remove_evaluation(evaluated)
