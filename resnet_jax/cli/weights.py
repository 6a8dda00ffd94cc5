"""resnet-jax weights: a table of published weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from resnet_jax.config import argument, option
from resnet_jax.errors import did_you_mean

if TYPE_CHECKING:
    from resnet_jax.models.published import PublishedWeights

FLOAT32 = 4  # bytes
TITLES = {"params": 6, "classes": 7, "input": 5, "licence": -12, "top-1": 5, "AP, mIoU": 9, "MB": 5}  # <0: to the left
DENSE = "AP, mIoU"  # only where a detector or segmenter is listed
OPTIONAL = ("licence", "input", "classes", "params")  # the first to go where a table with dense nets is too wide
NOTES = {
    "top-1": "top-1: published accuracy on ImageNet-1k, per cent.",
    DENSE: "AP, mIoU, per cent: on COCO, AP of boxes or boxes/masks;\nwith the classes of Pascal VOC, mIoU.",
    "MB": "MB: size of the file; ~: four bytes a parameter. -: not published.",
    "classes": "classes: of CLIP's nets, the length of the embedding; 0: no head.",
}


@dataclass(frozen=True)
class Request:
    """List published weights whose names match: parameters, classes, input size, licence, top-1 accuracy, file size."""

    pattern: str = argument('names of nets or of weights, as in a shell: "resnet50*", "*a1_in1k"', "*")
    json: bool = option(False, "print a JSON object a line, with everything the table of weights has")


def run(request: Request) -> None:
    from resnet_jax.models import list_models
    from resnet_jax.models.published import match

    rows = match(request.pattern)
    if not rows:
        if request.pattern in list_models():
            raise ValueError(f"no weights of {request.pattern} are published")
        hint = did_you_mean(request.pattern.strip("*"), list_models(), "see: resnet-jax models")
        raise ValueError(f"no published weights match {request.pattern!r}; {hint}")
    if request.json:
        for row in rows:
            print(json.dumps({"name": row.name, **asdict(row)}))
        return
    for line in table(rows, shutil.get_terminal_size((120, 24)).columns):
        print(line)


def table(rows: Sequence[PublishedWeights], columns: int) -> list[str]:
    """Lines of at most 100 characters; with dense nets of `columns`, if 80 or more, without some of `OPTIONAL`."""
    width, cells = max(len(row.name) for row in rows), [_cells(row) for row in rows]
    titles = dict(TITLES)
    if all(cell[DENSE] == "-" for cell in cells):
        del titles[DENSE]
    else:
        titles["licence"] = -max(7, *(len(cell["licence"]) for cell in cells))
        for title in ("licence", "top-1"):
            if all(cell[title] == "-" for cell in cells):
                del titles[title]
        for title in OPTIONAL:
            if width + sum(abs(x) + 1 for x in titles.values()) > columns:
                titles.pop(title, None)

    def line(name: str, cell: Mapping[str, str]) -> str:
        texts = (f"{cell[title]:<{-x}}" if x < 0 else f"{cell[title]:>{x}}" for title, x in titles.items())
        return " ".join((f"{name:{width}}", *texts)).rstrip()

    lines = [line("", {title: title for title in titles})]
    lines += [line(row.name, cell) for row, cell in zip(rows, cells, strict=True)]
    return [*lines, *(text for title in NOTES if title in titles for text in NOTES[title].split("\n"))]


def _cells(row: PublishedWeights) -> dict[str, str]:
    """What the table says of weights, by title."""
    accuracies = [f"{value:.1f}" for value in (row.miou, row.box_ap, row.mask_ap) if value is not None]
    return {
        "params": f"{row.parameters / 1e6:.1f}M",
        "classes": f"{row.classes:,}",
        "input": str(row.eval_size),
        "licence": row.licence or "-",
        "top-1": "-" if row.top1 is None else f"{row.top1:.1f}",
        DENSE: "/".join(accuracies) or "-",
        "MB": f"~{row.parameters * FLOAT32 / 1e6:.0f}" if row.size_mib is None else f"{row.size_mib * 2**20 / 1e6:.0f}",
    }
