"""resnet-jax predict: predictions for images, series, sounds and texts, of a run or of weights from elsewhere."""

from __future__ import annotations

import csv
import itertools
import shlex
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from resnet_jax.cli.shared import Weights, ema_option, model_option, print_notes, step_option, with_sources
from resnet_jax.config import Place, argument, option
from resnet_jax.errors import SetupError
from resnet_jax.files import expanded, to_json

if TYPE_CHECKING:
    from pathlib import Path

    from resnet_jax.evaluation.predictions import Prediction
    from resnet_jax.runs.saved.nets import TrainedNet

NEEDS_DEVICES = True
LESS_MEMORY = "a lower --batch-size uses less"
COMPARED = 20  # images that are compared with those of the training


@dataclass(frozen=True)
class Request:
    """Predict images, series, sounds or texts, a line for each: the likeliest classes, or what a run's task predicts.

    Detectors print the objects with at least --min-score; with --json all of them, as COCO's result files have them.

    What INPUT is depends on the net. Images and sounds (WAV, FLAC, Ogg): files, folders of them, patterns ('*.jpg'), or
    - for one on standard input. Series: files (.ts, .tsv, .csv, .txt, .npz) of one or more; in a table, labels are
    ignored. Texts: a file or a folder of .txt files, one text each, - for a text on each line of standard input, or the
    text itself: an argument that is no path of a file or folder.
    """

    weights: Weights = argument("a run, or weights")
    images: tuple[Annotated[str, "INPUT"], ...] = argument(
        "files of images, sounds or series, folders, patterns, texts, or - for standard input"
    )
    model: str | None = model_option()
    step: str = step_option()
    ema: bool = ema_option()
    top: int = option(5, "candidates to print for each, such as classes; of several per image, the predicted")
    batch_size: int = option(32, "images, or others, at a time")
    min_score: float = option(0.5, "lowest score of the objects that are printed and drawn")
    draw: Place | None = option(
        None, "draw objects or classes of pixels into this .png file; for several images, into files of this folder"
    )
    csv: bool = option(False, "print a table with a row for each, as a .csv file has it")
    json: bool = option(False, "print one JSON object a line; of detectors, a list with an object a line")


DESCRIPTION = with_sources(Request.__doc__ or "")


def run(request: Request) -> None:
    from resnet_jax.models.inspect import has_texts
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.saved.nets import open_net
    from resnet_jax.types import NOUNS

    check_one_form(request.csv, request.json)
    check_order("predict", request.weights, request.images)
    trained = open_net(request.weights, step=request.step, ema=request.ema, model=request.model)
    if has_texts(trained.net.model):
        others = "resnet-jax zero-shot names classes by texts, and resnet-jax retrieve finds images"
        raise ValueError(f"{request.weights} is a net of images and texts, without classes; {others}")
    if not trained.net.model.num_classes:
        raise ValueError(f"{request.weights} has no classifier; resnet-jax features writes its feature maps")
    predictions, count = (_of_images if trained.kind == "images" else _of_sequences)(request, trained)
    print_notes(trained.notes)
    cache_compilations()
    has_results = request.json and trained.task.label_kind == "boxes"
    unreadable = print_results(predictions) if has_results else printed(predictions, request.csv, request.json)
    check_readable(unreadable, count, NOUNS[trained.kind][1])


def _of_images(request: Request, trained: TrainedNet) -> tuple[Iterator[Prediction], int]:
    """Predictions for images, which are drawn if the request says so; and their number."""
    from resnet_jax.evaluation.image_inputs import image_files
    from resnet_jax.evaluation.predictions import predict

    check_some(request.images)
    files = image_files(request.images)
    compare_images(trained, files)
    predictions = predict(
        trained.folded,
        trained.task,
        files,
        batch_size=request.batch_size,
        top=request.top,
        min_score=request.min_score,
        draw=request.draw is not None,
    )
    if request.draw is not None:
        predictions = drawn(predictions, picture_files(request.draw, files))
    return predictions, len(files)


def _of_sequences(request: Request, trained: TrainedNet) -> tuple[Iterator[Prediction], int]:
    """Predictions for series, sounds or texts; and their number."""
    from resnet_jax.evaluation.sequence_inputs import sequence_inputs
    from resnet_jax.evaluation.sequences import predict_inputs
    from resnet_jax.types import NOUNS

    if request.draw is not None:
        raise ValueError(f"--draw is for images, and {request.weights} is a net of {NOUNS[trained.kind][1]}")
    is_of_classes = trained.task.label_kind in ("class", "multi-hot")
    classes = trained.classes if is_of_classes else None
    inputs = sequence_inputs(trained.kind, request.images, classes=classes, missing=trained.missing)
    print_notes(inputs.notes)
    predictions = predict_inputs(trained.folded, trained.task, inputs, batch_size=request.batch_size, top=request.top)
    return predictions, len(inputs)


def picture_files(place: str, files: Sequence[Path]) -> list[Path]:
    """The .png file of each image: `place`, or files in the folder `place`, named by the images.

    Raises:
      ValueError: `place` is no .png file, for one image, or it or the folder cannot be written; or pictures would
        replace images.
    """
    from resnet_jax.files import check_writable

    path = expanded(place)
    if len(files) == 1 and not path.is_dir():
        if path.suffix.lower() != ".png":
            raise ValueError(f"--draw: expected a .png file, or the folder for pictures of several images, got {place}")
        if _is_same_file(path, files[0]):
            other = path.with_name(f"{path.stem}-drawn.png")
            raise ValueError(f"--draw: expected another file than the image {place}; did you mean {other}?")
        check_writable(path)
        return [path]
    if path.suffix.lower() == ".png" or path.is_file():
        raise ValueError(f"--draw: expected a folder for the pictures of {len(files)} images, got the file {place}")
    if inside := [file for file in files if _is_same_file(path, file.parent)]:
        other = path.parent / f"{path.resolve().name}-drawn"
        problem = f"--draw: expected a folder without the images, got {place}, which has {inside[0]}"
        raise ValueError(f"{problem}; did you mean {other}?")
    names = unique_names(files)
    check_writable(path / names[0])
    return [path / name for name in names]


def _is_same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def unique_names(files: Sequence[Path]) -> list[str]:
    """NAME.png for each file; of several files of one name the later ones are NAME-2.png, NAME-3.png, ...."""
    names: dict[str, None] = {}
    for file in files:
        stem = "image" if str(file) == "-" else file.stem
        choices = (stem if i == 1 else f"{stem}-{i}" for i in itertools.count(1))
        names[next(f"{name}.png" for name in choices if f"{name}.png" not in names)] = None
    return list(names)


def drawn(predictions: Iterable[Prediction], places: Sequence[Path]) -> Iterator[Prediction]:
    """The predictions, whose pictures are written."""
    from resnet_jax.analysis.contact_sheet import write_png

    for prediction, place in zip(predictions, places, strict=True):
        if prediction.picture is not None:
            try:
                write_png(place, prediction.picture)
            except OSError as error:
                raise SetupError(f"--draw: {str(place)!r} cannot be written: {error.strerror}") from None
        yield replace(prediction, picture=None)


def print_results(predictions: Iterable[Prediction]) -> int:
    """Prints a JSON list of all objects, one a line, as COCO's result files; returns the number of unreadable images,
    which are named on standard error.
    """
    unreadable, separator = 0, "["
    for prediction in predictions:
        if prediction.error is not None:
            unreadable += 1
            print(prediction, file=sys.stderr)
        for result in prediction.results or ():
            print(f"{separator}\n{to_json(result)}", end="", flush=True)
            separator = ","
    print("\n]" if separator == "," else "[]")
    return unreadable


def printed(predictions: Iterable[Prediction], as_csv: bool, as_json: bool) -> int:
    """Prints a line or a row for each; returns the number of unreadable ones."""
    if as_csv:
        return print_table(predictions)
    unreadable = 0
    for prediction in predictions:
        unreadable += prediction.error is not None
        print(to_json(prediction.record()) if as_json else prediction, flush=True)
    return unreadable


def check_readable(unreadable: int, count: int, nouns: str = "images") -> None:
    """Raises SetupError, after the others were printed, if some could not be read."""
    if unreadable:
        raise SetupError(f"{unreadable} of {count} {nouns} could not be read")


def check_one_form(as_csv: bool, as_json: bool) -> None:
    """Raises ValueError for --csv with --json."""
    if as_csv and as_json:
        raise ValueError("--csv and --json are two forms of the output; choose one")


def print_table(predictions: Iterable[Prediction]) -> int:
    """Prints a row for each, with its error in the last column; returns the number of unreadable ones."""
    unreadable, noun = 0, "image"
    writer: csv.DictWriter[str] | None = None
    waiting: list[Prediction] = []  # unreadable images before the first row whose columns are known

    def write(heading: Sequence[str]) -> csv.DictWriter[str]:
        result = writer or csv.DictWriter(sys.stdout, [noun, *heading, "error"], lineterminator="\n")
        if writer is None:
            result.writeheader()
        result.writerows({noun: one.image, **(one.columns or {}), "error": one.error or ""} for one in waiting)
        waiting.clear()
        sys.stdout.flush()
        return result

    for prediction in predictions:
        unreadable, noun = unreadable + (prediction.error is not None), prediction.noun
        waiting.append(prediction)
        if writer is not None or prediction.columns is not None:
            writer = write(list(prediction.columns or ()))
    if waiting:
        write([])
    return unreadable


def compare_images(trained: TrainedNet, files: Sequence[Path]) -> None:
    """Warns where the first images have another depth or other channels than the net was trained with."""
    import numpy as np

    from resnet_jax.data.loading.statistics import depth_note, infer_channels
    from resnet_jax.data.sources.image_files import ImageFileSource

    sample = [file for file in files if file.is_file()][:COMPARED]
    source = ImageFileSource(sample, np.zeros(len(sample), np.int32), ())
    if (note := depth_note(source)) is not None:
        warnings.warn(note, stacklevel=3)
    preprocess = trained.net.preprocess
    if preprocess.channels == 1 and infer_channels(source) == 3:
        size = preprocess.image_size
        warnings.warn(f"coloured images become grey and {size} x {size} pixels, as the net was trained", stacklevel=3)


def check_some(images: Sequence[str]) -> None:
    """Raises ValueError if no image is named."""
    if not images:
        raise ValueError("expected image files, or folders of them, got none")


def check_order(command: str, weights: str, images: Sequence[str], *arguments: str) -> None:
    """Raises ValueError for images before the run.

    Args:
      arguments: behind the run in the command that the message names; none: the images.
    """
    if not expanded(weights).exists() or has_checkpoints(weights):
        return
    if run := next(filter(has_checkpoints, images), None):
        others = arguments or (weights, *(image for image in images if image != run))
        raise ValueError(f"expected the run first; did you mean {shlex.join(['resnet-jax', command, run, *others])}?")


def has_checkpoints(path: str) -> bool:
    """Whether it is the directory of a run."""
    return (expanded(path) / "checkpoints").is_dir()
