"""resnet-jax zero-shot: classes of images that are named by texts, of a CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from resnet_jax.cli.shared import Weights, ema_option, model_option, print_notes, step_option, with_sources
from resnet_jax.config import argument, option

NEEDS_DEVICES = True
LESS_MEMORY = "a lower --batch-size uses less"


@dataclass(frozen=True)
class Request:
    """Classify images by classes that texts name, with CLIP: a line for each image, with the probabilities.

    A template is a text with {} for the label: by default "a photo of a {}.", or the label alone for a net with words
    of its own. With several, the features of a class are the mean over its prompts. "imagenet" stands for the 80
    templates, and for the names of the classes, with which CLIP was evaluated on ImageNet.
    """

    weights: Weights = argument("a CLIP: a run, or weights")
    images: tuple[Annotated[str, "IMAGE"], ...] = argument(
        "image files, folders of them, patterns ('*.jpg'), or - for standard input"
    )
    labels: str | None = option(None, "the labels, with commas between them: 'cat,dog'")
    labels_file: Annotated[str, "FILE"] | None = option(None, "a text file with a label on each line, or imagenet")
    templates: Annotated[str, "FILE"] | None = option(
        None,
        "a text file with a template on each line, or imagenet",
        none="'a photo of a {}.', or '{}' for a net with words of its own",
    )
    model: str | None = model_option()
    step: str = step_option()
    ema: bool = ema_option()
    top: int = option(5, "labels to print for each image")
    batch_size: int = option(32, "images at a time")
    csv: bool = option(False, "print a table with a row for each, as a .csv file has it")
    json: bool = option(False, "print one JSON object a line")


DESCRIPTION = with_sources(Request.__doc__ or "")


def run(request: Request) -> None:
    from resnet_jax.cli.predict import (
        check_one_form,
        check_order,
        check_readable,
        check_some,
        compare_images,
        printed,
    )
    from resnet_jax.evaluation.image_inputs import image_files
    from resnet_jax.evaluation.predictions import predict
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.saved.zero_shot import classifier_of, open_clip
    from resnet_jax.texts.clip.prompts import read_templates

    check_one_form(request.csv, request.json)
    check_some(request.images)
    check_order("zero-shot", request.weights, request.images, *_swapped(request))
    labels = _labels(request)
    templates = None if request.templates is None else read_templates(request.templates)
    files = image_files(request.images)
    trained = open_clip(request.weights, step=request.step, ema=request.ema, model=request.model)
    cache_compilations()
    classifier, _ = classifier_of(trained, labels, templates)
    compare_images(classifier, files)
    print_notes(classifier.notes)
    predictions = predict(
        classifier.folded, classifier.task, files, batch_size=request.batch_size, top=min(request.top, len(labels))
    )
    check_readable(printed(predictions, request.csv, request.json), len(files))


def _swapped(request: Request) -> list[str]:
    """The arguments behind a run that stands among the images."""
    from resnet_jax.cli.predict import has_checkpoints

    images = [image for image in request.images if not has_checkpoints(image)]
    options = {"labels": request.labels, "labels-file": request.labels_file, "templates": request.templates}
    typed = (word for name, value in options.items() if value is not None for word in (f"--{name}", value))
    return [request.weights, *images, *typed]


def _labels(request: Request) -> tuple[str, ...]:
    """The labels of the request.

    Raises:
      ValueError: none, both options, or as `read_names`.
    """
    from resnet_jax.formats.captions import check_unicode
    from resnet_jax.texts.clip.prompts import check_different, check_names, read_names

    if (request.labels is None) == (request.labels_file is None):
        got = "none" if request.labels is None else "both"
        raise ValueError(f"expected --labels 'cat,dog' or --labels-file FILE, got {got}")
    if request.labels_file is not None:
        return read_names(request.labels_file)
    check_unicode(request.labels or "", "--labels: ")
    labels = tuple(" ".join(label.split()) for label in (request.labels or "").split(","))
    if len(labels) < 2:
        raise ValueError(f"--labels: expected at least two labels, with commas between them, got {request.labels!r}")
    check_names(labels, "--labels: ")
    check_different(labels, "--labels: ")
    return labels
