"""resnet-jax retrieve: the images of a folder that fit a text, by a CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from resnet_jax.cli.shared import Weights, ema_option, model_option, print_notes, step_option, with_sources
from resnet_jax.config import Place, argument, option
from resnet_jax.files import expanded

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from resnet_jax.evaluation.retrieval import Match

NEEDS_DEVICES = True
LESS_MEMORY = "a lower --batch-size uses less"
SIDE = 160  # of an image in the sheet, pixels


@dataclass(frozen=True)
class Request:
    """Find the images that fit a text best, with CLIP: a line for each with its cosine, and a sheet of them."""

    weights: Weights = argument("a CLIP: a run, or weights")
    folder: Annotated[str, "FOLDER"] = argument("a folder of images")
    text: Annotated[str, "TEXT"] = argument("what they should show: 'a red bicycle'")
    out: Place = option("retrieved.png", "the sheet to write")
    pictures: bool = option(True, "the sheet")
    model: str | None = model_option()
    step: str = step_option()
    ema: bool = ema_option()
    top: int = option(16, "number of images")
    batch_size: int = option(32, "images at a time")
    json: bool = option(False, "print one JSON object a line")


DESCRIPTION = with_sources(Request.__doc__ or "")


def run(request: Request) -> None:
    import sys

    from resnet_jax.analysis.contact_sheet import write_png
    from resnet_jax.cli.predict import check_order, check_readable, compare_images
    from resnet_jax.evaluation.image_inputs import image_files
    from resnet_jax.evaluation.retrieval import retrieve
    from resnet_jax.files import check_writable, to_json
    from resnet_jax.formats.captions import check_unicode
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.saved.zero_shot import check_known, open_clip, tokenizer_of, tower_of, warn_of_unknown
    from resnet_jax.text import printable

    path = expanded(request.weights)
    folder = str(path.parent) if path.is_file() else request.weights  # if they stand in the wrong order
    check_order("retrieve", request.weights, [request.folder], folder, request.text)
    if not request.text.strip():
        raise ValueError("expected a text, got an empty one")
    check_unicode(request.text)
    if request.pictures:
        if expanded(request.out).suffix.lower() != ".png":
            raise ValueError(f"--out: expected a .png file, got {request.out}")
        check_writable(expanded(request.out))
    files = image_files([request.folder])
    if request.pictures:
        _check_no_image(request.out, files)
    trained = open_clip(request.weights, step=request.step, ema=request.ema, model=request.model)
    tower, tokenizer = tower_of(trained), tokenizer_of(trained)
    check_known(tokenizer, request.text)
    compare_images(tower, files)
    print_notes(tower.notes)
    warn_of_unknown(tokenizer, [request.text])
    cache_compilations()
    retrieved, unreadable = retrieve(
        trained.net,
        tower.folded,
        tokenizer,
        files,
        request.text,
        top=request.top,
        batch_size=request.batch_size,
    )
    for one in retrieved:
        record = {"image": str(one.file), "cosine": one.cosine}
        print(to_json(record) if request.json else printable(f"{one.cosine:.4f} {one.file}"))
    if request.pictures:
        write_png(expanded(request.out), sheet(retrieved))
        print(f"sheet: {request.out}", file=sys.stderr)
    for reason in unreadable.values():
        print(f"unreadable: {reason}", file=sys.stderr)
    check_readable(len(unreadable), len(files))


def _check_no_image(out: str, files: Sequence[Path]) -> None:
    """Raises ValueError for a sheet that would replace one of the images."""
    path = expanded(out)
    if path.exists() and any(file.exists() and file.samefile(path) for file in files):
        other = path.with_name(f"{path.stem}-sheet.png")
        raise ValueError(f"--out: expected a file that is none of the images, got {out}; did you mean {other}?")


def sheet(retrieved: Sequence[Match]) -> np.ndarray:
    """The middles of the images, with their cosines and names below, as one picture: uint8 [H, W, 3]."""
    import numpy as np

    from resnet_jax.analysis.contact_sheet import captioned, grid
    from resnet_jax.images.crops import centre_crop
    from resnet_jax.images.inputs import read_input

    images = [centre_crop(read_input(one.file, 3), resize=SIDE, size=SIDE) for one in retrieved]
    captions = [f"{one.file.name}: {one.cosine:.3f}" for one in retrieved]
    return grid(captioned(np.stack(images), captions), columns=4, gap=4)
