"""What an evaluation leaves: lines for a terminal, classes.json, and pictures of the classes and the mistakes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnet_jax.analysis.confusion import SHEET, class_table, draw_confusion, draw_mistakes
from resnet_jax.analysis.figures import INSTALL, can_draw, shorten
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.evaluation.views import Predictions, check_file
from resnet_jax.metrics.confusion import FILE, FOLDER, write_classes

METRIC_NAMES = {"top1": "top-1", "top5": "top-5", "ece": "calibration error (ECE)"}  # for people; records have the keys


def evaluation_folder(runs: Sequence[str], out_dir: str | None, images: Sequence[str] = ()) -> Path:
    """Where the files go: `out_dir`, else "evaluation" in the run's folder, of several runs "evaluation-A-B" here.

    `images` are the names of other data and splits than those that the run was tested on: "evaluation-DATA-SPLIT".

    Raises:
      ValueError: `out_dir` cannot be written to.
    """
    if out_dir is not None:
        check_file(Path(out_dir) / FILE)
        return Path(out_dir)
    paths = [Path(os.path.abspath(run)) for run in runs]
    if len(set(paths)) == 1:
        return Path(runs[0]) / (f"{FOLDER}-{joined_name(images)}" if images else FOLDER)
    return Path(f"{FOLDER}-{joined_name([*(path.name for path in paths), *images])}")


def joined_name(names: Iterable[str]) -> str:
    """A name for a file of several runs: "a-b-c", or "a-and-7-more"."""
    names = [name.replace(os.sep, "-") for name in names]
    joined = "-".join(names)
    return joined if len(joined) <= 60 else f"{shorten(names[0], 40)}-and-{len(names) - 1}-more"


def evaluation_lines(
    found: Predictions, source: StreamingLoader, heading: str, files: Sequence[Path], width: int
) -> list[str]:
    """The numbers of all images, then those of each class, in lines of at most `width` columns; and the files."""
    numbers = "  ".join(f"{METRIC_NAMES.get(name, name)} {value:.4f}" for name, value in found.metrics().items())
    classes = found.confusion()
    return [
        *(f"skipped {reason}" for reason in source.skipped.values()),
        f"{heading}: {numbers}",
        *class_table(classes.rows(), classes.macro(), width=width, all_in=f": {files[0]}" if files else ""),
        *([f"{files[0].parent}: {', '.join(file.name for file in files)}"] if files else []),
    ]


def write_evaluation(
    folder: Path, found: Predictions, source: StreamingLoader, facts: Mapping[str, Any], heading: str
) -> tuple[list[Path], list[str]]:
    """Writes classes.json, and what can be drawn: confusion.png, confusion.svg, and mistakes.png where there are some.

    Returns the files, and a note on each thing that is missing: a folder that cannot be written to loses no numbers.
    """
    classes, mistakes = found.confusion(), found.mistakes(SHEET)
    files: list[Path] = []
    try:
        files += [write_classes(folder, classes, facts, mistakes=[one.record() for one in mistakes])]
        if not can_draw():
            return files, [f"no pictures, as matplotlib is not installed: {INSTALL}"]
        heading = f"{heading}: top-1 {facts['top1']:.4f}"
        files += draw_confusion(classes.matrix, classes.classes, folder / "confusion", heading=heading)
        images = [(source.eval_image(one.index), one) for one in mistakes]
        seen = [(image, (one.label, one.predicted, one.confidence)) for image, one in images if image is not None]
        if seen:
            pictures, captions = zip(*seen, strict=True)
            number = len(found.labels) - classes.matrix.trace()
            heading += f"\nthe most confident of {number:,} mistakes: true class → predicted class, its probability"
            files += draw_mistakes(pictures, captions, folder / "mistakes", heading=heading)
        return files, []
    except OSError as error:
        what = f"only {', '.join(file.name for file in files)}" if files else "nothing"
        return files, [f"{what} is written to {folder}: {error.strerror}; --out-dir names another folder"]
