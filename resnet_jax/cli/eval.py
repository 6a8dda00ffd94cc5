"""resnet-jax eval: runs or other weights over a split, alone or together."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import SimpleNamespace
from typing import Annotated, Any, Literal, get_type_hints

from resnet_jax.cli.arguments import fill
from resnet_jax.cli.messages import fail
from resnet_jax.cli.shared import (
    Weights,
    ema_option,
    model_option,
    print_notes,
    step_option,
    with_named_data,
    with_sources,
)
from resnet_jax.config import AudioConfig, CaptionConfig, DataConfig, Place, TextConfig, argument, option, place

NEEDS_DEVICES = True
LESS_MEMORY = "a lower --data.eval-batch-size or --data.batch-size uses less"
UNUSED = tuple(
    f"data.{name}"
    for name in (
        "per_class", "channels", "crop_area", "interpolation", "padding", "horizontal_flip", "color_jitter",
        "cutout", "mixup", "cutmix", "mean", "std", "balance", "last_batch", "series.normalise",
        *(f"audio.{one.name}" for one in fields(AudioConfig)),
        *(f"text.{one.name}" for one in fields(TextConfig) if one.name != "context"),
        *(f"captions.{one.name}" for one in fields(CaptionConfig)),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """Evaluate a run or weights, or several together, over a split: the metrics of the task, in sum and in detail.

    The data is that of the (first) run, unless --data options say otherwise; weights need --data.path. Images, series,
    sounds and texts are preprocessed as in each net's training. Class folders have the names or synset ids of the net's
    classes. Predictions are means over an image's views, and over the nets.
    """

    runs: tuple[Weights, ...] = argument("runs, or weights")
    model: str | None = model_option()
    protocol: Literal["single", "flip", "ten-crop", "multi-scale"] = option("single", "the views of each image")
    scales: tuple[int, ...] | None = option(
        None,
        "with multi-scale: shorter sides in pixels",
        none="224 256 384 480 640 times the net's pixels / 224",
    )
    zero_shot: bool = option(False, "classify by texts, with a CLIP: --data.path has a folder for each class")
    labels_file: Annotated[str, "FILE"] | None = option(
        None, "with --zero-shot: the texts of the data's classes in their order, a line each, or imagenet"
    )
    templates: Annotated[str, "FILE"] | None = option(
        None,
        "with --zero-shot: a text file with a template on each line, or imagenet",
        none="'a photo of a {}.', or '{}' for a net with words of its own",
    )
    out: Place | None = option(
        None, "write labels and predictions to this .csv or .json file; the objects of detectors as COCO's results"
    )
    out_dir: Place | None = option(
        None, "folder for details and pictures", none="RUN/evaluation; weights: evaluation-NAME; several: -A-B"
    )
    pictures: bool = option(True, "those files in that folder")
    step: str = step_option()
    ema: bool = ema_option()
    split: str | None = option(
        None, "split to evaluate", none="as the run was tested; of other data the test split, else all"
    )
    json: bool = option(False, "print one JSON object")
    data: DataConfig = field(default_factory=DataConfig)


DESCRIPTION = with_sources(Request.__doc__ or "")


def defaults(_: Sequence[str]) -> Any:
    """None are shown for the data: they are the run's."""
    return SimpleNamespace(data=_without_defaults(DataConfig))


def _without_defaults(kind: Any) -> SimpleNamespace:
    """ "" for each field of a dataclass, and for those of the groups in it."""
    groups = {name: hint for name, hint in get_type_hints(kind).items() if is_dataclass(hint)}
    values = {
        field.name: _without_defaults(groups[field.name]) if field.name in groups else "" for field in fields(kind)
    }
    return SimpleNamespace(**values)


def make_request(values: dict[str, Any]) -> Request:
    """With the data of the first run, except for typed values."""
    request = Request(**{name: values[name] for name in values if "." not in name})
    if not request.runs:
        fail("no run given; expected the folder of a run or weights, or several")
    unused = next((name for name in ("labels_file", "templates") if getattr(request, name) is not None), None)
    if unused is not None and not request.zero_shot:
        fail(f"--{unused.replace('_', '-')} is for --zero-shot")
    trained = _trained_on(request.runs[0])
    if trained is None or request.zero_shot:
        if not values.keys() & {"data.path", "data.name"}:
            problem = (
                "--zero-shot is for images in classes"
                if request.zero_shot
                else f"{request.runs[0]} has no data of its own"
            )
            fail(f"{problem}; expected --data.path FOLDER or --data.name NAME")
        trained = DataConfig()
    typed = {name: value for name, value in values.items() if "." in name}
    result = fill(replace(request, data=with_named_data(values, trained)), typed)
    if place(result.data) == place(trained):
        return result
    # These fields describe the run's own data, and no other.
    names = ("class_names", "classes", "labels", "label_column", "image_column", "annotations", "masks")
    return fill(result, dict.fromkeys(f"data.{name}" for name in names if f"data.{name}" not in values))


def _trained_on(source: str) -> DataConfig | None:
    """The data of a run; None for other weights. Exits with one line if it is neither."""
    from resnet_jax.runs.files.config_file import read_config
    from resnet_jax.runs.files.directory import is_run

    try:
        return read_config(source).data if is_run(source) else None
    except (ValueError, OSError) as error:
        fail(str(error))


def _zero_shot(request: Request) -> Any:
    """The `ZeroShot` of a request."""
    from resnet_jax.runs.saved.zero_shot import ZeroShot
    from resnet_jax.texts.clip.prompts import read_names, read_templates

    templates = None if request.templates is None else read_templates(request.templates)
    return ZeroShot(templates, None if request.labels_file is None else read_names(request.labels_file))


def run(request: Request) -> None:
    from resnet_jax.evaluation.prediction_files import PredictionFile
    from resnet_jax.files import to_json
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.saved.evaluation import open_evaluation
    from resnet_jax.runs.saved.evaluation_files import evaluation_folder, evaluation_lines, write_evaluation
    from resnet_jax.types import NOUNS

    evaluation = open_evaluation(
        request.runs,
        request.data,
        step=request.step,
        split=request.split,
        protocol=request.protocol,
        scales=request.scales,
        ema=request.ema,
        model=request.model,
        zero_shot=_zero_shot(request) if request.zero_shot else None,
    )
    noun = NOUNS[evaluation.nets[0].trained.kind][0]
    file = None if request.out is None else PredictionFile(request.out, evaluation.task, noun=noun)
    print_notes(filter(None, [evaluation.note]))
    folder = evaluation_folder(request.runs, request.out_dir, evaluation.variant())
    cache_compilations()
    result = evaluation.evaluate(file)
    record, heading = evaluation.record(result), evaluation.heading(len(result.predictions.labels))
    source = evaluation.source
    files, notes = write_evaluation(folder, result, source, record, heading) if request.pictures else ([], [])
    if request.json:
        details = result.task.details(result.evaluator)
        print(to_json({**record, **details, "files": list(map(str, files))}))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        for line in evaluation_lines(result, source, heading, files, width):
            # A terminal would break it inside of a word or a number.
            print(textwrap.fill(line, width, break_on_hyphens=False) if sys.stdout.isatty() else line)
    print_notes(notes)
    if file is not None:
        file.write()
