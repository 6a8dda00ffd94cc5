"""Models from checkpoints, and checkpoints of training loops outside this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.checkpoints.reader import Checkpoint, open_checkpoint
from resnet_jax.errors import NotFinite, check_type, listed
from resnet_jax.files import expanded
from resnet_jax.inputs import AudioPreprocess, SequencePreprocess, SeriesPreprocess, TextPreprocess
from resnet_jax.models import create_model, differing_arrays
from resnet_jax.tasks import Task, task_name
from resnet_jax.training.state import TrainState
from resnet_jax.types import Preprocess, Pretrained, flaws


def load_checkpoint(
    path: str | Path, step: str | int = "latest", *, ema: bool = False, allow_nonfinite: bool = False
) -> Pretrained:
    """The trained model of a run directory, its `checkpoints` directory, or one step in that.

    Every array of the step is verified. If the latest or best one is corrupted, a warning names it and the next latest
    or best one is read. The run may be training meanwhile.

    The net's logits are what the run's `task` trains: of a regression they are normalised targets. They are in the
    targets' units as `logits * np.array(net.task_record["deviation"]) + np.array(net.task_record["mean"])`.

    Args:
      step: "latest", "best" (by the run's checkpoint.best) or a number; ignored if `path` is a step.
      ema: load the averaged weights and statistics.
      allow_nonfinite: also load weights with NaN or infinite values, negative variances, or a logit scale whose
        exponential is infinite.

    Raises:
      FileNotFoundError: there is no checkpoint, or no such step.
      ValueError: the format is newer than this version, every checkpoint is corrupted, there are no averaged weights,
        weights are not finite, or `step` is another word.
      TypeError: a path or a step of another type.
    """
    return pretrained(open_checkpoint(path, step), ema=ema, allow_nonfinite=allow_nonfinite)


def pretrained(checkpoint: Checkpoint, *, ema: bool = False, allow_nonfinite: bool = False) -> Pretrained:
    """The model of a checkpoint with its weights and statistics, or (`ema`) the averaged ones.

    A run with `optim.keep_lowest` has those of the lowest training loss.

    Raises:
      NotFinite: weights are not finite, and `allow_nonfinite` is False.
      ValueError: there are no averaged weights.
    """
    if ema and not checkpoint.arrays["ema"]:
        raise ValueError(f"{checkpoint.path} has no averaged weights; --optim.ema-decay keeps them")
    name, overrides = checkpoint.metadata["model"]["name"], checkpoint.metadata["model"]["overrides"]
    arrays = checkpoint.arrays["ema"] if ema else checkpoint.arrays.get("lowest") or checkpoint.arrays
    variables = {collection: arrays[collection] for collection in ("params", "batch_stats")}
    if not allow_nonfinite and (broken := flaws(variables)):
        raise NotFinite(f"{checkpoint.path}: expected finite weights, got {listed(broken, 3)}")
    classes = checkpoint.metadata.get("classes")
    task, record = task_name(checkpoint.metadata), checkpoint.metadata.get("task_record", {})
    how: Any = checkpoint.preprocess
    return Pretrained(create_model(name, **overrides), variables, how, name, classes, task, record)


def save_checkpoint(
    folder: str | Path,
    state: TrainState,
    model: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    preprocess: Preprocess | SequencePreprocess,
    classes: Sequence[str],
    task: Task | None = None,
) -> Path:
    """Writes `state` for `load_checkpoint(folder)` and returns the path of the checkpoint.

    The format is that of a run's checkpoints, checksums included. `state.step` numbers the checkpoint. Earlier
    checkpoints in the folder are kept.

    Args:
      folder: a run directory of your own; the checkpoint goes to `folder/checkpoints/STEP`.
      model: the name that the net was made from, `create_model(model, **overrides)`.
      overrides: the options of `create_model`, as JSON holds them (`dtype="bfloat16"`, not a dtype object).
      preprocess: how images, series, sounds or texts become inputs of the net.
      classes: the names of the net's outputs, in their order.
      task: what the net was trained for, with its data's normalisation; None: classification.

    Raises:
      TypeError: no TrainState, or no Preprocess.
      ValueError: the state's arrays are not those of the net.
      RuntimeError: the folder has a checkpoint of this step, or a later one.
      SaveFailed: it could not be written.
    """
    check_type(state, TrainState, "a TrainState", "TrainState.from_variables(variables, tx, key) makes one")
    kinds = (Preprocess, SeriesPreprocess, AudioPreprocess, TextPreprocess)
    check_type(preprocess, kinds, "a Preprocess", "Preprocess(image_size, resize, mean, std)")
    options = dict(overrides or {})
    if differences := differing_arrays(create_model(model, **options), state.variables):
        raise ValueError(f"expected a state of {model} with {options}; other arrays: {listed(differences, 3)}")
    metadata = {
        "model": {"name": model, "overrides": options},
        "classes": list(classes),
        "preprocess": preprocess.record(),
    }
    if task is not None:
        metadata |= {"task": task.name, "task_record": task.record()}
    step = int(state.step)
    path = expanded(folder) / "checkpoints"
    with Checkpoints(path, keep_latest=2**31) as checkpoints:
        checkpoints.save(step, state, metadata)
    return path / str(step)
