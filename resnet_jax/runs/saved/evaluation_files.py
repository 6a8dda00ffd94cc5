"""Results of an evaluation: metrics, lines for a terminal, files of details and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.contact_sheet import write_png
from resnet_jax.analysis.figures import INSTALL, can_draw, shorten
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.evaluation.evaluate import checked_results
from resnet_jax.evaluation.examples import Example, draw_examples
from resnet_jax.evaluation.prediction_files import check_file
from resnet_jax.files import expanded
from resnet_jax.metrics.confusion import FILE, FOLDER
from resnet_jax.metrics.evaluator import Evaluator
from resnet_jax.runs.files.directory import is_run
from resnet_jax.runs.planning.sequence_pictures import SequencePictures
from resnet_jax.tasks import Predictions, Task
from resnet_jax.text import decimals
from resnet_jax.types import NOUNS

Source = StreamingLoader | DenseLoader | SequenceLoader | PairLoader
EXAMPLES = "examples.png"  # predictions beside the truth


@dataclass(frozen=True)
class EvaluationResult:
    """Predictions with their metrics."""

    task: Task
    predictions: Predictions
    evaluator: Evaluator
    metrics: dict[str, float]
    examples: Sequence[Example] = ()  # to draw beside the truth, of dense tasks


def measure(
    task: Task, predictions: Predictions, sown: Mapping[str, float], evaluator: Evaluator | None = None
) -> EvaluationResult:
    """The metrics of predictions, and `sown`, those that modules of the net have sown.

    `evaluator` has the predictions already; None: a new one gets them.
    """
    if evaluator is None:
        evaluator = task.evaluator()
        labels = predictions.labels
        evaluator.update(predictions.outputs, {"label": labels, "mask": np.ones(len(labels))})
    metrics = checked_results({**evaluator.result(), **task.more_metrics(evaluator)}, sown) | dict(sown)
    return EvaluationResult(task, predictions, evaluator, metrics)


def evaluation_folder(runs: Sequence[str], out_dir: str | None, variant: Sequence[str] = ()) -> Path:
    """Where the files go: `out_dir`, else "evaluation" in the run's directory, or "evaluation-NAME-NAME" here.

    It is here for several runs, and for weights of other sources.

    `variant` names what differs from the test at the end of the run, such as other data, a split, views, a step or
    averaged weights: "evaluation-DATA-SPLIT".

    Raises:
      ValueError: `out_dir` cannot be written to.
    """
    if out_dir is not None:
        check_file(Path(out_dir) / FILE)
        return Path(out_dir)
    paths = [Path(os.path.abspath(expanded(run))) for run in runs]
    if len(set(paths)) == 1 and is_run(runs[0]):
        return Path(runs[0]) / (f"{FOLDER}-{joined_name(variant)}" if variant else FOLDER)
    return Path(f"{FOLDER}-{joined_name([*(path.name for path in dict.fromkeys(paths)), *variant])}")


def joined_name(names: Iterable[str]) -> str:
    """A name for a file of several runs: "a-b-c", or "a-and-7-more"."""
    names = [name.replace(os.sep, "-") for name in names]
    joined = "-".join(names)
    return joined if len(joined) <= 60 else f"{shorten(names[0], 40)}-and-{len(names) - 1}-more"


def evaluation_lines(
    result: EvaluationResult, source: Source, heading: str, files: Sequence[Path], width: int
) -> list[str]:
    """The metrics of all images, then the task's table, in lines of at most `width` columns; and the files.

    Metrics of parts ("mae/age", "executed/stage1_block0") are in the JSON record, and those of targets in the table.
    """
    task = result.task
    metrics = {name: value for name, value in result.metrics.items() if "/" not in name}
    titles = {**task.titles, **task.eval_titles}
    # A task of one's own for images may have no such argument.
    words = {"noun": NOUNS[source.preprocess.kind][1]} if isinstance(source, SequenceLoader) else {}
    numbers = "  ".join(f"{titles.get(name, name)} {decimals(value)}" for name, value in metrics.items())
    return [
        *(f"skipped {reason}" for reason in source.skipped.values()),
        f"{heading}: {numbers}",
        *task.table(result.evaluator, width, str(files[0]) if files else "", **words),
        *([f"{files[0].parent}: {', '.join(file.name for file in files)}"] if files else []),
    ]


def write_evaluation(
    folder: Path,
    result: EvaluationResult,
    source: Source,
    metadata: Mapping[str, Any],
    heading: str,
) -> tuple[list[Path], list[str]]:
    """Writes the task's details and its pictures: examples beside the truth, or what matplotlib draws.

    Returns the files, and a note on each thing that is missing: a folder that cannot be written to loses no metrics.
    """
    task, evaluator, predictions = result.task, result.evaluator, result.predictions
    files: list[Path] = []
    try:
        details = task.write_details(evaluator, folder, metadata, predictions)
        if details is None:
            return files, []
        files.append(details.file)
        if isinstance(source, DenseLoader):
            if (picture := draw_examples(task, source, result.examples)) is not None:
                write_png(folder / EXAMPLES, picture)
                files.append(folder / EXAMPLES)
            return files, []
        if not can_draw():
            return files, [f"no pictures, as matplotlib is not installed: {INSTALL}"]
        image = SequencePictures(source) if isinstance(source, SequenceLoader) else source.eval_image
        files.extend(task.draw(evaluator, folder, heading, predictions, image))
        return files, []
    except OSError as error:
        what = f"only {', '.join(file.name for file in files)}" if files else "nothing"
        return files, [f"{what} is written to {folder}: {error.strerror}; --out-dir names another folder"]
