"""Reads and verifies checkpoints.

checkpoints/STEP/state/{params,batch_stats,opt_state,ema,step,key}   arrays, readable with Orbax alone
checkpoints/STEP/meta                                                JSON: how to build the model, and more
checkpoints/STEP/metrics/metrics                                     JSON: results of the test of this state, once made
checkpoints/STEP/checksums.json                                      checksums of every array and every file
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from resnet_jax.checkpoints.best import Measure
from resnet_jax.checkpoints.checksums import FILE, named_leaves, read_checksums, verify_arrays, verify_files
from resnet_jax.checkpoints.silence import quiet_orbax
from resnet_jax.errors import CorruptedCheckpoint, MissingChecksums, RemovedCheckpoint, described
from resnet_jax.files import expanded
from resnet_jax.inputs import SequencePreprocess, preprocess_of
from resnet_jax.types import Preprocess

FORMAT = 2  # 1 had no checksums; it can be read
RESULTS = "metrics/metrics"  # file with the results of the test, if there was one
ATTEMPTS = 20  # to read a run whose checkpoints are removed meanwhile

State = TypeVar("State")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory."""

    path: Path  # its name is the step
    metadata: dict[str, Any]  # model, classes, preprocess, versions, config, ...
    arrays: dict[str, Any]  # params, batch_stats, opt_state, ema, step, key
    test_results: dict[str, float] | None = None  # None: the state was not tested

    @property
    def step(self) -> int:
        return int(self.path.name)

    @property
    def preprocess(self) -> Preprocess | SequencePreprocess:
        how = preprocess_of(self.metadata["preprocess"])
        if isinstance(how, Preprocess):
            return replace(how, source=how.source or "the run that wrote the checkpoint")
        return how

    def state(self, like: State) -> State:
        """The arrays (NumPy) in the structure of `like`, a TrainState.

        Raises:
          ValueError: names, types or shapes differ from those of `like`.
        """
        saved, target = dict(named_leaves(self.arrays)), dict(named_leaves(like))
        actual, expected = ({name: _described(x) for name, x in tree.items()} for tree in (saved, target))
        names = sorted(actual.keys() | expected.keys())
        if differing := [name for name in names if actual.get(name) != expected.get(name)]:
            details = [
                f"{name}: expected {expected.get(name, 'nothing')}, got {actual.get(name, 'nothing')}"
                for name in differing[:3]
            ]
            more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise ValueError(f"{self.path} has other arrays than this config: {'; '.join(details)}{more}")
        return jax.tree.unflatten(jax.tree.structure(like), [saved[name] for name in target])


def _described(x: Any) -> str:
    return f"{np.dtype(x.dtype)}{list(x.shape)}"


def open_checkpoint(path: str | Path, step: str | int = "latest") -> Checkpoint:
    """Reads and verifies a checkpoint of a run directory, its `checkpoints` directory, or a step in that.

    If the latest or best one is corrupted, a warning names it and the next latest or best one is read. The run may be
    training meanwhile.

    Args:
      step: "latest", "best" (by the run's checkpoint.best) or a number; ignored if `path` is a step.

    Raises:
      FileNotFoundError: there is no checkpoint, or no such step.
      ValueError: the format is newer than this version, every checkpoint is corrupted, or `step` is another word.
      TypeError: a path or a step of another type.
    """
    if isinstance(step, bool) or not isinstance(step, str | int | np.integer):
        raise TypeError(f'expected step "latest", "best" or a number (int), got {described(step)}')
    path = expanded(path).resolve()
    if path.name.isdigit() and ((path / "state").is_dir() or (path / "meta").is_dir()):
        path, step = path.parent, int(path.name)
    directory = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    for _ in range(ATTEMPTS):
        try:
            return _open(directory, step, str(path))
        except RemovedCheckpoint:  # the run has saved a newer one
            if step not in ("latest", "best"):
                raise
    return _open(directory, step, str(path))


def _open(directory: Path, step: str | int, path: str) -> Checkpoint:
    if not directory.is_dir():
        raise FileNotFoundError(f"no run or checkpoint directory {path!r}")
    steps = saved_steps(directory)
    if not steps:
        raise FileNotFoundError(f"no checkpoints in {str(directory)!r}")
    step = int(step) if isinstance(step, str) and step.isdecimal() else step
    if not isinstance(step, str):
        if step not in steps:
            expected = f"expected one of {', '.join(map(str, steps))}"
            raise FileNotFoundError(f"no step {step} in {str(directory)!r}; {expected}")
        return read_checkpoint(directory / str(step))
    if step not in ("latest", "best"):
        raise ValueError(f"expected step latest, best or a number, got {step!r}")
    candidates, problems = _by_results(directory, steps) if step == "best" else (steps[::-1], [])
    for candidate in candidates:
        try:
            checkpoint = read_checkpoint(directory / str(candidate))
        except CorruptedCheckpoint as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warnings.warn(f"{problem}; step {candidate} is read instead", stacklevel=4)
        return checkpoint
    raise CorruptedCheckpoint("; ".join(problems))


def _by_results(directory: Path, steps: Sequence[int]) -> tuple[list[int], list[str]]:
    """Steps from the best to the worst, equal results in order, untested ones last; and corrupted test results."""
    measure = _measure(directory, steps)
    scores: dict[int, float] = {}
    problems: list[str] = []
    for step in steps:
        try:
            with _detect_removal(directory / str(step)):
                score = read_score(directory / str(step), measure)
        except CorruptedCheckpoint as error:
            problems.append(str(error))
        else:
            scores[step] = -math.inf if score is None else score
    return sorted(scores, key=lambda step: (-scores[step], -step if scores[step] == -math.inf else step)), problems


def _measure(directory: Path, steps: Sequence[int]) -> Measure:
    """The measure by which the run chooses its best, from its newest readable metadata."""
    for step in reversed(steps):
        with suppress(ValueError, OSError):
            metadata = read_metadata(directory / str(step))
            best = metadata.get("best") or {}
            name = best.get("measure") or metadata.get("config", {}).get("checkpoint", {}).get("best") or "top1"
            return Measure(name, best["sign"]) if "sign" in best else Measure.of(name)
    return Measure("top1", 1)


def saved_steps(directory: Path) -> list[int]:
    """Steps of all checkpoints in `directory`, valid or corrupted, in order."""
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit() and path.is_dir())


def read_metadata(path: Path) -> dict[str, Any]:
    """The JSON saved beside the state of one checkpoint, without verification.

    Raises:
      CorruptedCheckpoint: it is missing or invalid.
      ValueError: the format is newer than this version.
      OSError: it cannot be read.
    """
    file = path / "meta" / "metadata"
    if not file.is_file():
        raise CorruptedCheckpoint(f"{path} is corrupted: meta/metadata is missing")
    try:
        metadata = json.loads(file.read_text())
        number = metadata["format"]
    except (ValueError, KeyError, TypeError) as error:
        reason = f"expected JSON with a format number, got {error!r}"
        raise CorruptedCheckpoint(f"{path} is corrupted: meta/metadata: {reason}") from None
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise ValueError(f"{path} has format {number}, of a newer version; this version reads 1 to {FORMAT}")
    if missing := [name for name in ("model", "classes", "preprocess") if name not in metadata]:
        raise CorruptedCheckpoint(f"{path} is corrupted: meta/metadata has no {', '.join(missing)}")
    return metadata


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads one checkpoint and verifies its files and every array.

    Raises:
      CorruptedCheckpoint: it differs from what was saved.
      RemovedCheckpoint: it was removed meanwhile.
      ValueError: the format is newer than this version; or valid files cannot be read.
      OSError: a file cannot be read.
    """
    with _detect_removal(path):
        return _read_verified(path)


@contextmanager
def _detect_removal(path: Path) -> Iterator[None]:
    """Raises RemovedCheckpoint for an error that comes from a checkpoint which no longer exists."""
    try:
        yield
    except (ValueError, OSError) as error:
        if not path.is_dir():
            raise RemovedCheckpoint(f"{path} was removed while it was read: its run has saved newer ones") from error
        raise


def _read_verified(path: Path) -> Checkpoint:
    array_sums, file_sums = None, None
    try:
        array_sums, file_sums = read_checksums(path)
        verify_files(path, file_sums)
        metadata = read_metadata(path)
    except MissingChecksums:
        metadata = read_metadata(path)  # a newer version may have other checksums
        if metadata["format"] > 1 or (path / FILE).exists():
            raise
    try:
        arrays = read_arrays(path / "state")
    except MemoryError:
        raise
    except Exception as error:  # Orbax and the libraries below it raise many types
        reason = str(error).partition("\n")[0]
        if array_sums is None:
            raise CorruptedCheckpoint(f"{path} is corrupted: {reason}") from error
        raise ValueError(f"{path} cannot be read, though its files are valid: {reason}") from error
    if array_sums is not None:
        verify_arrays(path, arrays, array_sums)
    step = metadata.get("data", {}).get("next_step")
    if isinstance(step, int) and path.name.isdigit() and step != int(path.name):  # a renamed copy
        raise CorruptedCheckpoint(f"{path} is corrupted: it was saved as step {step}")
    results = _read_results(path, file_sums)
    return Checkpoint(path, metadata | ({"evaluation_due": False} if results else {}), arrays, results)


def read_arrays(path: Path) -> dict[str, Any]:
    """All arrays of a `state` directory as NumPy arrays, whatever devices they were saved from."""
    alone = ocp.options.MultiprocessingOptions(active_processes={jax.process_index()}, primary_host=None)
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    with quiet_orbax(), ocp.Checkpointer(handler, multiprocessing_options=alone) as reader:
        metadata = reader.metadata(path).item_metadata
        if metadata is None:
            raise ValueError("its state is missing or not a checkpoint")
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata.tree)
        return reader.restore(path, args=ocp.args.PyTreeRestore(restore_args=as_numpy))


def read_score(path: Path, measure: Measure) -> float | None:
    """The result of the checkpoint's test by `measure`, higher is better; None if there is none.

    Raises:
      CorruptedCheckpoint: the results differ from what was written.
    """
    try:
        files = read_checksums(path)[1]
    except MissingChecksums:  # reported when the checkpoint is read
        files = None
    results = _read_results(path, files)
    return None if results is None else measure.score(results)


def _read_results(path: Path, files: Mapping[str, str] | None) -> dict[str, float] | None:
    """Test results of a checkpoint with the checksums `files` (None: it has no checksums); None: it was not tested."""
    if files is None and not (path / RESULTS).is_file():
        return None
    if files is not None:
        if RESULTS not in files:
            return None
        verify_files(path, {RESULTS: files[RESULTS]})
    try:
        results = {name: float(value) for name, value in json.loads((path / RESULTS).read_text()).items()}
    except (ValueError, TypeError, AttributeError):
        results = {}
    if not results:
        raise CorruptedCheckpoint(f"{path} is corrupted: {RESULTS} has no test results")
    return results
