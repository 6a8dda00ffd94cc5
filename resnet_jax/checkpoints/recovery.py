"""Prepares the checkpoints of an interrupted run for resuming."""

from __future__ import annotations

import shutil
from pathlib import Path

from resnet_jax.checkpoints.reader import Checkpoint, read_checkpoint, saved_steps
from resnet_jax.errors import CorruptedCheckpoint

UNFINISHED = ".orbax-checkpoint-tmp"
REPLACED = ".replaced"  # suffix of a checkpoint that 0.1.0 was about to replace by one of the same step
DELETED = ".deleted"  # where old checkpoints are moved before their files are removed


def recover(directory: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest valid checkpoint, None if there are none; and messages on what was interrupted or corrupted.

    Corrupted newer checkpoints are moved to `corrupted` beside `directory`. Leftovers of dead processes are removed.

    Raises:
      CorruptedCheckpoint: all checkpoints are corrupted; they stay in place.
      ValueError: the format is newer than this version.
      OSError: a checkpoint cannot be read, which does not mean that it is corrupted.
    """
    messages, corrupted, checkpoint = _remove_leftovers(directory), [], None
    for step in reversed(saved_steps(directory)):
        try:
            checkpoint = read_checkpoint(directory / str(step))
            break
        except CorruptedCheckpoint as error:
            corrupted.append((step, str(error)))
    if corrupted and checkpoint is None:
        hint = f"choose another --workdir, or move {directory} away to start over"
        raise CorruptedCheckpoint(f"no checkpoint is valid: {'; '.join(reason for _, reason in corrupted)}; {hint}")
    for step, reason in corrupted:
        target = _unused(directory.parent / "corrupted" / str(step))
        if target.parent.exists() and not target.parent.is_dir():
            raise ValueError(f"{reason}; it cannot be moved: {target.parent} is a file; move that file away")
        target.parent.mkdir(exist_ok=True)
        shutil.move(directory / str(step), target)
        messages.append(f"{reason}; moved to {target}")
    return checkpoint, messages


def _remove_leftovers(directory: Path) -> list[str]:
    messages = []
    for path in directory.glob(f"*{UNFINISHED}*"):
        messages.append(f"the save of step {path.name.partition('.')[0]} was interrupted")
        shutil.rmtree(path, ignore_errors=True)
    for path in directory.glob(f"*{REPLACED}"):
        original = path.with_name(path.name.removesuffix(REPLACED))
        if original.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:  # the new one was never finished
            path.rename(original)
    shutil.rmtree(directory / DELETED, ignore_errors=True)
    return messages


def _unused(path: Path) -> Path:
    """`path`, or the first of path.1, path.2, ... that does not exist."""
    numbered = (path.with_name(f"{path.name}.{i}") for i in range(1, 10**6))
    return path if not path.exists() else next(other for other in numbered if not other.exists())
