"""resnet-jax prepare: a set of images as pixels that training reads without decoding."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

from resnet_jax.cli.arguments import fill
from resnet_jax.cli.data import is_path
from resnet_jax.cli.progress import progress_printer
from resnet_jax.cli.shared import print_notes
from resnet_jax.config import SIDE, Config, DataConfig, Place, argument, check_data, flat, option, to_dict
from resnet_jax.text import bytes_of, printable, printable_lines

if TYPE_CHECKING:
    from resnet_jax.data.packing import Packed

USED = ("labels", "label_column", "image_column", "data_dir", "unreadable", "interpolation", "threads")
UNUSED = tuple(f"data.{name}" for name in flat(to_dict(DataConfig())) if name not in USED)


@dataclass(frozen=True)
class Request:
    """Pack the images of a dataset into a folder of pixels, which --data.path OUT reads without decoding.

    Larger images are reduced to a shorter side of --size pixels, and stored whole. A run with --data.resize of the same
    size evaluates on the same pixels as from the files. The same command resumes after an interruption.
    """

    name: Annotated[str, "NAME|PATH"] = argument("a TFDS dataset, or a folder or file of your own")
    out: Place = argument("the folder to write: a new or an empty one")
    size: int = option(256, "shorter side of larger images, pixels; others are stored as they are")
    splits: tuple[Annotated[str, "SPLIT"], ...] | None = option(None, "splits to pack", none="all")
    json: bool = option(False, "print one JSON object")
    task: Annotated[str, "NAME"] = option(Config.task, "kind of problem, which decides the labels")
    data: DataConfig = field(default_factory=DataConfig)


def make_request(values: dict[str, Any]) -> Request:
    request = Request(**{name: value for name, value in values.items() if "." not in name})
    return fill(request, {name: value for name, value in values.items() if "." in name})


def run(request: Request) -> None:
    from resnet_jax.data.packing import KINDS, PackOptions, pack
    from resnet_jax.files import expanded
    from resnet_jax.runs.planning.datasets import open_configured_dataset
    from resnet_jax.tasks import get_task

    if not 1 <= request.size <= SIDE:
        raise ValueError(f"--size: expected at least 1, at most {SIDE:,} pixels, got {request.size:,}")
    path = request.name if is_path(request.name) else None
    if path and expanded(request.out).resolve().is_relative_to(expanded(path).resolve()):
        raise ValueError(f"{request.out} is in {path}, whose next listing would have it; expected another folder")
    config = replace(request.data, name=request.name, path=path)
    check_data(config)
    label_kind = get_task(request.task).label_kind
    if label_kind not in KINDS:
        expected = "classification, multilabel or regression, whose labels are of whole images"
        raise ValueError(f"prepare: expected --task {expected}, got {request.task}")
    options = PackOptions(request.size, config.interpolation, label_kind, config.unreadable == "skip", config.threads)
    dataset = open_configured_dataset(config, label_kind=label_kind)
    packed = pack(dataset, request.out, options, splits=request.splits, progress=progress_printer("images"))
    print(json.dumps(_record(packed)) if request.json else "\n".join(map(printable, _lines(packed, request))))
    print_notes(packed.manifest.notes)
    for reason in packed.skipped:
        print(printable_lines(f"skipped {reason}"), file=sys.stderr)


def _record(packed: Packed) -> dict[str, Any]:
    splits = {split: packed.manifest.count(split) for split in packed.manifest.splits}
    return {
        "data": str(packed.folder),
        "splits": splits,
        "bytes": packed.bytes,
        "size": packed.manifest.size,
        "skipped": list(packed.skipped),
        "notes": list(packed.manifest.notes),
    }


def _lines(packed: Packed, request: Request) -> list[str]:
    counts = ", ".join(f"{split} {packed.manifest.count(split):,}" for split in packed.manifest.splits)
    images = max(1, sum(map(packed.manifest.count, packed.manifest.splits)))
    state = "" if packed.is_new else ", as before"
    size = f"{bytes_of(packed.bytes)}, {bytes_of(packed.bytes / images)} an image"
    task = "" if request.task == Config.task else f" --task {request.task}"
    data = shlex.quote(str(packed.folder))
    return [
        f"{packed.folder}: {counts} images, {size}{state}",
        f"to train on it: resnet-jax train{task} --data.path {data} --data.image-size N",
    ]
